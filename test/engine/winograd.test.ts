import { describe, expect, it } from 'vitest'
import type { ConvOptions } from '../../src/engine/index.ts'
import { autocast, F, manualSeed, randn, type Tensor } from '../../src/index.ts'

// 3 x 3 convolutions in float32 and bfloat16 go by Winograd's filtering, bfloat16 ones with a stride by products of pairs;
// float64 ones by the plain sum.

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

// Sums are in float32: what bfloat16 adds is the rounding of the results, and of nothing else.
describe('convolutions in bfloat16', () => {
  const cases: [name: string, batch: number, shape: number[], kernel: number, options: ConvOptions][] = [
    ['tiles of 7 x 7', 4, [64, 64, 14, 14], 3, { padding: 1 }],
    ['tiles of 7 x 7, cut off, no padding', 3, [32, 48, 21, 23], 3, {}],
    ['tiles of 7 x 7, many filters', 8, [256, 272, 14, 14], 3, { padding: 1 }],
    ['tiles of 8 x 8', 4, [64, 64, 16, 16], 3, { padding: 1 }],
    ['tiles of 8 x 8, padding of two', 4, [16, 32, 30, 14], 3, { padding: [2, 1] }],
    ['tiles of 8 x 8, many filters', 16, [256, 256, 8, 8], 3, { padding: 1 }],
    ['tiles of 4 x 4', 16, [128, 128, 4, 4], 3, { padding: 1 }],
    ['tiles of 2 x 2', 16, [512, 512, 2, 2], 3, { padding: 1 }],
    ['few pixels of many channels', 1, [512, 512, 3, 3], 3, { padding: 1 }],
    ['a stride', 3, [64, 128, 13, 11], 3, { stride: 2, padding: 1 }],
    ['a stride, panels that are not full', 5, [48, 80, 9, 7], 3, { stride: 2, padding: 1 }],
    [
      'strides of their own, dilated, larger',
      3,
      [16, 32, 19, 24],
      5,
      { stride: [3, 2], padding: [4, 3], dilation: 2 },
    ],
    ['a stride over a single tap', 4, [64, 128, 8, 8], 1, { stride: 2 }],
    ['a stride, more than fits at a time', 16, [256, 64, 24, 24], 3, { stride: 2, padding: 1 }],
  ]
  const rootMeanSquare = (x: Tensor) => Math.sqrt(x.square().mean().item())

  it.each(cases)('%s: no less exact than the rounding', (_, batch, shape, size, options) => {
    manualSeed(6)
    const [inputs, outputs, height, width] = shape as [number, number, number, number]
    const rounded = (sizes: number[]) => randn(sizes).to('bfloat16')
    const [x, weight] = [rounded([batch, inputs, height, width]), rounded([outputs, inputs, size, size])]
    const leaves = [x.clone().requiresGrad_(), weight.float().requiresGrad_()] as const
    const out = autocast('bfloat16', () => F.conv2d(leaves[0], leaves[1], null, options))
    expect(out.dtype).toBe('bfloat16')
    const g = rounded([...out.shape])
    out.backward({ gradient: g })

    const wide = [x.double().requiresGrad_(), weight.double().requiresGrad_()] as const
    const exact = F.conv2d(wide[0], wide[1], null, options)
    exact.backward({ gradient: g.double() })
    for (const [actual, expected] of [
      [out.detach(), exact.detach()],
      [leaves[0].grad!, wide[0].grad!],
    ] as const) {
      const rounding = rootMeanSquare(expected.to('bfloat16').double().sub(expected))
      expect(rootMeanSquare(actual.double().sub(expected))).toBeLessThan(1.01 * rounding)
    }
    const gradient = wide[1].grad!
    expect(leaves[1].grad!.dtype).toBe('float32')
    expect(rootMeanSquare(leaves[1].grad!.double().sub(gradient))).toBeLessThan(
      5e-5 * rootMeanSquare(gradient),
    )
  })

  it.each([
    ['by tiles', [64, 64, 28], { padding: 1 }],
    ['with a stride', [64, 128, 28], { stride: 2, padding: 1 }],
  ] as const)('%s: the same bits every time', (_, [inputs, outputs, size], options) => {
    manualSeed(7)
    const [x, weight] = [randn([8, inputs, size, size]).to('bfloat16'), randn([outputs, inputs, 3, 3])]
    const run = () => {
      const leaves = [x.clone().requiresGrad_(), weight.clone().requiresGrad_()] as const
      const out = autocast('bfloat16', () => F.conv2d(leaves[0], leaves[1], null, options))
      out.float().sum().backward()
      return [out.detach(), leaves[0].grad!, leaves[1].grad!]
    }
    const first = run()
    for (let i = 0; i < 4; i++) {
      run().forEach((tensor, j) => {
        expect(tensor.equal(first[j]!)).toBe(true)
      })
    }
  })
})
