import { describe, expect, it } from 'vitest'
import {
  AnnealError,
  arange,
  ConfigError,
  channelsLast,
  conv1d,
  conv2d,
  convTranspose1d,
  convTranspose2d,
  DTypeError,
  gradcheck,
  manualSeed,
  ones,
  randn,
  ShapeError,
  setNumThreads,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

function leaf(...shape: number[]): Tensor {
  return randn(shape, { dtype: 'float64', requiresGrad: true })
}

const numbers = (x: Tensor) => Array.from(x.contiguous().dataSync() as ArrayLike<number>)

function expectClose(actual: Tensor, expected: Tensor, tolerance = 1e-5): void {
  expect(actual.shape).toEqual(expected.shape)
  const wanted = numbers(expected)
  numbers(actual).forEach((value, i) => {
    expect(Math.abs(value - wanted[i]!)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(wanted[i]!)))
  })
}

describe('conv2d', () => {
  it('has the right gradients', () => {
    manualSeed(1)
    const all = (options: Parameters<typeof conv2d>[3], x: number[], w: number[]) =>
      gradcheck((a, b, c) => conv2d(a, b, c, options), [leaf(...x), leaf(...w), leaf(w[0]!)])
    expect(all({}, [2, 2, 4, 3], [3, 2, 2, 2])).toBe(true)
    expect(all({ stride: [2, 1], padding: 1, groups: 2 }, [1, 4, 4, 4], [4, 2, 3, 2])).toBe(true)
    expect(all({ dilation: 2, padding: [2, 1], groups: 3 }, [1, 3, 4, 4], [6, 1, 3, 2])).toBe(true)
    expect(all({ padding: 'same', dilation: [1, 3] }, [1, 2, 3, 5], [2, 2, 2, 2])).toBe(true)
  })

  it('pads by a word', () => {
    const x = arange(6).to('float32').view(1, 1, 2, 3)
    // Two taps: nothing on the left, one zero on the right.
    expect(conv2d(x, ones([1, 1, 1, 2]), null, { padding: 'same' }).toArray()).toEqual([
      [
        [
          [1, 3, 2],
          [7, 9, 5],
        ],
      ],
    ])
    expect(conv2d(x, ones([1, 1, 2, 3]), null, { padding: 'valid' }).toArray()).toEqual([[[[15]]]])
    const same = { padding: 'same', stride: 2 } as const
    expect(() => conv2d(x, ones([1, 1, 1, 2]), null, same)).toThrow(/'same' needs a stride of 1/)
    expect(() => conv2d(x, ones([1, 1, 1, 2]), null, { padding: 'full' as 'same' })).toThrow(ConfigError)
  })

  it('computes the same from every layout', () => {
    manualSeed(2)
    const x = randn([2, 6, 5, 7])
    const w = randn([4, 3, 3, 3])
    const expected = conv2d(x, w, null, { groups: 2, padding: 1 })
    const twisted = x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    const wide = randn([2, 6, 5, 14])
    wide.index(':', ':', ':', '::2').copy_(x)
    for (const same of [channelsLast(x), twisted, wide.index(':', ':', ':', '::2')]) {
      expect(conv2d(same, w, null, { groups: 2, padding: 1 }).toArray()).toEqual(expected.toArray())
    }
    const turned = w.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    expect(conv2d(x, turned, null, { groups: 2, padding: 1 }).toArray()).toEqual(expected.toArray())
  })

  it('goes without pictures, forward and backward', () => {
    const x = zeros([0, 3, 5, 5], { requiresGrad: true })
    const w = ones([2, 3, 3, 3], { requiresGrad: true })
    const b = ones([2], { requiresGrad: true })
    const out = conv2d(x, w, b)
    expect(out.shape).toEqual([0, 2, 3, 3])
    out.sum().backward()
    expect(x.grad?.shape).toEqual([0, 3, 5, 5])
    expect(w.grad?.abs().sum().item()).toBe(0)
    expect(b.grad?.toArray()).toEqual([0, 0])
  })

  it('gives the bias its gradient when the weight wants none', () => {
    const b = zeros([2], { requiresGrad: true })
    conv2d(ones([2, 3, 4, 5]), ones([2, 3, 3, 3]), b)
      .sum()
      .backward()
    expect(b.grad?.toArray()).toEqual([12, 12])
  })

  it('computes in bfloat16 and float16, near the float32 values', () => {
    manualSeed(3)
    const [x, w, b] = [randn([2, 8, 6, 6]), randn([4, 8, 3, 3]), randn([4])]
    for (const [dtype, tolerance] of [
      ['bfloat16', 2e-2],
      ['float16', 2e-3],
    ] as const) {
      const [xs, ws, bs] = [x.to(dtype), w.to(dtype), b.to(dtype)].map((t) => t.requiresGrad_())
      const [xf, wf, bf] = [xs, ws, bs].map((t) => t!.detach().to('float32').requiresGrad_())
      const out = conv2d(xs!, ws!, bs!, { padding: 1 })
      expect(out.dtype).toBe(dtype)
      const expected = conv2d(xf!, wf!, bf!, { padding: 1 })
      const scale = expected.detach().abs().max().item()
      expectClose(out.detach().to('float32').div(scale), expected.detach().div(scale), tolerance)
      out.sum().backward()
      expected.sum().backward()
      for (const [half, full] of [
        [xs, xf],
        [ws, wf],
        [bs, bf],
      ]) {
        const size = full!.grad!.abs().max().item()
        expectClose(half!.grad!.to('float32').div(size), full!.grad!.div(size), tolerance)
      }
    }
  })

  it('refuses what does not fit, with the shapes', () => {
    const x = ones([2, 4, 5, 5])
    expect(() => conv2d(x, ones([3, 3, 3, 3]))).toThrow(/\[3, 3, 3, 3\].*3 input channels.*\[2, 4, 5, 5\]/)
    expect(() => conv2d(x, ones([3, 4, 7, 3]))).toThrow(/larger than the padded input/)
    expect(() => conv2d(x, ones([3, 2, 3, 3]), null, { groups: 2 })).toThrow(/cannot be split into 2 groups/)
    expect(() => conv2d(x, ones([3, 4, 3, 3]), ones([4]))).toThrow(/bias of \[3\], got \[4\]/)
    expect(() => conv2d(ones([5, 5]), ones([3, 4, 3, 3]))).toThrow(/\[N, C, H, W\] or \[C, H, W\].*\[5, 5\]/)
    expect(() => conv2d(x, ones([4, 3, 3]))).toThrow(ShapeError)
    expect(() => conv2d(ones([1, 0, 3, 3]), ones([2, 0, 3, 3]))).toThrow(/must not be zero/)
    expect(() => conv2d(ones([1, 2, 0, 3]), ones([2, 2, 1, 1]))).toThrow(ShapeError)
    expect(() => conv2d(x, ones([3, 4, 3, 3], { dtype: 'float64' }))).toThrow(DTypeError)
    expect(() => conv2d(x.to('int64'), ones([3, 4, 3, 3]).to('int64'))).toThrow(DTypeError)
    expect(() => conv2d(x, ones([3, 4, 3, 3]), ones([3]).to('int64'))).toThrow(/floating bias/)
    for (const wrong of [0, -1, 1.5, Number.NaN, 2 ** 40]) {
      expect(() => conv2d(x, ones([3, 4, 3, 3]), null, { stride: wrong })).toThrow(ShapeError)
      expect(() => conv2d(x, ones([3, 4, 3, 3]), null, { dilation: wrong })).toThrow(ShapeError)
      expect(() => conv2d(x, ones([3, 4, 3, 3]), null, { groups: wrong })).toThrow(ShapeError)
    }
    expect(() => conv2d(x, ones([3, 4, 3, 3]), null, { padding: -1 })).toThrow(ShapeError)
    expect(() => conv2d(x, ones([3, 4, 3, 3]), null, { padding: 2 ** 30 })).toThrow(AnnealError)
    expect(() => conv2d(x, ones([3, 4, 3, 3]), null, { stride: [1, 2, 3] })).toThrow(ShapeError)
    expect(() => conv2d(undefined as unknown as Tensor, x)).toThrow(AnnealError)
    expect(() => conv2d(x, 'weight' as unknown as Tensor)).toThrow(AnnealError)
    expect(
      conv2d(x, ones([3, 4, 3, 3]))
        .sum()
        .item(),
    ).toBe(2 * 3 * 9 * 36)
  })
})

describe('conv1d', () => {
  it('slides along a line', () => {
    const x = tensor([[[1, 2, 3, 4]]])
    expect(conv1d(x, tensor([[[1, 10]]]), tensor([100])).toArray()).toEqual([[[121, 132, 143]]])
    expect(conv1d(x, tensor([[[1, 10]]]), null, { padding: 'same' }).toArray()).toEqual([[[21, 32, 43, 4]]])
    expect(conv1d(x.squeeze(0), tensor([[[1, 10]]]), null, { stride: [2] }).toArray()).toEqual([[21, 43]])
  })

  it('has the right gradients', () => {
    manualSeed(4)
    expect(
      gradcheck(
        (x, w, b) => conv1d(x, w, b, { stride: 2, padding: 2, dilation: 2 }),
        [leaf(2, 3, 6), leaf(2, 3, 3), leaf(2)],
      ),
    ).toBe(true)
  })

  it('refuses what does not fit', () => {
    expect(() => conv1d(ones([1, 2, 5]), ones([3, 2, 3, 3]))).toThrow(/\[out, in \/ groups, length\]/)
    expect(() => conv1d(ones([1, 2, 5, 5]), ones([3, 2, 3]))).toThrow(/\[N, C, L\]/)
    expect(() => conv1d(ones([1, 2, 5]), ones([3, 2, 3]), null, { stride: [1, 2] })).toThrow(ConfigError)
    expect(() => conv1d(ones([1, 2, 2]), ones([3, 2, 3]))).toThrow(ShapeError)
  })
})

describe('convTranspose2d', () => {
  it('lays copies of the kernel side by side', () => {
    const out = convTranspose2d(tensor([[[[1, 2]]]]), tensor([[[[1, 10, 100]]]]), tensor([0.5]), {
      stride: [1, 2],
    })
    expect(out.toArray()).toEqual([[[[1.5, 10.5, 102.5, 20.5, 200.5]]]])
  })

  it('is the adjoint of conv2d', () => {
    manualSeed(5)
    const options = { stride: 2, padding: 1, dilation: [1, 2], groups: 2 }
    const weight = randn([6, 2, 3, 2], { dtype: 'float64' })
    const [x, y] = [randn([2, 4, 7, 7], { dtype: 'float64' }), randn([2, 6, 4, 4], { dtype: 'float64' })]
    const forward = conv2d(x, weight, null, options).mul(y).sum().item()
    const back = convTranspose2d(y, weight, null, options)
    expect(back.shape).toEqual([2, 4, 7, 7])
    expect(back.mul(x).sum().item()).toBeCloseTo(forward, 10)
  })

  it('has the right gradients', () => {
    manualSeed(6)
    const all = (options: Parameters<typeof convTranspose2d>[3], x: number[], w: number[]) =>
      gradcheck(
        (a, b, c) => convTranspose2d(a, b, c, options),
        [leaf(...x), leaf(...w), leaf(w[1]! * (options?.groups ?? 1))],
      )
    expect(all({}, [2, 2, 3, 2], [2, 3, 2, 2])).toBe(true)
    expect(all({ stride: 2, padding: 1, outputPadding: 1 }, [1, 3, 2, 3], [3, 2, 3, 3])).toBe(true)
    expect(all({ stride: [2, 1], groups: 2 }, [1, 4, 2, 3], [4, 2, 2, 3])).toBe(true)
    expect(all({ dilation: [3, 2], outputPadding: [2, 1] }, [1, 2, 2, 3], [2, 2, 2, 2])).toBe(true)
  })

  it('computes in bfloat16, near the float32 values', () => {
    manualSeed(7)
    const [x, w, b] = [randn([2, 8, 4, 4]), randn([8, 3, 4, 4]), randn([3])].map((t) => t.to('bfloat16'))
    const options = { stride: 2, padding: 1 }
    const wide = [x, w, b].map((t) => t!.to('float32').requiresGrad_())
    const half = [x, w, b].map((t) => t!.detach().requiresGrad_())
    const expected = convTranspose2d(wide[0]!, wide[1]!, wide[2]!, options)
    const out = convTranspose2d(half[0]!, half[1]!, half[2]!, options)
    expect([out.dtype, out.shape]).toEqual(['bfloat16', [2, 3, 8, 8]])
    const scale = expected.detach().abs().max().item()
    expectClose(out.detach().to('float32').div(scale), expected.detach().div(scale), 2e-2)
    out.sum().backward()
    expected.sum().backward()
    half.forEach((t, i) => {
      const size = wide[i]!.grad!.abs().max().item()
      expectClose(t.grad!.to('float32').div(size), wide[i]!.grad!.div(size), 2e-2)
    })
  })

  it('adds its bias to few and to many channels, whatever the number of threads', () => {
    for (const channels of [1, 3, 16, 67]) {
      const bias = arange(channels).to('float32')
      const run = () =>
        convTranspose2d(zeros([3, 2, 25, 31]), zeros([2, channels, 2, 2]), bias, { stride: 2 })
      const expected = bias.view(1, channels, 1, 1).expand(3, channels, 50, 62).toArray()
      setNumThreads(1)
      expect(run().toArray()).toEqual(expected)
      setNumThreads(2)
      expect(run().toArray()).toEqual(expected)
    }
  })

  it('keeps its output channels-last', () => {
    const out = convTranspose2d(ones([1, 2, 3, 3]), ones([2, 4, 2, 2]))
    expect(out.strides).toEqual(channelsLast(out).strides)
    expect(out.permute(0, 2, 3, 1).isContiguous).toBe(true)
  })

  it('refuses what does not fit, with the shapes', () => {
    const x = ones([2, 4, 5, 5])
    expect(() => convTranspose2d(x, ones([3, 4, 3, 3]))).toThrow(/expects 3 input channels.*\[2, 4, 5, 5\]/)
    expect(() => convTranspose2d(x, ones([4, 3, 3, 3]), ones([4]))).toThrow(/bias of \[3\], got \[4\]/)
    expect(() => convTranspose2d(x, ones([4, 3, 3, 3]), null, { groups: 3 })).toThrow(/3 groups/)
    expect(() => convTranspose2d(x, ones([4, 3, 3, 3]), null, { outputPadding: 1 })).toThrow(
      /outputPadding must lie between 0 and/,
    )
    expect(() => convTranspose2d(x, ones([4, 3, 3, 3]), null, { stride: 2, outputPadding: 2 })).toThrow(
      ShapeError,
    )
    expect(() => convTranspose2d(x, ones([4, 3, 3, 3]), null, { padding: 4 })).toThrow(
      /nothing would be left/,
    )
    expect(() => convTranspose2d(x, ones([4, 3, 3, 3]), null, { outputPadding: Number.NaN })).toThrow(
      AnnealError,
    )
    expect(() => convTranspose2d(ones([4]), ones([4, 3, 3, 3]))).toThrow(/\[C, H, W\], got \[4\]/)
    expect(() => convTranspose2d(x, ones([4, 3, 3]))).toThrow(ShapeError)
    expect(() => convTranspose2d(x, ones([4, 3, 3, 3], { dtype: 'bfloat16' }))).toThrow(DTypeError)
    expect(() => convTranspose2d(null as unknown as Tensor, x)).toThrow(AnnealError)
  })
})

describe('convTranspose1d', () => {
  it('lays copies of the kernel side by side', () => {
    const out = convTranspose1d(tensor([[1, 2]]), tensor([[[1, 10]]]), null, { stride: 3, outputPadding: 1 })
    expect(out.toArray()).toEqual([[1, 10, 0, 2, 20, 0]])
  })

  it('has the right gradients', () => {
    manualSeed(8)
    expect(
      gradcheck(
        (x, w, b) => convTranspose1d(x, w, b, { stride: 2, padding: 1, groups: 2 }),
        [leaf(2, 4, 3), leaf(4, 1, 3), leaf(2)],
      ),
    ).toBe(true)
  })
})
