import { describe, expect, it } from 'vitest'
import { ConfigError, DTypeError, ShapeError } from '../../src/engine/errors.ts'
import { tensor, zeros } from '../../src/engine/index.ts'

const integers = (values: number[]) => tensor(values, { dtype: 'int64' })
const { POSITIVE_INFINITY: infinity, NaN: missing } = Number

describe('median and quantile', () => {
  it('of equal elements give the gradient of the values to the place that they name', () => {
    const x = tensor([2, 1, 1, 1, 0], { requiresGrad: true })
    const { values, indices } = x.median(0)
    values.backward()
    expect([values.item(), indices.item()]).toEqual([1, 2])
    expect(x.grad!.toArray()).toEqual([0, 0, 1, 0, 0])
  })

  // PyTorch has NaN here: the difference of equal infinities.
  it('infinities are values like others', () => {
    expect(tensor([-infinity, 1, infinity]).quantile([0, 0.5, 1]).toArray()).toEqual([-infinity, 1, infinity])
    expect(tensor([1, infinity, infinity]).quantile([0.5, 0.75, 1]).toArray()).toEqual([
      infinity,
      infinity,
      infinity,
    ])
    const x = tensor([1, infinity, infinity], { requiresGrad: true })
    x.quantile(0.75).backward()
    expect(x.grad!.toArray()).toEqual([0, 1, 0])
  })

  it.each<[string, () => unknown, new (message: string) => Error, RegExp]>([
    ['median of bool', () => tensor([true]).median(), DTypeError, /bool has no order/],
    ['median of no integers', () => integers([]).median(), ShapeError, /int64 without elements/],
    ['median along nothing', () => zeros([2, 0]).median(1), ShapeError, /dimension 1 of \[2, 0\] is empty/],
    ['median of two dimensions', () => zeros([2, 3]).median([0, 1] as never), ShapeError, /\[0, 1\]/],
    ['quantile of integers', () => integers([1]).quantile(0.5), DTypeError, /int64; convert it with float/],
    ['quantile of nothing', () => zeros([0, 3]).quantile(0.5, 1), ShapeError, /\[0, 3\] has no elements/],
    ['share of a hundred', () => zeros([3]).quantile(50), ConfigError, /between 0 and 1, got 50/],
    ['one share of several', () => zeros([3]).quantile([0.5, -1]), ConfigError, /got -1/],
    ['no share', () => zeros([3]).quantile(undefined as never), ConfigError, /got undefined/],
    ['share in a tensor', () => zeros([3]).quantile(tensor([0.5, missing])), ConfigError, /got NaN/],
    [
      'shares of another dtype',
      () => zeros([3]).quantile(tensor(0.5, { dtype: 'float64' })),
      DTypeError,
      /float64 .* float32/,
    ],
    ['a matrix of shares', () => zeros([3]).quantile(zeros([1, 1])), ShapeError, /\[1, 1\]/],
    [
      'interpolation',
      () => zeros([3]).quantile(0.5, 0, { interpolation: 'cubic' as 'linear' }),
      ConfigError,
      /linear, .*, got "cubic"/,
    ],
    [
      'more places than float32 counts',
      () =>
        zeros([1])
          .expand(2 ** 24 + 1)
          .quantile(0.5),
      ShapeError,
      /16777217 elements apart; use double/,
    ],
  ])('refuse: %s', (_, call, error, message) => {
    expect(call).toThrow(error)
    expect(call).toThrow(message)
  })
})

describe('unique, bincount and diag', () => {
  // PyTorch 1.13 leaves NaN where they were, and counts none of them.
  it('NaN come last, each by itself', () => {
    const { values, inverseIndices, counts } = tensor([3, missing, 1, missing, 3]).unique({
      returnInverse: true,
      returnCounts: true,
    })
    expect(values.toArray()).toEqual([1, 3, missing, missing])
    expect(inverseIndices.toArray()).toEqual([1, 2, 0, 3, 1])
    expect(counts.toArray()).toEqual([1, 2, 1, 1])
    const rows = tensor([
      [1, missing],
      [1, 2],
      [1, missing],
      [1, 2],
    ]).unique({ dim: 0, returnCounts: true })
    expect(rows.values.toArray()).toEqual([
      [1, 2],
      [1, missing],
      [1, missing],
    ])
    expect(rows.counts.toArray()).toEqual([2, 1, 1])
  })

  it('gives the tensor alone unless more is asked for, and puts it together again', () => {
    const x = tensor([
      [2, 0, 2, 1],
      [5, 5, 5, 0],
    ])
    expect(x.unique({ returnInverse: false }).toArray()).toEqual([0, 1, 2, 5])
    const single = x.unique({ returnInverse: true })
    expect(Object.keys(single)).toEqual(['values', 'inverseIndices'])
    expect(single.values.index(single.inverseIndices).toArray()).toEqual(x.toArray())
    const columns = x.unique({ dim: 1, returnInverse: true })
    expect(columns.values.indexSelect(1, columns.inverseIndices).toArray()).toEqual(x.toArray())
  })

  it('refuses a gradient through unique, and gives that of the weights', () => {
    const x = tensor([1, 2, 1], { requiresGrad: true })
    expect(() => x.unique().sum().backward()).toThrow(/unique: it has no gradient/)
    integers([0, 2, 0])
      .bincount({ weights: x })
      .mul(tensor([5, 6, 7]))
      .sum()
      .backward()
    expect(x.grad!.toArray()).toEqual([5, 7, 5])
  })

  it.each<[string, () => unknown, new (message: string) => Error, RegExp]>([
    ['slices of nothing', () => zeros([2, 0]).unique({ dim: 0 }), ShapeError, /dimension 0 .*\[2, 0\]/],
    ['no dimension', () => tensor(3).unique({ dim: 0 }), ShapeError, /without dimensions/],
    ['fractions', () => tensor([0.5]).bincount(), DTypeError, /float32; convert them with long/],
    ['negative integers', () => integers([2, -3, -1]).bincount(), ShapeError, /the lowest is -3/],
    ['two dimensions', () => integers([2]).unsqueeze(0).bincount(), ShapeError, /\[1, 1\]; flatten/],
    ['too few weights', () => integers([2, 1]).bincount({ weights: zeros([3]) }), ShapeError, /2 .* \[3\]/],
    ['diag of one number', () => tensor(3).diag(), ShapeError, /one dimension or two, got shape \[\]/],
    ['a diagonal between', () => tensor([3]).diag(0.5), ShapeError, /integer, got 0.5/],
    ['minlength', () => integers([2]).bincount({ minlength: 1.5 }), ShapeError, /minlength .* 1\.5/],
  ])('refuse: %s', (_, call, error, message) => {
    expect(call).toThrow(error)
    expect(call).toThrow(message)
  })
})
