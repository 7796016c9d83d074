import { describe, expect, it } from 'vitest'
import { StopAfterNBatches } from '../../callbacks/index.ts'
import { lineLearner, Witness } from '../learner/support.ts'

describe('StopAfterNBatches', () => {
  it('ends the fit, without validation, after batches of all epochs', async () => {
    for (const [options, batches] of [
      [{}, 2],
      [7, 7],
      [{ batches: 10 }, 10],
    ] as const) {
      const learner = lineLearner({ batches: 5 })
      const witness = new Witness()
      await learner.fit(4, { callbacks: [new StopAfterNBatches(options), witness] })
      expect(learner.recorder.losses).toHaveLength(batches)
      // The epochs before the last were validated on two batches each.
      const whole = Math.ceil(batches / 5) - 1
      expect(witness.events.filter((event) => event === 'be')).toHaveLength(2 * whole)
      expect(witness.events.at(-1)).toBe('TE')
    }
  })

  it('leaves learning-rate sweeps alone, and refuses what cannot be', async () => {
    const learner = lineLearner({ callbacks: [new StopAfterNBatches()] })
    expect((await learner.lrFind({ numIt: 12, stopDiv: false })).losses).toHaveLength(12)
    expect(() => new StopAfterNBatches(0)).toThrow(/at least 1, got 0/)
    expect(() => new StopAfterNBatches({ n: 1 } as never)).toThrow(/unknown option n/)
  })
})
