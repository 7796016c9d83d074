import { describe, expect, it } from 'vitest'
import { suggestLrs } from '../../src/learner/lrSuggestions.ts'

const sweep = (numIt: number, loss: (i: number) => number) => ({
  lrs: Array.from({ length: numIt }, (_, i) => 1e-7 * (10 / 1e-7) ** (i / numIt)),
  losses: Array.from({ length: numIt }, (_, i) => loss(i)),
})

// valley, steep, minimum and slide as fastai v2's functions answered; minGradient is numpy.gradient's smallest, as in v1.
const cases = [
  [
    'a bowl',
    100,
    (i: number) => 2.3 - 1.5 / (1 + Math.exp(-(i - 55) / 6)) + Math.exp((i - 80) / 5),
    {
      valley: 1.3182567385564074e-4,
      steep: 2.0892961308540407e-3,
      minimum: 3.311311214825908e-3,
      slide: 6.918309709189362e-4,
      minGradient: 2.511886431509582e-3,
    },
  ],
  [
    'waves',
    100,
    (i: number) => 2 + Math.sin(i / 7) * 0.3 - 0.01 * i + Math.exp((i - 90) / 4),
    {
      valley: 3.63078054770101e-3,
      steep: 4.7863009232263826e-6,
      minimum: 1.445439770745928e-2,
      slide: 5.248074602497722e-3,
      minGradient: 5.754399373371569e-6,
    },
  ],
  [
    'a short and ragged one',
    40,
    (i: number) => 1 / (1 + Math.exp((i - 20) / 3)) + 0.02 * Math.cos(3 * i) + Math.exp((i - 36) / 2),
    {
      valley: 2.5118864315095795e-4,
      steep: 6.30957344480193e-4,
      minimum: 3.981071705534969e-3,
      slide: 3.981071705534973e-5,
      minGradient: 1e-3,
    },
  ],
] as const

describe('suggestLrs', () => {
  it.each(cases)("agrees with fastai's on %s", (_name, numIt, loss, expected) => {
    const { lrs, losses } = sweep(numIt, loss)
    const found = suggestLrs(lrs, losses, numIt)
    for (const [rule, lr] of Object.entries(expected))
      expect(found[rule as keyof typeof found]! / lr).toBeCloseTo(1, 9)
  })

  it('cuts at the first loss that is not finite', () => {
    const { lrs, losses } = sweep(100, (i) => 100 - i)
    losses[60] = Number.NaN
    expect(suggestLrs(lrs, losses, 100).minimum).toBeCloseTo(lrs[59]! / 10, 15)
  })

  it('answers null where there is too little to go by', () => {
    const none = { valley: null, steep: null, minimum: null, slide: null, minGradient: null }
    expect(suggestLrs([], [], 100)).toEqual(none)
    const few = sweep(8, (i) => 8 - i)
    expect(suggestLrs(few.lrs, few.losses, 8)).toMatchObject({ slide: null, minGradient: null })
  })
})
