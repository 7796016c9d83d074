import { describe, expect, it } from 'vitest'
import { EarlyStoppingCallback } from '../../callbacks/index.ts'
import { Canned, lineLearner } from '../learner/support.ts'

const values = [1, 0.9, 0.95, 0.91, 0.89, 0.9, 0.9, 0.9, 0.9]

const epochsRun = async (options: object) => {
  const learner = lineLearner({ batches: 1, validBatches: 1 })
  const stop = new EarlyStoppingCallback(options)
  await learner.fit(values.length, { callbacks: [new Canned(values), stop] })
  return [learner.recorder.epochs.length, stop.stoppedEpoch]
}

describe('EarlyStoppingCallback', () => {
  // fastai v1, run: epochs executed.
  it.each([
    [{}, 3, 2],
    [{ patience: 1 }, 4, 3],
    [{ patience: 2 }, 8, 7],
    [{ patience: 3 }, 9, 8],
    [{ patience: 4 }, 9, null],
    [{ patience: 1, minDelta: 0.05 }, 4, 3],
    [{ patience: 1, minDelta: 0.2 }, 3, 2],
  ])('%j runs %i epochs', async (options, epochs, stopped) => {
    expect(await epochsRun(options)).toEqual([epochs, stopped])
  })

  it('begins each fit anew', async () => {
    const learner = lineLearner({ batches: 1, validBatches: 1 })
    const stop = new EarlyStoppingCallback()
    for (const expected of [3, 6]) {
      await learner.fit(9, { callbacks: [new Canned(values), stop] })
      expect(learner.recorder.epochs.length).toBe(expected)
    }
  })

  it('refuses impossible options', () => {
    expect(() => new EarlyStoppingCallback({ patience: 1.5 })).toThrow(/patience must be a whole number/)
    expect(() => new EarlyStoppingCallback({ minDelta: -1 })).toThrow(/minDelta must be at least 0/)
  })
})
