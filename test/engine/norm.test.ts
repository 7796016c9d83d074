import { describe, expect, it } from 'vitest'
import {
  type BatchNormOptions,
  batchNorm,
  ConfigError,
  channelsLast,
  DTypeError,
  gradcheck,
  groupNorm,
  layerNorm,
  manualSeed,
  ones,
  rand,
  randn,
  relu,
  ShapeError,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

function leaf(...shape: number[]): Tensor {
  return randn(shape, { dtype: 'float64', requiresGrad: true })
}

function largest(x: Tensor): number {
  return x.abs().max().item()
}

/** Element by element, to a share of the largest value. */
function expectClose(actual: Tensor, expected: Tensor, tolerance: number): void {
  expect(actual.shape).toEqual(expected.shape)
  expect(largest(actual.to('float64').sub(expected.to('float64')))).toBeLessThanOrEqual(
    tolerance * Math.max(1, largest(expected)),
  )
}

/** Mean and population variance of each channel, in float64. */
function moments(x: Tensor): { mean: Tensor; variance: Tensor } {
  const wide = x.to('float64')
  const dims = x.shape.map((_, i) => i).filter((i) => i !== 1)
  const mean = wide.mean(dims, { keepdim: true })
  return { mean, variance: wide.sub(mean).square().mean(dims, { keepdim: true }) }
}

describe('batchNorm', () => {
  it('normalises by the batch when training', () => {
    const y = batchNorm(tensor([[1], [2], [3], [6]]), { training: true, eps: 0 })
    const deviation = Math.sqrt(3.5)
    expectClose(y, tensor([[-2], [-1], [0], [3]]).div(deviation), 1e-6)
  })

  it('updates the running statistics with the unbiased variance', () => {
    const runningMean = tensor([1])
    const runningVar = tensor([2])
    batchNorm(tensor([[1], [2], [3], [6]]), { training: true, runningMean, runningVar, momentum: 0.25 })
    expect(runningMean.item()).toBeCloseTo(0.75 * 1 + 0.25 * 3, 6)
    expect(runningVar.item()).toBeCloseTo(0.75 * 2 + (0.25 * 14) / 3, 6)
  })

  it('uses the running statistics when evaluating, and leaves them alone', () => {
    const options = { runningMean: tensor([3]), runningVar: tensor([4]), eps: 0 }
    expect(batchNorm(tensor([[5], [1]]), options).toArray()).toEqual([[1], [-1]])
    expect(options.runningMean.item()).toBe(3)
  })

  // Sizes on both sides of a vector, of a block of rows and of a chunk.
  const shapes = [
    [5, 3],
    [40, 33],
    [4, 7, 9],
    [2, 16, 6, 5],
    [3, 64, 50, 40],
    [2, 3, 2, 3, 4],
  ]
  for (const shape of shapes) {
    it(`agrees with its definition on [${shape.join(', ')}]`, () => {
      const x = randn(shape).mul(3).add(2)
      const { mean, variance } = moments(x)
      const expected = x.to('float64').sub(mean).div(variance.add(1e-5).sqrt())
      expectClose(batchNorm(x, { training: true }), expected, 3e-6)
      if (x.ndim === 4) expectClose(batchNorm(channelsLast(x), { training: true }), expected, 3e-6)
    })
  }

  it('loses nothing to a large mean', () => {
    const x = randn([5000, 4]).add(3000)
    const { mean, variance } = moments(x)
    const expected = x.to('float64').sub(mean).div(variance.add(1e-5).sqrt())
    // Half a unit in the last place of the mean, 3000, is 1.2e-4 of a deviation.
    expectClose(batchNorm(x, { training: true }), expected, 1e-4)
  })

  it('fuses what relu and a sum would do apart', () => {
    for (const training of [true, false]) {
      const shape = [3, 19, 4, 5]
      const inputs = () => {
        manualSeed(9)
        const x = randn(shape, { requiresGrad: true })
        const weight = randn([19], { requiresGrad: true })
        const bias = randn([19], { requiresGrad: true })
        const residual = randn(shape, { requiresGrad: true })
        return { x, weight, bias, residual, runningMean: randn([19]), runningVar: rand([19]).add(0.5) }
      }
      const [a, b] = [inputs(), inputs()]
      const { x, ...options } = a
      const fused = batchNorm(x, { ...options, training, activation: 'relu' })
      const { x: x2, residual, ...others } = b
      const apart = relu(batchNorm(x2, { ...others, training }).add(residual))
      expectClose(fused, apart, 1e-6)
      const upstream = randn(shape)
      fused.backward({ gradient: upstream })
      apart.backward({ gradient: upstream })
      for (const name of ['x', 'weight', 'bias', 'residual'] as const) {
        expectClose(a[name].grad as Tensor, b[name].grad as Tensor, 2e-5)
      }
    }
  })

  const affine = (shape: number[]) => [leaf(...shape), leaf(shape[1] as number), leaf(shape[1] as number)]
  const variants: [string, Omit<BatchNormOptions, 'weight' | 'bias'>][] = [
    ['training', { training: true }],
    [
      'evaluating',
      {
        runningMean: tensor([0.3, -0.2], { dtype: 'float64' }),
        runningVar: tensor([2, 0.5], { dtype: 'float64' }),
      },
    ],
  ]
  for (const [name, options] of variants) {
    it(`has the right gradients, ${name}`, () => {
      manualSeed(10)
      for (const shape of [
        [4, 2],
        [3, 2, 5],
        [2, 2, 3, 3],
      ]) {
        expect(
          gradcheck((x, weight, bias) => batchNorm(x, { ...options, weight, bias }), affine(shape)),
        ).toBe(true)
        expect(gradcheck((x) => batchNorm(x, options), [leaf(...shape)])).toBe(true)
        expect(
          gradcheck(
            (x, weight, bias) => batchNorm(x, { ...options, weight, bias, activation: 'relu' }),
            affine(shape),
          ),
        ).toBe(true)
        expect(
          gradcheck(
            (x, weight, bias, residual) =>
              batchNorm(x, { ...options, weight, bias, residual, activation: 'relu' }),
            [...affine(shape), leaf(...shape)],
          ),
        ).toBe(true)
        expect(
          gradcheck(
            (x, residual) => batchNorm(x, { ...options, residual }),
            [leaf(...shape), leaf(...shape)],
          ),
        ).toBe(true)
      }
    })
  }

  it('gives only the gradients asked for', () => {
    const x = randn([6, 3])
    const weight = ones([3], { requiresGrad: true })
    batchNorm(x, { weight, bias: zeros([3]), training: true, activation: 'relu' })
      .sum()
      .backward()
    expect(weight.grad).not.toBeNull()
    expect(x.grad).toBeNull()
    const input = randn([6, 3], { requiresGrad: true })
    batchNorm(input, { weight: ones([3]), training: true, residual: randn([6, 3]), activation: 'relu' })
      .sum()
      .backward()
    expect(input.grad?.shape).toEqual([6, 3])
  })

  for (const dtype of ['bfloat16', 'float16'] as const) {
    it(`keeps statistics in float32 for ${dtype}`, () => {
      const x = randn([64, 8, 5, 5]).to(dtype)
      const state = () => ({
        weight: ones([8]),
        bias: zeros([8]),
        runningMean: zeros([8]),
        runningVar: ones([8]),
      })
      const [half, wide] = [state(), state()]
      const y = batchNorm(x, { ...half, training: true })
      expect(y.dtype).toBe(dtype)
      const expected = batchNorm(x.to('float32'), { ...wide, training: true })
      expect(y.toArray()).toEqual(expected.to(dtype).toArray())
      expectClose(half.runningVar, wide.runningVar, 1e-6)
      const input = x.detach().requiresGrad_()
      batchNorm(input, { ...state(), training: true, activation: 'relu' })
        .sum()
        .backward()
      expect(input.grad?.dtype).toBe(dtype)
    })
  }

  it('updates statistics of half precision too', () => {
    const runningMean = zeros([1]).to('bfloat16')
    const runningVar = ones([1]).to('bfloat16')
    batchNorm(tensor([[1], [3]]).to('bfloat16'), { runningMean, runningVar, training: true, momentum: 0.5 })
    expect([runningMean.item(), runningVar.item()]).toEqual([1, 1.5])
  })

  it('gives the same bits every time', () => {
    const x = randn([8, 33, 40, 40])
    const first = batchNorm(x, { training: true })
    for (let i = 0; i < 5; i++) expect(batchNorm(x, { training: true }).ne(first).any().item()).toBe(0)
  })

  it('refuses what makes no sense, at once', () => {
    const x = ones([4, 3])
    expect(() => batchNorm(ones([1, 3]), { training: true })).toThrow(/more than one value per channel/)
    expect(() => batchNorm(ones([0, 3]), { training: true })).toThrow(ShapeError)
    expect(() => batchNorm(x)).toThrow(/runningMean and runningVar are needed/)
    expect(() => batchNorm(x, { runningMean: zeros([3]), training: true })).toThrow(/go together/)
    expect(() => batchNorm(x, { weight: ones([4]), training: true })).toThrow(/weight must have shape \[3\]/)
    expect(() => batchNorm(x, { weight: ones([3]).to('float64'), training: true })).toThrow(DTypeError)
    expect(() => batchNorm(x, { residual: ones([4, 4]), training: true })).toThrow(
      /residual has shape \[4, 4\]/,
    )
    expect(() => batchNorm(ones([3]), { training: true })).toThrow(ShapeError)
    expect(() => batchNorm(x.to('int64'), { training: true })).toThrow(DTypeError)
    expect(() => batchNorm(x, { training: true, activation: 'gelu' as 'relu' })).toThrow(ConfigError)
  })

  it('passes an empty batch when evaluating', () => {
    const x = zeros([0, 3], { requiresGrad: true })
    const weight = ones([3], { requiresGrad: true })
    const y = batchNorm(x, { runningMean: zeros([3]), runningVar: ones([3]), weight })
    y.sum().backward()
    expect(y.shape).toEqual([0, 3])
    expect(weight.grad?.toArray()).toEqual([0, 0, 0])
  })
})

describe('layerNorm', () => {
  it('normalises each row', () => {
    const y = layerNorm(tensor([[1, 2, 3, 6]]), 4, { eps: 0 })
    expectClose(y, tensor([[-2, -1, 0, 3]]).div(Math.sqrt(3.5)), 1e-6)
  })

  it('has the right gradients', () => {
    manualSeed(11)
    const run = (shape: number[]) => (x: Tensor, weight: Tensor, bias: Tensor) =>
      layerNorm(x, shape, { weight, bias })
    expect(gradcheck(run([5]), [leaf(3, 5), leaf(5), leaf(5)])).toBe(true)
    expect(gradcheck(run([3, 4]), [leaf(2, 3, 4), leaf(3, 4), leaf(3, 4)])).toBe(true)
    expect(gradcheck((x) => layerNorm(x, 19), [leaf(2, 19)])).toBe(true)
    expect(gradcheck((x) => layerNorm(x.t(), 3), [leaf(3, 4)])).toBe(true)
  })

  it('sums the gradients of its parameters over many rows', () => {
    const x = randn([3000, 40])
    const weight = ones([40], { requiresGrad: true })
    const bias = zeros([40], { requiresGrad: true })
    const upstream = randn([3000, 40])
    const y = layerNorm(x, 40, { weight, bias })
    y.backward({ gradient: upstream })
    expectClose(bias.grad as Tensor, upstream.to('float64').sum(0), 1e-6)
    expectClose(weight.grad as Tensor, upstream.to('float64').mul(y.detach().to('float64')).sum(0), 1e-5)
  })

  it('computes half precision in float32', () => {
    const x = randn([6, 37]).to('bfloat16')
    expect(layerNorm(x, 37).toArray()).toEqual(layerNorm(x.to('float32'), 37).to('bfloat16').toArray())
  })

  it('refuses shapes that do not match', () => {
    expect(() => layerNorm(ones([2, 3]), 4)).toThrow(/does not end in the normalised shape \[4\]/)
    expect(() => layerNorm(ones([2, 3]), [])).toThrow(ShapeError)
    expect(() => layerNorm(ones([2, 3]), [1, 2, 3])).toThrow(ShapeError)
    expect(() => layerNorm(ones([2, 3]), 3, { bias: ones([2]) })).toThrow(/bias must have shape \[3\]/)
    expect(() => layerNorm(ones([2, 3]).to('int64'), 3)).toThrow(DTypeError)
  })
})

describe('groupNorm', () => {
  it('agrees with its definition', () => {
    const x = randn([3, 18, 21, 20]).add(5)
    const grouped = x.to('float64').view(3, 6, 3 * 21 * 20)
    const centred = grouped.sub(grouped.mean(2, { keepdim: true }))
    const expected = centred
      .div(centred.square().mean(2, { keepdim: true }).add(1e-5).sqrt())
      .view(3, 18, 21, 20)
    expectClose(groupNorm(x, 6), expected, 3e-6)
    expectClose(groupNorm(channelsLast(x), 6), expected, 3e-6)
  })

  it('has the right gradients', () => {
    manualSeed(12)
    const run = (groups: number) => (x: Tensor, weight: Tensor, bias: Tensor) =>
      groupNorm(x, groups, { weight, bias })
    expect(gradcheck(run(2), [leaf(2, 4, 3, 2), leaf(4), leaf(4)])).toBe(true)
    expect(gradcheck(run(3), [leaf(3, 6), leaf(6), leaf(6)])).toBe(true)
    expect(gradcheck(run(1), [leaf(2, 3, 4), leaf(3), leaf(3)])).toBe(true)
    expect(gradcheck((x) => groupNorm(x, 4), [leaf(2, 4, 2, 2)])).toBe(true)
  })

  it('joins the sums of many chunks', () => {
    const x = randn([2, 32, 70, 70], { dtype: 'float64', requiresGrad: true })
    const weight = randn([32], { dtype: 'float64', requiresGrad: true })
    const upstream = randn([2, 32, 70, 70], { dtype: 'float64' })
    groupNorm(x, 8, { weight }).backward({ gradient: upstream })
    const wide = x.detach().requiresGrad_()
    const scale = weight.detach().requiresGrad_()
    const grouped = wide.view(2, 8, 4 * 4900)
    const centred = grouped.sub(grouped.mean(2, { keepdim: true }))
    const y = centred.div(centred.square().mean(2, { keepdim: true }).add(1e-5).sqrt()).view(2, 32, 70, 70)
    y.mul(scale.view(1, 32, 1, 1)).backward({ gradient: upstream })
    expectClose(x.grad as Tensor, wide.grad as Tensor, 1e-12)
    expectClose(weight.grad as Tensor, scale.grad as Tensor, 1e-11)
  })

  it('refuses groups that do not divide the channels', () => {
    expect(() => groupNorm(ones([2, 6]), 4)).toThrow(/6 channels cannot be split into 4 groups/)
    expect(() => groupNorm(ones([2, 6]), 0)).toThrow(ShapeError)
    expect(() => groupNorm(ones([6]), 2)).toThrow(ShapeError)
    expect(groupNorm(zeros([0, 6]), 2).shape).toEqual([0, 6])
  })
})
