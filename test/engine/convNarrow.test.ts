import { describe, expect, it } from 'vitest'
import { F, manualSeed, randn, type Tensor } from '../../src/index.ts'

// Convolutions of few channels have a kernel of their own in float32; float64 ones are the plain sum.

function largestError(actual: Tensor, expected: Tensor): number {
  const difference = actual.double().sub(expected).abs().max().item()
  return difference / expected.square().mean().sqrt().item()
}

describe('convolutions of few channels', () => {
  const cases: [
    name: string,
    x: number[],
    weight: number[],
    options: { padding?: number | [number, number]; dilation?: number },
  ][] = [
    ['LeNet on CIFAR-10', [5, 3, 32, 32], [6, 3, 5, 5], {}],
    ['LeNet on MNIST', [3, 1, 28, 28], [6, 1, 5, 5], { padding: 2 }],
    ['a single picture of odd sizes', [1, 2, 17, 23], [7, 2, 3, 3], { padding: 1 }],
    ['padding of one side only', [2, 3, 9, 31], [4, 3, 3, 5], { padding: [1, 0] }],
    ['dilation', [2, 4, 20, 21], [8, 4, 3, 3], { padding: 2, dilation: 2 }],
    ['a kernel of one pixel', [2, 3, 8, 8], [5, 3, 1, 1], {}],
    ['many outputs: only the input gradient is narrow', [2, 3, 16, 18], [40, 3, 3, 3], { padding: 1 }],
    ['enough pictures for the team', [64, 3, 40, 40], [8, 3, 5, 5], { padding: 2 }],
  ]
  for (const layout of ['contiguous', 'channels-last'] as const) {
    it.each(cases)(`%s, ${layout}: exact to float32, forward and backward`, (_, shape, kernel, options) => {
      manualSeed(7)
      const made = randn(shape)
      const x = layout === 'contiguous' ? made : made.permute(0, 2, 3, 1).clone().permute(0, 3, 1, 2)
      const [weight, bias] = [randn(kernel), randn([kernel[0]!])]
      const run = (inputs: Tensor[], slope?: Tensor) => {
        const leaves = inputs.map((tensor) => tensor.detach().requiresGrad_())
        const out = F.conv2d(leaves[0]!, leaves[1]!, leaves[2]!, options)
        const gradient = slope ?? randn(out.shape)
        out.backward({ gradient })
        return { gradient, results: [out.detach(), ...leaves.map((leaf) => leaf.grad!)] }
      }
      const single = run([x, weight, bias])
      const exact = run([x.double(), weight.double(), bias.double()], single.gradient.double())
      single.results.forEach((tensor, i) => {
        expect(tensor.shape).toEqual(exact.results[i]!.shape)
        expect(largestError(tensor, exact.results[i]!)).toBeLessThan(1e-5)
      })
    })
  }

  it('transposed, to the colours of a picture', () => {
    manualSeed(8)
    const [x, weight] = [randn([4, 12, 15, 15]), randn([12, 3, 3, 3])]
    const out = F.convTranspose2d(x, weight, null, { padding: 1 })
    const exact = F.convTranspose2d(x.double(), weight.double(), null, { padding: 1 })
    expect(largestError(out, exact)).toBeLessThan(1e-5)
  })

  it('gives the same bits every time', () => {
    manualSeed(9)
    const [x, weight] = [randn([64, 3, 32, 32]), randn([6, 3, 5, 5]).requiresGrad_()]
    const once = () => {
      weight.grad = null
      const out = F.conv2d(x, weight)
      out.square().sum().backward()
      return [out.detach(), weight.grad!.clone()]
    }
    const first = once()
    for (let i = 0; i < 3; i++) {
      once().forEach((tensor, j) => {
        expect(tensor.sub(first[j]!).abs().max().item()).toBe(0)
      })
    }
  })
})
