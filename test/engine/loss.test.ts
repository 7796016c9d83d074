import { describe, expect, it } from 'vitest'
import {
  autocast,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  ConfigError,
  channelsLast,
  crossEntropy,
  DTypeError,
  full,
  gradcheck,
  logSoftmax,
  manualSeed,
  nllLoss,
  oneHot,
  ones,
  type Reduction,
  rand,
  randn,
  ShapeError,
  softmax,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

const reductions: readonly Reduction[] = ['none', 'mean', 'sum']

function leaf(...shape: number[]): Tensor {
  return randn(shape, { dtype: 'float64', requiresGrad: true })
}

function labels(values: readonly unknown[]): Tensor {
  return tensor(values as number[], { dtype: 'int64' })
}

function expectClose(actual: Tensor, expected: Tensor, tolerance = 1e-6): void {
  expect(actual.shape).toEqual(expected.shape)
  const difference = actual.to('float64').sub(expected.to('float64')).abs().max().item()
  expect(difference).toBeLessThanOrEqual(tolerance * Math.max(1, expected.abs().max().item()))
}

describe('crossEntropy', () => {
  it('gives closed forms', () => {
    // All scores equal: the logarithm of the number of classes, whatever the label.
    expect(crossEntropy(zeros([3, 7]), labels([0, 3, 6])).item()).toBeCloseTo(Math.log(7), 6)
    // Two classes apart by log 3: probabilities 1/4 and 3/4.
    const x = tensor([[0, Math.log(3)]])
    expect(crossEntropy(x, labels([0])).item()).toBeCloseTo(Math.log(4), 6)
    expect(crossEntropy(x, labels([1])).item()).toBeCloseTo(Math.log(4 / 3), 6)
  })

  it('is nllLoss after logSoftmax, in every layout and reduction', () => {
    const x = randn([4, 21, 3, 5])
    const target = labels(Array.from({ length: 60 }, (_, i) => (i * 7) % 21)).view(4, 3, 5)
    const weight = rand([21])
    for (const reduction of reductions) {
      const expected = nllLoss(logSoftmax(x, 1), target, { weight, reduction })
      expectClose(crossEntropy(x, target, { weight, reduction }), expected)
      expectClose(crossEntropy(channelsLast(x), target, { weight, reduction }), expected)
    }
  })

  it('takes one-hot probabilities for labels', () => {
    const x = randn([5, 4])
    const target = labels([0, 3, 1, 1, 2])
    const hot = oneHot(target, 4).to('float32')
    for (const labelSmoothing of [0, 0.3]) {
      expectClose(crossEntropy(x, hot, { labelSmoothing }), crossEntropy(x, target, { labelSmoothing }))
    }
  })

  it('takes probabilities of another dtype than the scores, as PyTorch', () => {
    const scores = [
      [1, 2, 0.5],
      [0.3, -1, 2],
    ]
    const probabilities = [
      [0.2, 0.3, 0.5],
      [0.1, 0.1, 0.8],
    ]
    // PyTorch 1.13
    for (const [x, y, result, value, digits] of [
      ['float32', 'float64', 'float64', 1.0466947570443152, 6],
      ['float32', 'bfloat16', 'float32', 1.0473506450653076, 6],
      ['float64', 'float32', 'float64', 1.0466947856229807, 8],
      ['bfloat16', 'float32', 'float32', 1.0466947570443152, 2],
      ['bfloat16', 'float16', 'float32', 1.0466947570443152, 2],
    ] as const) {
      const logits = tensor(scores, { dtype: x, requiresGrad: true })
      const target = tensor(probabilities, { dtype: y, requiresGrad: true })
      const loss = crossEntropy(logits, target)
      expect(loss.dtype).toBe(result)
      expect(loss.item()).toBeCloseTo(value, digits)
      loss.backward()
      expect([logits.grad!.dtype, target.grad!.dtype]).toEqual([x, y])
      expectClose(
        logits.grad!,
        tensor([
          [0.0156, 0.1643, -0.1799],
          [0.0241, -0.0298, 0.0057],
        ]),
        3e-3,
      )
      expectClose(
        target.grad!,
        tensor([
          [0.7322, 0.2322, 0.9822],
          [0.9545, 1.6045, 0.1045],
        ]),
        5e-3,
      )
    }
  })

  it('takes probabilities in low precision under autocast', () => {
    const scores = randn([4, 3]).to('bfloat16')
    const probabilities = softmax(randn([4, 3]), 1).to('bfloat16')
    const loss = autocast('bfloat16', () => crossEntropy(scores, probabilities))
    expect(loss.dtype).toBe('float32')
    expectClose(loss, crossEntropy(scores.float(), probabilities.float()))
    expect(() => autocast('bfloat16', () => crossEntropy(ones([4, 3]), probabilities))).not.toThrow()
  })

  it('spreads a smoothed label over all classes', () => {
    // 1 - 0.4 of log 4 and 0.4 of the mean of log 4 and log 4/3.
    const loss = crossEntropy(tensor([[0, Math.log(3)]]), labels([0]), { labelSmoothing: 0.4 })
    expect(loss.item()).toBeCloseTo(0.6 * Math.log(4) + 0.2 * (Math.log(4) + Math.log(4 / 3)), 6)
  })

  it('leaves ignored labels out, even out of range', () => {
    const x = randn([4, 3], { requiresGrad: true })
    const some = crossEntropy(x, labels([1, -100, 2, -100]))
    expectClose(some, crossEntropy(x.index([0, 2] as never), labels([1, 2])))
    some.backward()
    expect(x.grad?.select(0, 1).toArray()).toEqual([0, 0, 0])
    expect(
      crossEntropy(x, labels([1, 9, 9, 2]), { ignoreIndex: 9, reduction: 'none' })
        .select(0, 1)
        .item(),
    ).toBe(0)
  })

  it('has no mean when all labels are ignored', () => {
    const all = labels([-100, -100])
    expect(crossEntropy(ones([2, 3]), all).item()).toBeNaN()
    expect(crossEntropy(ones([2, 3]), all, { reduction: 'sum' }).item()).toBe(0)
  })

  it('stays exact for scores of any size', () => {
    expect(crossEntropy(tensor([[20000, 20001]]), labels([0])).item()).toBeCloseTo(
      1 + Math.log1p(Math.exp(-1)),
      6,
    )
    expect(crossEntropy(tensor([[1e30, 0]]), labels([0])).item()).toBe(0)
    const x = tensor([[-200, 300, 0]], { requiresGrad: true })
    const loss = crossEntropy(x, labels([0]))
    loss.backward()
    expect(loss.item()).toBe(500)
    expect(x.grad?.toArray()).toEqual([[-1, 1, 0]])
  })

  it('has the right gradients', () => {
    manualSeed(20)
    const weight = tensor([1, 2, 0.5], { dtype: 'float64' })
    const target = labels([
      [0, 1],
      [2, -100],
    ])
    for (const reduction of reductions) {
      const options = { weight, labelSmoothing: 0.2, reduction }
      expect(gradcheck((x) => crossEntropy(x, labels([2, 0, 1]), { reduction }), [leaf(3, 3)])).toBe(true)
      expect(gradcheck((x) => crossEntropy(x, target, options), [leaf(2, 3, 2)])).toBe(true)
      expect(gradcheck((x) => crossEntropy(x, labels([1]), { reduction }), [leaf(1, 20)])).toBe(true)
      expect(gradcheck((x, q) => crossEntropy(x, q, options), [leaf(2, 3, 2), leaf(2, 3, 2)])).toBe(true)
      expect(gradcheck((x, q) => crossEntropy(x, q, { reduction }), [leaf(3), leaf(3)])).toBe(true)
    }
    expect(gradcheck((x) => crossEntropy(x, labels(1 as never)), [leaf(4)])).toBe(true)
  })

  it('takes labels of any integer dtype', () => {
    const x = randn([2, 3])
    const expected = crossEntropy(x, labels([2, 0])).item()
    for (const dtype of ['int32', 'uint8'] as const) {
      expect(crossEntropy(x, tensor([2, 0], { dtype })).item()).toBe(expected)
    }
  })

  it('computes half precision in float32', () => {
    const x = randn([9, 12]).to('bfloat16').requiresGrad_()
    const target = labels([0, 1, 2, 3, 4, 5, 6, 7, 8])
    const loss = crossEntropy(x, target)
    expect(loss.dtype).toBe('bfloat16')
    expect(loss.item()).toBe(crossEntropy(x.detach().to('float32'), target).to('bfloat16').item())
    loss.backward()
    expect(x.grad?.dtype).toBe('bfloat16')
  })

  it('gives the same bits every time', () => {
    const x = randn([5000, 40])
    const target = labels(Array.from({ length: 5000 }, (_, i) => i % 40))
    const first = crossEntropy(x, target, { reduction: 'sum' }).item()
    for (let i = 0; i < 5; i++) expect(crossEntropy(x, target, { reduction: 'sum' }).item()).toBe(first)
  })

  it('names a label out of range, where it is, and goes on working', () => {
    const x = randn([2, 3, 2], { requiresGrad: true })
    const wrong = labels([
      [0, 1],
      [3, 2],
    ])
    const loss = crossEntropy(x, wrong)
    expect(() => loss.item()).toThrow(ShapeError)
    expect(() => crossEntropy(x, wrong).item()).toThrow(
      /label 3 at position \[1, 0\] is out of range for 3 classes/,
    )
    expect(() => nllLoss(x, wrong).item()).toThrow(/nllLoss: label 3 at position \[1, 0\]/)
    expect(() =>
      crossEntropy(
        x,
        labels([
          [0, 1],
          [-1, 2],
        ]),
      ).item(),
    ).toThrow(/label -1/)
    // The backward pass of a wrong label must not follow it either.
    const late = crossEntropy(x, wrong)
    late.backward()
    expect(() => late.item()).toThrow(ShapeError)
    expect(crossEntropy(zeros([1, 2]), labels([0])).item()).toBeCloseTo(Math.log(2), 6)
  })

  it('refuses what does not fit, at once', () => {
    const x = ones([4, 3])
    expect(() => crossEntropy(x, labels([0, 1]))).toThrow(/expected labels of shape \[4\], got \[2\]/)
    expect(() => crossEntropy(x, ones([4, 2]))).toThrow(
      /expected probabilities of shape \[4, 3\], got \[4, 2\]/,
    )
    expect(() => crossEntropy(x, tensor([0, 1, 2, 0]))).toThrow(
      /expected probabilities of shape \[4, 3\], got \[4\]; class labels are integers: target.long\(\)/,
    )
    expect(() => crossEntropy(x.to('int64'), x)).toThrow(DTypeError)
    expect(() => crossEntropy(x.to('int64'), labels([0, 1, 2, 0]))).toThrow(DTypeError)
    expect(() => crossEntropy(x, labels([0, 1, 2, 0]), { weight: ones([4]) })).toThrow(
      /weight for each of 3 classes/,
    )
    expect(() => crossEntropy(x, labels([0, 1, 2, 0]), { labelSmoothing: 2 })).toThrow(/labelSmoothing/)
    expect(() => crossEntropy(x, labels([0, 1, 2, 0]), { reduction: 'avg' as Reduction })).toThrow(
      ConfigError,
    )
    expect(() => crossEntropy(ones([4, 0]), labels([0, 0, 0, 0]))).toThrow(/no classes/)
  })
})

describe('nllLoss', () => {
  it('picks the entries of the labels', () => {
    const x = tensor([
      [-1, -2, -3],
      [-4, -5, -6],
    ])
    expect(nllLoss(x, labels([2, 0]), { reduction: 'none' }).toArray()).toEqual([3, 4])
    expect(nllLoss(x, labels([2, 0])).item()).toBe(3.5)
    expect(nllLoss(x, labels([2, 0]), { weight: tensor([3, 1, 1]) }).item()).toBe((3 + 12) / 4)
    expect(nllLoss(x, labels([2, -100]), { reduction: 'sum' }).item()).toBe(3)
  })

  it('has the right gradients', () => {
    const weight = tensor([1, 2, 0.5], { dtype: 'float64' })
    for (const reduction of reductions) {
      const target = labels([
        [0, 1],
        [2, -100],
      ])
      expect(gradcheck((x) => nllLoss(x, target, { weight, reduction }), [leaf(2, 3, 2)])).toBe(true)
    }
  })
})

describe('binaryCrossEntropyWithLogits', () => {
  it('gives closed forms, stable for scores of any size', () => {
    const x = tensor([0, 100, -100, 1000, -1000, Math.log(3)])
    const y = tensor([1, 1, 1, 0, 1, 0])
    const losses = binaryCrossEntropyWithLogits(x, y, { reduction: 'none' }).toArray() as number[]
    const expected = [Math.log(2), 0, 100, 1000, 1000, Math.log(4)]
    losses.forEach((loss, i) => {
      expect(loss).toBeCloseTo(expected[i] as number, 5)
    })
  })

  it('is the loss of the sigmoid', () => {
    const x = randn([300, 70])
    const y = rand([300, 70])
    const expected = binaryCrossEntropy(x.sigmoid(), y)
    expectClose(binaryCrossEntropyWithLogits(x, y), expected)
    expectClose(binaryCrossEntropyWithLogits(x.t(), y.t()), expected)
  })

  it('weighs positives and elements', () => {
    const x = zeros([2, 3])
    const y = tensor([
      [1, 0, 1],
      [0, 1, 0],
    ])
    const posWeight = tensor([2, 3, 4])
    const weighted = binaryCrossEntropyWithLogits(x, y, { posWeight, reduction: 'none' })
    expectClose(
      weighted.div(Math.log(2)),
      tensor([
        [2, 1, 4],
        [1, 3, 1],
      ]),
    )
    const each = binaryCrossEntropyWithLogits(x, y, { weight: tensor([[5], [7]]), reduction: 'none' })
    expectClose(
      each.div(Math.log(2)),
      tensor([
        [5, 5, 5],
        [7, 7, 7],
      ]),
    )
  })

  it('has the right gradients', () => {
    manualSeed(21)
    const weight = rand([3], { dtype: 'float64' })
    const posWeight = rand([3], { dtype: 'float64' })
    for (const reduction of reductions) {
      for (const options of [{ reduction }, { reduction, weight, posWeight }]) {
        expect(
          gradcheck((x, y) => binaryCrossEntropyWithLogits(x, y, options), [leaf(5, 3), leaf(5, 3)]),
        ).toBe(true)
      }
    }
  })

  it('refuses what does not fit', () => {
    const x = ones([2, 3])
    expect(() => binaryCrossEntropyWithLogits(x, ones([3, 2]))).toThrow(ShapeError)
    expect(() => binaryCrossEntropyWithLogits(x, ones([2, 3]).to('float64'))).toThrow(DTypeError)
    expect(() => binaryCrossEntropyWithLogits(x, x, { posWeight: ones([2]) })).toThrow(ShapeError)
    expect(() => binaryCrossEntropyWithLogits(x, x, { weight: ones([4, 2, 3]) })).toThrow(/weight of shape/)
  })
})

describe('binaryCrossEntropy', () => {
  it('lets no logarithm count for less than -100', () => {
    expect(binaryCrossEntropy(tensor([0]), tensor([1])).item()).toBe(100)
    expect(binaryCrossEntropy(tensor([1]), tensor([0])).item()).toBe(100)
    expect(binaryCrossEntropy(tensor([1, 0]), tensor([1, 0])).item()).toBe(0)
    expect(binaryCrossEntropy(tensor([0.25]), tensor([1])).item()).toBeCloseTo(Math.log(4), 6)
  })

  it('has the right gradients', () => {
    manualSeed(22)
    const inside = () => rand([4, 5], { dtype: 'float64' }).mul(0.8).add(0.1).detach().requiresGrad_()
    for (const reduction of reductions) {
      const weight = rand([5], { dtype: 'float64' })
      expect(gradcheck((x, y) => binaryCrossEntropy(x, y, { reduction, weight }), [inside(), inside()])).toBe(
        true,
      )
    }
  })

  it('refuses what is no probability when its value is known', () => {
    expect(() => binaryCrossEntropy(tensor([0.5, 1.5]), tensor([1, 1])).item()).toThrow(/element 1 is 1.5/)
    expect(() => binaryCrossEntropy(full([2], -1), ones([2])).item()).toThrow(/binaryCrossEntropyWithLogits/)
    expect(binaryCrossEntropy(tensor([0.5]), tensor([1])).item()).toBeCloseTo(Math.log(2), 6)
  })
})
