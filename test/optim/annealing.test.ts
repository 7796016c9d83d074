import { describe, expect, it } from 'vitest'
import {
  annealingCosine,
  annealingExp,
  annealingHalfCosine,
  annealingLinear,
  annealingNo,
  annealingPoly,
} from '../../src/optim/annealing.ts'

// Printed by fastai v1's own annealing functions, from 2 to 0.01.
const fastai = [
  ['annealingNo', annealingNo, [2, 2, 2, 2, 2]],
  ['annealingLinear', annealingLinear, [2, 1.5025, 1.005, 0.5075, 0.01]],
  ['annealingExp', annealingExp, [2, 0.5318295897, 0.1414213562, 0.0376060309, 0.01]],
  ['annealingCosine', annealingCosine, [2, 1.7085712473, 1.005, 0.3014287527, 0.01]],
  ['annealingPoly(2)', annealingPoly(2), [2, 1.129375, 0.5075, 0.134375, 0.01]],
  ['annealingPoly(0.8)', annealingPoly(0.8), [2, 1.5908915828, 1.1529548632, 0.6664551856, 0.01]],
] as const

describe('annealing curves', () => {
  it.each(fastai)("%s gives fastai's values", (_name, curve, expected) => {
    const values = [0, 0.25, 0.5, 0.75, 1].map((fraction) => curve(2, 0.01, fraction))
    expect(values).toEqual(expected.map((value) => expect.closeTo(value, 9)))
  })

  it('half-cosine is a quarter wave: flat at the start, steepest at the end', () => {
    const values = [0, 1 / 3, 0.5, 1].map((fraction) => annealingHalfCosine(3, 1, fraction))
    expect(values).toEqual([3, 1 + Math.sqrt(3), 1 + Math.SQRT2, 1].map((value) => expect.closeTo(value, 12)))
  })

  it('refuses what has no value', () => {
    expect(() => annealingExp(0, 1, 0.5)).toThrow(/same sign/)
    expect(() => annealingExp(-1, 1, 0.5)).toThrow(/-1 to 1/)
    expect(() => annealingPoly(0)).toThrow(/degree above 0/)
  })
})
