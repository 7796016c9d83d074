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
