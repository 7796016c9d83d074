import { describe, expect, it } from 'vitest'
import {
  channelsLast,
  DTypeError,
  full,
  gradcheck,
  logSoftmax,
  manualSeed,
  ones,
  randn,
  ShapeError,
  softmax,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

const infinity = Number.POSITIVE_INFINITY

describe('softmax and logSoftmax', () => {
  it('give known values', () => {
    const x = tensor([0, Math.log(2), Math.log(5)])
    const expected = [1 / 8, 2 / 8, 5 / 8]
    softmax(x)
      .dataSync()
      .forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i] as number, 6)
      })
    logSoftmax(x)
      .dataSync()
      .forEach((value, i) => {
        expect(value).toBeCloseTo(Math.log(expected[i] as number), 6)
      })
  })

  it('neither overflow nor lose what differs', () => {
    expect(softmax(tensor([1e30, 0])).toArray()).toEqual([1, 0])
    expect(logSoftmax(tensor([1e30, 0])).toArray()).toEqual([0, Math.fround(-1e30)])
    const shifted = logSoftmax(tensor([10000, 10001])).toArray() as number[]
    expect(shifted[0]).toBeCloseTo(-1 - Math.log1p(Math.exp(-1)), 6)
    expect(shifted[1]).toBeCloseTo(-Math.log1p(Math.exp(-1)), 6)
  })

  it('treat infinity as PyTorch does', () => {
    expect(softmax(tensor([-infinity, 0, 0])).toArray()).toEqual([0, 0.5, 0.5])
    expect(softmax(full([3], -infinity)).toArray()).toEqual([Number.NaN, Number.NaN, Number.NaN])
    expect((softmax(tensor([0, Number.NaN])).toArray() as number[]).every(Number.isNaN)).toBe(true)
  })

  it.each([0, 1, 2, 3, -1, -4])('sum to one along dimension %i, in every layout', (dim) => {
    const x = randn([3, 21, 5, 18])
    for (const view of [x, channelsLast(x), x.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2)]) {
      const y = softmax(view, dim)
      expect(y.sum(dim).sub(1).abs().max().item()).toBeLessThan(1e-6)
      expect(y.log().sub(logSoftmax(view, dim)).abs().max().item()).toBeLessThan(2e-6)
      expect(y.sub(softmax(x, dim)).abs().max().item()).toBeLessThan(1e-6)
    }
  })

  it('have the right gradients', () => {
    manualSeed(4)
    const leaf = (...shape: number[]) => randn(shape, { dtype: 'float64', requiresGrad: true })
    for (const op of [softmax, logSoftmax]) {
      expect(gradcheck((x) => op(x, -1), [leaf(3, 11)])).toBe(true)
      expect(gradcheck((x) => op(x, 1), [leaf(2, 3, 4)])).toBe(true)
      expect(gradcheck((x) => op(x, 0), [leaf(3, 9)])).toBe(true)
      expect(gradcheck((x) => op(x.t(), 1), [leaf(3, 4)])).toBe(true)
      expect(gradcheck((x) => op(x, 0), [leaf()])).toBe(true)
    }
  })

  it('take no elements, one element and half precision', () => {
    expect(softmax(zeros([0, 3])).shape).toEqual([0, 3])
    expect(softmax(zeros([3, 0])).shape).toEqual([3, 0])
    expect(softmax(tensor(5), 0).item()).toBe(1)
    const x = randn([7, 19]).to('bfloat16')
    expect(softmax(x).dtype).toBe('bfloat16')
    expect(softmax(x).toArray()).toEqual(softmax(x.to('float32')).to('bfloat16').toArray())
  })

  it('refuse a dimension that is not there, and integers', () => {
    expect(() => softmax(ones([2, 3]), 2)).toThrow(ShapeError)
    expect(() => logSoftmax(ones([2, 3]), -3)).toThrow(/out of range \[-2, 1\]/)
    expect(() => softmax(ones([2]).to('int64'))).toThrow(DTypeError)
  })
})
