import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import { lrRange, slice } from '../../src/learner/lrRange.ts'

/** fastai v1's `lr_range`, run; with one group it divides by zero where a start is given, and we give the stop. */
const table = [
  [1, slice(1e-3), [1e-3]],
  [2, slice(1e-3), [1e-4, 1e-3]],
  [3, slice(1e-3), [1e-4, 1e-4, 1e-3]],
  [4, slice(1e-3), [1e-4, 1e-4, 1e-4, 1e-3]],
  [5, slice(1e-3), [1e-4, 1e-4, 1e-4, 1e-4, 1e-3]],
  [1, slice(1e-5, 1e-3), [1e-3]],
  [2, slice(1e-5, 1e-3), [1e-5, 1e-3]],
  [3, slice(1e-5, 1e-3), [1e-5, 1e-4, 1e-3]],
  [4, slice(1e-5, 1e-3), [1e-5, 4.6415888336e-5, 2.15443469e-4, 1e-3]],
  [5, slice(1e-5, 1e-3), [1e-5, 3.1622776602e-5, 1e-4, 3.1622776602e-4, 1e-3]],
  [1, slice(1e-6, 1e-2), [1e-2]],
  [2, slice(1e-6, 1e-2), [1e-6, 1e-2]],
  [3, slice(1e-6, 1e-2), [1e-6, 1e-4, 1e-2]],
  [4, slice(1e-6, 1e-2), [1e-6, 2.15443469e-5, 4.6415888336e-4, 1e-2]],
  [5, slice(1e-6, 1e-2), [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]],
  [3, slice(3e-3), [3e-4, 3e-4, 3e-3]],
  [3, slice(0, 3e-3), [3e-4, 3e-4, 3e-3]],
  [3, 0.5, [0.5, 0.5, 0.5]],
  [2, [0.1, 0.2], [0.1, 0.2]],
] as const

describe('lrRange', () => {
  it.each(table)('%i group(s), %s', (groups, lr, expected) => {
    const rates = lrRange(lr, groups)
    expect(rates).toHaveLength(expected.length)
    for (const [i, rate] of rates.entries()) expect(rate / expected[i]!).toBeCloseTo(1, 9)
  })

  it('says what is wrong with a rate', () => {
    expect(() => lrRange([0.1, 0.2], 3)).toThrow(/2 learning rates for 3 layer group/)
    expect(() => lrRange(null, 1)).toThrow(/no suggestion by this rule/)
    expect(() => lrRange(-1, 1)).toThrow(ConfigError)
    expect(() => lrRange([0.1, Number.NaN], 2)).toThrow(/got NaN/)
    expect(() => lrRange('fast' as unknown as number, 1)).toThrow(/got fast/)
    expect(() => slice(0)).toThrow(/above 0, got 0/)
    expect(() => slice(1e-3, Number.POSITIVE_INFINITY)).toThrow(/got Infinity/)
  })
})
