import { describe, expect, it } from 'vitest'
import { BnFreeze } from '../../callbacks/index.ts'
import { manualSeed } from '../../src/engine/index.ts'
import { type Callback, Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { lineData } from '../learner/support.ts'

describe('BnFreeze', () => {
  // fastai's table: trainBn, BnFreeze; then whether weight and bias train, and whether the statistics move.
  it.each([
    [true, false, true, true],
    [true, true, true, true],
    [false, false, false, true],
    [false, true, false, false],
  ])('trainBn %s, BnFreeze %s: trains %s, moves %s', async (trainBn, freezes, trains, moves) => {
    manualSeed(5)
    const norm = new nn.BatchNorm1d(3)
    const model = new nn.Sequential(new nn.Sequential(new nn.Linear(1, 3), norm), new nn.Linear(3, 1))
    const callbacks: Callback[] = freezes ? [new BnFreeze()] : []
    const learner = new Learner(lineData(), model, {
      lossFunction: new nn.MSELoss(),
      layerGroups: [model.at(1)!],
      silent: true,
      trainBn,
      callbacks,
    })
    learner.freeze()
    await learner.fit(2, { lr: 0.1, wd: 0 })
    expect(norm.weight!.toArray().toString() === '1,1,1').toBe(!trains)
    expect(norm.runningMean!.toArray()!.toString() === '0,0,0').toBe(!moves)
  })
})
