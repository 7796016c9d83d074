import { describe, expect, it } from 'vitest'
import { DivergenceError, TerminateOnNonFiniteCallback } from '../../callbacks/index.ts'
import type { Tensor } from '../../src/engine/index.ts'
import { lineLearner, Witness } from '../learner/support.ts'

/** A loss that is `value` from the third batch on. */
const spoilt = (value: number) => {
  let batches = 0
  return (output: Tensor, target: Tensor) => {
    const loss = output.sub(target).square().mean()
    return ++batches > 2 ? loss.mul(value) : loss
  }
}

describe('a loss that is not finite', () => {
  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'of %d ends the fit in an error that says where and what to do',
    async (value) => {
      const error = await lineLearner({ lossFunction: spoilt(value) })
        .fit(2, { lr: 0.01 })
        .catch((error: unknown) => error)
      expect(error).toBeInstanceOf(DivergenceError)
      expect(error).toMatchObject({ epoch: 0, batch: 2, lr: 0.01 })
      expect((error as Error).message).toMatch(
        /epoch 0, batch 2, at learning rate 0\.0100\. Lower the learning rate/,
      )
    },
  )

  it('can end it quietly instead, without validation', async () => {
    const witness = new Witness()
    const learner = lineLearner({ lossFunction: spoilt(Number.NaN), callbacks: [witness] })
    await learner.fit(2, { lr: 0.01, callbacks: [new TerminateOnNonFiniteCallback({ action: 'stop' })] })
    expect(witness.events.filter((event) => event === 'BE')).toHaveLength(3)
    expect(witness.events).not.toContain('bb')
    expect(learner.recorder.rawLosses[2]).toBeNaN()
  })

  it('in a sweep just ends the sweep', async () => {
    const { losses } = await lineLearner({ lossFunction: spoilt(Number.NaN) }).lrFind({ numIt: 20 })
    expect(losses).toHaveLength(3)
  })
})
