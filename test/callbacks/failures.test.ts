import { describe, expect, it } from 'vitest'
import {
  ActivationStats,
  BnFreeze,
  CheckpointCallback,
  CSVLogger,
  EarlyStoppingCallback,
  EMACallback,
  GradientAccumulation,
  GradientClipping,
  JSONLogger,
  LossSpikeCallback,
  MixedPrecision,
  MixUpCallback,
  OverSamplingCallback,
  SaveModelCallback,
  TensorBoardLogger,
  ValidateEvery,
} from '../../callbacks/index.ts'
import { memoryStats } from '../../src/engine/index.ts'
import { eventNames } from '../../src/learner/events.ts'
import { CancelFit } from '../../src/learner/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { resumableLearner } from '../learner/resumable.ts'
import { on } from '../learner/support.ts'

const labels = Array.from({ length: 40 }, (_, i) => Number(i > 25))

/** Whatever changes the data, the loss, the model, or holds something open while a fit lasts. */
const everyone = () => [
  new EMACallback({ decay: 0.9 }),
  new GradientAccumulation(2),
  new MixUpCallback(),
  new GradientClipping(0.5),
  new OverSamplingCallback({ labels }),
  new MixedPrecision(),
  new ActivationStats(),
  new BnFreeze(),
  new CSVLogger(),
  new JSONLogger({ batches: 1 }),
  new TensorBoardLogger(),
  new SaveModelCallback(),
  new CheckpointCallback({ every: 2 }),
  new EarlyStoppingCallback({ patience: 3 }),
  new LossSpikeCallback(),
  new ValidateEvery(3),
]

const wherever = eventNames.flatMap((event) => [
  [event, 'before the others', -1e9, new RangeError('no luck')] as const,
  [event, 'after the others', 1e9, new RangeError('no luck')] as const,
  [event, 'after the others', 1e9, new CancelFit()] as const,
])

describe.each(wherever)('at %s, %s (%d), %s', (event, _, order, error) => {
  it('leaves nothing behind, and the learner and its callbacks can be used again', async () => {
    const learner = resumableLearner(await temporaryFolder())
    const { lossFunction, data } = learner
    const { trainDl } = data
    learner.callbacks.push(...everyone())
    let armed = true
    const bomb = on<unknown>(
      event,
      () => {
        if (armed) throw error
      },
      order,
    )
    const fit = learner.fitOneCycle(1, { maxLr: 0.01, callbacks: [bomb] })
    // Outside of its loop a cancellation is an error too.
    if (error instanceof CancelFit && event !== 'onTrainEnd') await fit
    else await expect(fit).rejects.toBe(error)
    expect(learner.lossFunction).toBe(lossFunction)
    expect(data.trainDl).toBe(trainDl)
    expect(Object.hasOwn(learner.model, 'forward')).toBe(false)
    armed = false
    await learner.fitOneCycle(1, { maxLr: 0.01 })
    const { tensors } = memoryStats()
    await learner.fitOneCycle(1, { maxLr: 0.01 })
    expect(memoryStats().tensors).toBeLessThanOrEqual(tensors)
    expect((await learner.validate()).loss).toBeLessThan(2)
  })
})
