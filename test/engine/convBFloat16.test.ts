import { describe, expect, it } from 'vitest'
import type { ConvOptions } from '../../src/engine/index.ts'
import { autocast, F, manualSeed, ones, randn, type Tensor } from '../../src/index.ts'

// By Winograd's filtering (3 x 3, and 7 x 7 with a stride of 2), by products of pairs (few pixels, weights' gradients with a
// stride) and by oneDNN, which is wrong for some shapes; beside the plain sum in float64.

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
    ['dilated', 2, [20, 8, 56, 56], 3, { dilation: 2 }],
    ['dilated, many channels', 2, [32, 64, 28, 33], 3, { dilation: 2, padding: 2 }],
    ['a single tap from an odd number of channels', 1, [20, 21, 90, 16], 1, {}],
    ['a stride wider than the pictures', 3, [12, 18, 9, 2], 3, { stride: 3, padding: [1, 2] }],
    ['a stride wider than the pictures, many channels', 5, [64, 32, 4, 1], 3, { stride: 2, padding: [0, 2] }],
    ['few pixels, a stride', 5, [144, 80, 7, 6], 3, { stride: 2, padding: 1 }],
    ['few pixels, dilated, larger', 3, [96, 112, 8, 8], 5, { padding: 4, dilation: 2 }],
    ['few pixels, taps that meet none', 3, [256, 256, 1, 2], 3, { padding: 1 }],
    ['few pixels, a single tap', 4, [256, 272, 5, 5], 1, {}],
    ['the first of a network', 4, [3, 64, 64, 64], 7, { stride: 2, padding: 3 }],
    ['the first of a network, odd sizes', 2, [4, 48, 75, 57], 7, { stride: 2, padding: [2, 3] }],
    ['the first of a network, 8 x 8, one channel', 3, [1, 16, 40, 56], 8, { stride: 2, padding: [2, 4] }],
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

  // The layouts that a bias and a first layer's input may come in.
  it.each([
    ['few pixels', [256, 272, 4, 4], 3, { padding: 1 }],
    ['by tiles', [64, 64, 16, 16], 3, { padding: 1 }],
    ['with a stride', [64, 32, 12, 1], 3, { stride: 2, padding: 1 }],
    ['the first of a network', [3, 64, 56, 50], 7, { stride: 2, padding: 3 }],
  ] as const)('%s: with a bias, from either layout', (_, [inputs, outputs, height, width], size, options) => {
    manualSeed(8)
    const x = randn([3, inputs, height, width]).to('bfloat16')
    const weight = randn([outputs, inputs, size, size]).to('bfloat16').float()
    const parameters = () => [weight.clone().requiresGrad_(), ones([outputs]).requiresGrad_()] as const
    const [plain, biased, channelsLast] = [parameters(), parameters(), parameters()]
    const convolve = (input: Tensor, [w, b]: readonly [Tensor, Tensor], bias = true) =>
      autocast('bfloat16', () => F.conv2d(input, w, bias ? b : null, options))
    const without = convolve(x, plain, false)
    const g = randn([...without.shape]).to('bfloat16')
    without.backward({ gradient: g })
    const nhwc = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
    for (const [input, [w, b]] of [
      [x, biased],
      [nhwc, channelsLast],
    ] as const) {
      const out = convolve(input, [w, b])
      out.backward({ gradient: g })
      // Rounded after the bias: half a step of 2^-7 from one that was rounded before.
      const far = out
        .float()
        .sub(without.float().add(1))
        .abs()
        .sub(
          without
            .float()
            .abs()
            .mul(2 ** -7),
        )
      expect(far.max().item()).toBeLessThan(2 ** -7)
      expect(w.grad!.allclose(plain[0].grad!, { rtol: 1e-4, atol: 1e-3 })).toBe(true)
      const sums = g.double().sum([0, 2, 3])
      expect(b.grad!.double().allclose(sums, { rtol: 1e-5, atol: 1e-3 })).toBe(true)
    }
    expect(channelsLast[0].grad!.equal(biased[0].grad!)).toBe(true)
  })

  it.each([
    ['by tiles', [64, 64, 28], { padding: 1 }],
    ['with a stride', [64, 128, 28], { stride: 2, padding: 1 }],
    ['few pixels', [256, 256, 2], { padding: 1 }],
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
