import { describe, expect, it } from 'vitest'
import { ReduceLROnPlateauCallback, type ReduceLROnPlateauOptions } from '../../callbacks/index.ts'
import { Callback, type EpochEndContext, Learner, slice } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { Canned, lineData, lineLearner } from '../learner/support.ts'

/** The rates with which each epoch ended. */
class Rates extends Callback {
  override order = 50
  readonly lrs: number[][] = []
  override onEpochEnd({ learner }: EpochEndContext) {
    this.lrs.push(learner.optimizer.lrs)
  }
}

async function fit(
  values: readonly number[],
  options: ReduceLROnPlateauOptions,
  learner = lineLearner(),
  lr = slice(0.01),
) {
  const rates = new Rates()
  const plateau = new ReduceLROnPlateauCallback(options)
  await learner.fit(values.length, { lr, callbacks: [new Canned(values), plateau, rates] })
  return { plateau, lrs: rates.lrs }
}

describe('ReduceLROnPlateauCallback', () => {
  it("reduces in the epochs in which fastai's does", async () => {
    const { plateau, lrs } = await fit([1, 1, 1, 1, 1, 0.5, 0.6], { patience: 1, minLr: 1e-5 })
    expect(plateau.reducedEpochs).toEqual([2, 4])
    expect(lrs.map(([lr]) => lr)).toEqual(
      [0.01, 0.01, 0.002, 0.002, 4e-4, 4e-4, 4e-4].map((lr) => expect.closeTo(lr, 12)),
    )
  })

  it('stops at its floor, 1e-3 by default, where fastai went below', async () => {
    const { plateau, lrs } = await fit([1, 1, 1, 1], {})
    expect(lrs.map(([lr]) => lr)).toEqual([0.01, 0.002, 1e-3, 1e-3])
    expect(plateau.reducedEpochs).toEqual([1, 2])
  })

  it('reduces each layer group by itself; one below the floor stays', async () => {
    const model = () => new nn.Sequential(new nn.Linear(1, 1), new nn.Linear(1, 1), new nn.Linear(1, 1))
    const learner = () => {
      const net = model()
      return new Learner(lineData(), net, {
        lossFunction: new nn.MSELoss(),
        layerGroups: [net.at(1)!, net.at(2)!],
        silent: true,
      })
    }
    const near = (lrs: number[]) => lrs.map((lr) => expect.closeTo(lr, 12))
    const twice = await fit([1, 1, 1], { minLr: 0 }, learner(), slice(1e-3, 1e-1))
    expect(twice.lrs.at(-1)).toEqual(near([4e-5, 4e-4, 4e-3]))
    const floored = await fit([1, 1, 1], { minLr: 0.005 }, learner(), slice(1e-3, 1e-1))
    expect(floored.lrs.at(-1)).toEqual(near([1e-3, 5e-3, 5e-3]))
    const own = await fit([1, 1, 1], { minLr: [1e-5, 1e-3, 1e-2] }, learner(), slice(1e-3, 1e-1))
    expect(own.lrs.at(-1)).toEqual(near([4e-5, 1e-3, 1e-2]))
    await expect(fit([1], { minLr: [1, 2] }, learner())).rejects.toThrow(/2 values for 3 layer group/)
  })

  it('bears with what is too little of an improvement, and with NaN, as no improvement', async () => {
    const { plateau } = await fit([1, 0.95, Number.NaN, 0.5], { minDelta: 0.1, minLr: 0 })
    expect(plateau.reducedEpochs).toEqual([1, 2])
    expect(plateau.best).toBe(0.5)
  })

  it('refuses what cannot be', () => {
    const make = (options: object) => () => new ReduceLROnPlateauCallback(options)
    expect(make({ factor: 1 })).toThrow(/factor must be above 0 and below 1, got 1/)
    expect(make({ factor: Number.NaN })).toThrow(/got NaN/)
    expect(make({ patience: -1 })).toThrow(/patience/)
    expect(make({ minDelta: Number.NaN })).toThrow(/minDelta/)
    expect(make({ minLr: [1e-3, -1] })).toThrow(/minLr must be at least 0, got -1/)
    expect(make({ cooldown: 2 })).toThrow(/unknown option cooldown; the options are monitor, mode, patience/)
  })
})
