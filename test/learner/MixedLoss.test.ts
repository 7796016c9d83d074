import { describe, expect, it } from 'vitest'
import { cat, grad, manualSeed, randint, randn, type Tensor, tensor } from '../../src/engine/index.ts'
import type { LossFunction } from '../../src/learner/index.ts'
import { MixedLoss } from '../../src/learner/MixedLoss.ts'
import * as nn from '../../src/nn/index.ts'

describe('MixedLoss', () => {
  const samples = 5
  const classes = () => randint(0, 3, [samples])
  const places = () => randint(0, 3, [samples, 2])
  const values = () => randn([samples, 3])
  const distribution = () => randn([samples, 3]).softmax(1)
  const weight = tensor([0.2, 1, 5])
  type Case = [string, LossFunction, () => Tensor, number[]?]
  const cases: Case[] = [
    ['CrossEntropyLoss', new nn.CrossEntropyLoss(), classes],
    ['CrossEntropyLoss of places', new nn.CrossEntropyLoss(), places, [3, 2]],
    ['CrossEntropyLoss with weights', new nn.CrossEntropyLoss({ weight }), classes],
    ['CrossEntropyLoss of places with weights', new nn.CrossEntropyLoss({ weight }), places, [3, 2]],
    [
      'CrossEntropyLoss, summed, with weights',
      new nn.CrossEntropyLoss({ weight, reduction: 'sum' }),
      classes,
    ],
    ['CrossEntropyLoss of probabilities with weights', new nn.CrossEntropyLoss({ weight }), distribution],
    ['NLLLoss with weights and ignored targets', new nn.NLLLoss({ weight, ignoreIndex: 1 }), classes],
    [
      'CrossEntropyLoss with weights, ignored targets and smoothing',
      new nn.CrossEntropyLoss({ weight, ignoreIndex: 0, labelSmoothing: 0.3 }),
      classes,
    ],
    ['BCEWithLogitsLoss with weights', new nn.BCEWithLogitsLoss({ posWeight: weight, weight }), distribution],
    ['KLDivLoss', new nn.KLDivLoss(), distribution],
    ['KLDivLoss of the batch', new nn.KLDivLoss({ reduction: 'batchmean' }), distribution],
    ['MSELoss', new nn.MSELoss(), values],
    ['RMSELoss', new nn.RMSELoss(), values],
    ['RMSELoss, summed', new nn.RMSELoss({ reduction: 'sum' }), values],
  ]

  it.each(cases)(
    'is what %s gives where each sample comes so many times with each target',
    (_title, inner, target, rest = [3]) => {
      manualSeed(6)
      const output = randn([samples, ...rest]).requiresGrad_()
      const [first, second] = [target(), target()]
      const quarters = [4, 3, 2, 0, 1]
      const share = tensor(quarters.map((count) => count / 4))
      const loss = new MixedLoss(inner, 'MixUpCallback')
      const mixed = loss.forward(output, [first, second, share])
      const rows = quarters.flatMap((count, i) =>
        [0, 1, 2, 3].map((turn) => i + (turn < count ? 0 : samples)),
      )
      const all = cat([first, second]).indexSelect(0, tensor(BigInt64Array.from(rows, BigInt)))
      const repeated = output.indexSelect(0, tensor(BigInt64Array.from(rows, (row) => BigInt(row % samples))))
      const { reduction } = inner as nn.Loss
      // Of a sum there is four times as much, and twice as much of its root.
      const often = reduction !== 'sum' ? 1 : inner instanceof nn.RMSELoss ? 2 : 4
      const expected = (inner as nn.Loss).forward(repeated, all).div(often)
      expect(mixed.item()).toBeCloseTo(expected.item(), 5)
      const slope = (of: Tensor) => grad(of, [output])[0]!.flatten().toArray() as number[]
      const slopes = slope(expected)
      expect(slope(mixed)).toEqual(slopes.map((value) => expect.closeTo(value, 5)))
      expect((inner as nn.Loss).reduction).toBe(reduction)
    },
  )
})
