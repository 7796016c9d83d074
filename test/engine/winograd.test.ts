import { describe, expect, it } from 'vitest'
import { F, manualSeed, randn, type Tensor } from '../../src/index.ts'

// 3 x 3 convolutions in float32 go by Winograd's filtering; float64 ones by the plain sum.

function largestError(actual: Tensor, expected: Tensor): number {
  const difference = actual.double().sub(expected).abs().max().item()
  return difference / expected.square().mean().sqrt().item()
}

function gradients(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  outGradient: Tensor,
  padding: number | [number, number],
) {
  const leaves = [x, weight, ...(bias ? [bias] : [])].map((tensor) => tensor.clone().requiresGrad_())
  const out = F.conv2d(leaves[0]!, leaves[1]!, leaves[2] ?? null, { padding })
  out.backward({ gradient: outGradient })
  return [out.detach(), ...leaves.map((leaf) => leaf.grad!)]
}

describe('3 x 3 convolutions of many pixels', () => {
  const cases: [
    name: string,
    inputs: number,
    outputs: number,
    height: number,
    width: number,
    padding: number | [number, number],
    bias: boolean,
  ][] = [
    ['as in ResNet', 64, 64, 14, 14, 1, false],
    ['odd sizes', 16, 48, 15, 13, 1, false],
    ['no padding', 32, 16, 12, 17, 0, true],
    ['padding of two', 16, 32, 11, 11, 2, true],
    ['padding of one side only', 16, 16, 16, 9, [0, 1], false],
    ['filters beyond the cache', 256, 272, 9, 7, 1, false],
    ['filters beyond the cache, pictures of four pixels', 512, 272, 2, 2, 1, true],
    ['more tiles than are kept together', 256, 256, 30, 40, 1, false],
  ]
  it.each(cases)(
    '%s: exact to float32, forward and backward',
    (_, inputs, outputs, height, width, padding, withBias) => {
      manualSeed(3)
      const x = randn([4, inputs, height, width])
      const weight = randn([outputs, inputs, 3, 3])
      const bias = withBias ? randn([outputs]) : null
      const [vertical, horizontal] = typeof padding === 'number' ? [padding, padding] : padding
      const outGradient = randn([4, outputs, height - 2 + 2 * vertical, width - 2 + 2 * horizontal])
      const single = gradients(x, weight, bias, outGradient, padding)
      const exact = gradients(
        x.double(),
        weight.double(),
        bias?.double() ?? null,
        outGradient.double(),
        padding,
      )
      // The direct method's errors for these shapes are between 1e-6 and 1e-5.
      for (const [i, tensor] of single.entries()) expect(largestError(tensor, exact[i]!)).toBeLessThan(1e-5)
    },
  )

  // Winograd's filtering is only worth its speed while it is no worse than four times the direct method, which
  // the same filters take when they stand in the middle of a 5 x 5 kernel.
  it.each([
    ['tiles of 4 x 4', 64, 28],
    ['tiles of 4 x 4, many filters', 256, 12],
    ['tiles of 2 x 2, many filters', 512, 2],
  ])('%s: root mean square error within four times that of the direct method', (_, channels, size) => {
    manualSeed(5)
    const x = randn([4, channels, size, size]).relu()
    const weight = randn([channels, channels, 3, 3]).div(Math.sqrt(9 * channels))
    const outGradient = randn([4, channels, size, size])
    const exact = gradients(x.double(), weight.double(), null, outGradient.double(), 1)
    const error = (results: Tensor[]) =>
      results.map((result, i) => result.double().sub(exact[i]!).square().mean().sqrt().item())
    const filtered = error(gradients(x, weight, null, outGradient, 1))
    const [out, inputGradient, wide] = gradients(x, F.pad(weight, [1, 1, 1, 1]), null, outGradient, 2)
    const direct = error([out!, inputGradient!, wide!.index(':', ':', '1:4', '1:4')])
    filtered.forEach((value, i) => {
      expect(value).toBeGreaterThan(0)
      expect(value).toBeLessThan(4 * direct[i]!)
    })
  })

  it('gives the same bits every time', () => {
    manualSeed(4)
    const [x, weight, g] = [randn([8, 64, 28, 28]), randn([64, 64, 3, 3]), randn([8, 64, 28, 28])]
    const first = gradients(x, weight, null, g, 1)
    for (let i = 0; i < 5; i++) {
      gradients(x, weight, null, g, 1).forEach((tensor, j) => {
        expect(tensor.sub(first[j]!).abs().max().item()).toBe(0)
      })
    }
  })
})
