import { describe, expect, it } from 'vitest'
import {
  ConfigError,
  channelsLast,
  DTypeError,
  dropout,
  dropout2d,
  getRngState,
  manualSeed,
  ones,
  randn,
  ShapeError,
  zeros,
} from '../../src/engine/index.ts'

describe('dropout', () => {
  it('keeps the expected share, scaled', () => {
    manualSeed(0)
    const y = dropout(ones([400, 250]), 0.2).dataSync()
    const kept = y.filter((value) => value !== 0)
    expect(new Set(kept)).toEqual(new Set([1.25]))
    // Five standard deviations of a binomial share.
    expect(Math.abs(kept.length / y.length - 0.8)).toBeLessThan(5 * Math.sqrt((0.8 * 0.2) / y.length))
  })

  it('lets gradients through where values passed', () => {
    const x = ones([1000], { requiresGrad: true })
    const y = dropout(x, 0.3)
    y.sum().backward()
    expect(x.grad?.toArray()).toEqual(y.toArray())
  })

  it('is the identity when evaluating or with p = 0, and draws nothing then', () => {
    manualSeed(5)
    const before = getRngState()
    const x = randn([4]).detach()
    manualSeed(5)
    expect(dropout(x, 0.5, false)).toBe(x)
    expect(dropout(x, 0)).toBe(x)
    expect(getRngState()).toEqual(before)
  })

  it('drops all with p = 1, drawing nothing', () => {
    manualSeed(5)
    const before = getRngState()
    const x = ones([5], { requiresGrad: true })
    const y = dropout(x, 1)
    expect(y.toArray()).toEqual([0, 0, 0, 0, 0])
    y.sum().backward()
    expect(x.grad?.toArray()).toEqual([0, 0, 0, 0, 0])
    expect(
      dropout2d(ones([2, 3, 4]), 1)
        .sum()
        .item(),
    ).toBe(0)
    expect(getRngState()).toEqual(before)
  })

  it('draws in the order of indices, whatever the order of memory', () => {
    const x = ones([2, 3, 4, 5])
    const drop = (input: typeof x) => {
      manualSeed(6)
      return dropout(input, 0.5)
    }
    const y = drop(x)
    expect(drop(channelsLast(x)).toArray()).toEqual(y.toArray())
    expect(drop(x.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)).toArray()).toEqual(y.toArray())
    const leaf = channelsLast(x).detach().requiresGrad_()
    drop(leaf).sum().backward()
    expect(leaf.grad?.toArray()).toEqual(y.toArray())
  })

  it.each(['float64', 'bfloat16', 'float16'] as const)('drops the same elements in %s', (dtype) => {
    const mask = (kind: 'float32' | typeof dtype) => {
      manualSeed(7)
      return dropout(ones([300]).to(kind), 0.4)
    }
    const y = mask(dtype)
    expect(y.dtype).toBe(dtype)
    expect(y.ne(0).toArray()).toEqual(mask('float32').ne(0).toArray())
  })

  it('refuses wrong probabilities and integers', () => {
    expect(() => dropout(ones([2]), 1.5)).toThrow(ConfigError)
    expect(() => dropout(ones([2]), Number.NaN)).toThrow(/\[0, 1\]/)
    expect(() => dropout(ones([2]).to('int64'), 0.5)).toThrow(DTypeError)
    expect(dropout(zeros([0, 3]), 0.5).shape).toEqual([0, 3])
  })
})

describe('dropout2d', () => {
  it('drops whole channels', () => {
    manualSeed(8)
    const y = dropout2d(ones([20, 30, 2, 3]), 0.5)
    const channels = y.view(600, 6)
    const first = channels.select(1, 0).toArray() as number[]
    expect(channels.max(1).values.toArray()).toEqual(first)
    expect(channels.min(1).values.toArray()).toEqual(first)
    expect(new Set(first)).toEqual(new Set([0, 2]))
  })

  it('needs channels', () => {
    expect(() => dropout2d(ones([2, 3]))).toThrow(ShapeError)
  })
})
