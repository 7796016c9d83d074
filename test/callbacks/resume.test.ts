import { describe, expect, it } from 'vitest'
import {
  ActivationStats,
  CheckpointCallback,
  EMACallback,
  GradientAccumulation,
  LossScaling,
  MixedPrecision,
  MixUpCallback,
  OverSamplingCallback,
  ReduceLROnPlateauCallback,
  SaveModelCallback,
  SWACallback,
} from '../../callbacks/index.ts'
import { getRngState } from '../../src/engine/index.ts'
import { type BatchEndContext, Callback, Learner } from '../../src/learner/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { outcome, resumableLearner } from '../learner/resumable.ts'
import { Fail } from '../learner/support.ts'

/** Writes a checkpoint in the validation of the second epoch, as Ctrl-C would, and leaves. */
class LeaveInValidation extends Callback {
  override order = Number.POSITIVE_INFINITY
  override async onBatchEnd({ train, epoch, learner }: BatchEndContext) {
    if (train || epoch !== 1) return
    await learner.checkpoint('validating')
    throw new Error('out of luck')
  }
}

/** Five training and three validation batches make an epoch. */
const fits: Record<string, { callbacks: () => Callback[]; epochs?: number }> = {
  EMACallback: { callbacks: () => [new EMACallback({ decay: 0.8, warmUp: true })] },
  SWACallback: { callbacks: () => [new SWACallback({ startEpoch: 1, lr: 0.005 })] },
  'MixedPrecision, ActivationStats and OverSamplingCallback': {
    callbacks: () => [
      new MixedPrecision(),
      new ActivationStats({ every: 2 }),
      new OverSamplingCallback({ labels: Array.from({ length: 40 }, (_, i) => Number(i > 25)) }),
    ],
  },
  MixUpCallback: { callbacks: () => [new MixUpCallback()] },
  GradientAccumulation: { callbacks: () => [new GradientAccumulation(3)] },
  ReduceLROnPlateauCallback: {
    callbacks: () => [new ReduceLROnPlateauCallback({ minDelta: 0.2, patience: 1, minLr: 1e-4 })],
    epochs: 5,
  },
}

describe.each(Object.keys(fits))('a fit with %s', (name) => {
  const { callbacks, epochs = 3 } = fits[name]!
  const run = (learner: Learner, extra: Callback[]) =>
    learner.fit(epochs, { lr: [0.01, 0.02], callbacks: [...callbacks(), ...extra] })

  it('ends alike whether it was interrupted or not', async () => {
    const folder = await temporaryFolder()
    const every = (count: number) => new CheckpointCallback({ every: count })
    const whole = resumableLearner(folder)
    await run(whole, [])
    const expected = outcome(whole)
    const random = getRngState()
    for (const [at, count] of [
      [3, 2],
      [9, 1],
      [14, 3],
      [19, 1],
    ] as const) {
      const broken = resumableLearner(folder)
      await expect(run(broken, [every(count), new Fail(at)])).rejects.toThrow('out of luck')
      const learner = await Learner.resume('last', resumableLearner(folder))
      await run(learner, [every(count)])
      expect(outcome(learner)).toEqual(expected)
      expect(getRngState()).toEqual(random)
    }
    const done = await Learner.resume('last', resumableLearner(folder))
    await run(done, [every(1)]) // has nothing left to do
    expect(outcome(done)).toEqual(expected)

    const left = resumableLearner(folder)
    await expect(run(left, [new LeaveInValidation()])).rejects.toThrow('out of luck')
    const learner = await Learner.resume('validating', resumableLearner(folder))
    await run(learner, [])
    expect(outcome(learner)).toEqual(expected)
    expect(getRngState()).toEqual(random)
  })
})

/** Makes the fit with some callbacks fail in its second epoch, and resumes it with others. */
async function resumeWith(
  before: Callback[],
  now: Callback[],
  checkpoint = () => new CheckpointCallback(),
  checkpointNow = checkpoint,
): Promise<void> {
  const folder = await temporaryFolder()
  const run = (learner: Learner, callbacks: Callback[]) => learner.fit(2, { callbacks })
  const broken = run(resumableLearner(folder), [checkpoint(), ...before, new Fail(10)])
  await expect(broken).rejects.toThrow('out of luck')
  await run(await Learner.resume('last', resumableLearner(folder)), [checkpointNow(), ...now])
}

describe('a fit that resumes is refused', () => {
  it('with a loss scale that moves otherwise, but not for the first one', async () => {
    const before = () => [new LossScaling({ growthInterval: 3 })]
    await expect(resumeWith(before(), [new LossScaling({ growthInterval: 4 })])).rejects.toThrow(
      /LossScaling is not as it was at the checkpoint: growthInterval was 3 and is 4/,
    )
    await expect(resumeWith([], [new LossScaling()])).rejects.toThrow(/LossScaling was not there/)
    await resumeWith(before(), [new LossScaling({ initialScale: 8, growthInterval: 3 })])
  })

  it('with a best value of something else', async () => {
    await expect(
      resumeWith([new SaveModelCallback()], [new SaveModelCallback({ monitor: 'accuracy' })]),
    ).rejects.toThrow(/SaveModelCallback is not as it was .*monitor was "validLoss" and is "accuracy"/)
    const best = (monitor: 'validLoss' | 'accuracy') => () => new CheckpointCallback({ monitor })
    await expect(resumeWith([], [], best('validLoss'), best('accuracy'))).rejects.toThrow(
      /CheckpointCallback is not as it was .*monitor was "validLoss" and is "accuracy"/,
    )
    await resumeWith([], [], best('validLoss'), () => new CheckpointCallback())
    await resumeWith([], [], () => new CheckpointCallback(), best('accuracy'))
  })

  it('with other labels to draw by', async () => {
    const by = (first: number) =>
      new OverSamplingCallback({ labels: Array.from({ length: 40 }, (_, i) => Number(i > first)) })
    await expect(resumeWith([by(25)], [by(26)])).rejects.toThrow(/OverSamplingCallback/)
    await resumeWith([by(25)], [by(25)])
  })
})
