import { describe, expect, it, vi } from 'vitest'
import {
  CyclicScheduler,
  EarlyStoppingCallback,
  EMACallback,
  GeneralScheduler,
  GradientAccumulation,
  GradientClipping,
  LossSpikeCallback,
  MixUpCallback,
  OverSamplingCallback,
  ReduceLROnPlateauCallback,
  SaveModelCallback,
  StopAfterNBatches,
  SWACallback,
  ValidateEvery,
  WarmRestartsScheduler,
} from '../../callbacks/index.ts'
import { getRngState } from '../../src/engine/index.ts'
import {
  Callback,
  CancelBatch,
  CancelEpoch,
  CancelFit,
  CancelValidation,
  Learner,
  type LearnerOptions,
} from '../../src/learner/index.ts'
import * as optim from '../../src/optim/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { outcome, resumableLearner } from './resumable.ts'
import { on } from './support.ts'

vi.setConfig({ testTimeout: 300_000 })

/** Writes a checkpoint at the end of every batch, of training and validation, and of every epoch. */
class Everywhere extends Callback {
  override order = Number.POSITIVE_INFINITY
  readonly files: string[] = []
  override async onBatchEnd({ learner }: { learner: Learner }) {
    this.files.push(await learner.checkpoint(`at-${this.files.length}`))
  }
  override async onEpochEnd({ learner }: { learner: Learner }) {
    this.files.push(await learner.checkpoint(`at-${this.files.length}`))
  }
}

interface Case {
  options?: LearnerOptions
  before?(learner: Learner): Promise<void>
  run(learner: Learner, extra: Callback[]): Promise<void>
}

type Context = { train: boolean; epoch: number; iteration: number; numBatch: number }

const oneCycle =
  (epochs: number, callbacks: () => Callback[]): Case['run'] =>
  (learner, extra) =>
    learner.fitOneCycle(epochs, { maxLr: [0.01, 0.05], callbacks: [...callbacks(), ...extra] })
const steady =
  (epochs: number, callbacks: () => Callback[]): Case['run'] =>
  (learner, extra) =>
    learner.fit(epochs, { lr: [0.01, 0.05], callbacks: [...callbacks(), ...extra] })

// Five training and three validation batches make an epoch.
const cases: Record<string, Case> = {
  'accumulation, averages, mixup and clipping': {
    run: oneCycle(2, () => [
      new EMACallback({ decay: 0.9, warmUp: true }),
      new GradientAccumulation(2),
      new MixUpCallback(),
      new GradientClipping(0.5),
      new ValidateEvery(2),
      new LossSpikeCallback({ factor: 1.01, warmUp: 1, limit: 99 }),
    ]),
  },
  'averages, the best model and early stopping': {
    run: oneCycle(4, () => [
      new SWACallback({ startEpoch: 1 }),
      new SaveModelCallback({ monitor: 'accuracy' }),
      new EarlyStoppingCallback({ patience: 1 }),
    ]),
  },
  'a plateau, averages and saving every epoch': {
    options: {
      optimizer: (params, { lr }) => new optim.SGD(params, { lr, momentum: 0.9, nesterov: true }),
    },
    run: steady(3, () => [
      new ReduceLROnPlateauCallback({ minDelta: 0.3, minLr: 1e-4 }),
      new EMACallback({ decay: 0.7, batchNorm: 'recompute' }),
      new SaveModelCallback({ every: 'epoch' }),
    ]),
  },
  'phases that end in the middle of an epoch': {
    run: steady(4, () => [
      new GeneralScheduler({
        phases: [
          { batches: 3, lr: { start: 1e-3, end: 1e-1 }, momentum: 0.8 },
          { share: 0.4, lr: 0.01, beta: { start: 0.9, end: 0.99 }, wd: { start: 0, end: 0.2 } },
        ],
      }),
    ]),
  },
  'cycles, over-sampling and accumulation': {
    run: steady(2, () => [
      new CyclicScheduler({ baseLr: 1e-3, maxLr: 0.05, stepSizeUp: 4, mode: 'exp_range', gamma: 0.9 }),
      new OverSamplingCallback({ labels: Array.from({ length: 40 }, (_, i) => Number(i > 25)) }),
      new GradientAccumulation({ batches: 3, dropLast: true }),
    ]),
  },
  'warm restarts after a sweep, a fit, and a frozen fit': {
    options: { optimizer: optim.LAMB },
    async before(learner) {
      await learner.lrFind({ numIt: 7 })
      await learner.fitOneCycle(1)
      learner.freeze()
      await learner.fit(1)
      learner.unfreeze()
    },
    run: steady(2, () => [new WarmRestartsScheduler({ maxLr: 0.05, cycleFactor: 2 })]),
  },
  'a limit of batches': {
    run: steady(5, () => [new StopAfterNBatches(12), new SWACallback({ startEpoch: 0 })]),
  },
  'an end announced in the middle of an epoch': {
    run: steady(4, () => [
      on<Context>('onBatchEnd', ({ iteration }) => (iteration === 6 ? { stopTraining: true } : undefined)),
    ]),
  },
  'short epochs': {
    run: oneCycle(2, () => [
      on<Context>('onBatchEnd', ({ numBatch, train }) => ({ stopEpoch: numBatch === (train ? 2 : 1) })),
      new GradientAccumulation(2),
    ]),
  },
  'last batches that are cancelled while gradients wait': {
    run: oneCycle(3, () => [
      on<Context>('onBackwardBegin', ({ numBatch }) => {
        if (numBatch === 4) throw new CancelBatch()
      }),
      new GradientAccumulation(3),
      new EMACallback({ decay: 0.7 }),
    ]),
  },
  cancellations: {
    run: oneCycle(4, () => [
      on<Context>('onBatchBegin', ({ train, epoch, iteration }) => {
        if (train && iteration === 1) throw new CancelBatch()
        if (!train && epoch === 2) throw new CancelValidation()
      }),
      on<Context>('onBackwardEnd', ({ iteration }) => {
        if (iteration === 7) throw new CancelBatch()
        if (iteration === 12) throw new CancelEpoch()
      }),
      on<Context>('onBatchEnd', ({ iteration }) => {
        if (iteration === 16) throw new CancelFit()
      }),
      new GradientAccumulation(3),
    ]),
  },
}

describe.each(Object.entries(cases))('a fit with %s', (_, { options, before, run }) => {
  it('ends alike wherever it is taken up', async () => {
    const folder = await temporaryFolder()
    const begin = async () => {
      const learner = resumableLearner(folder, options)
      await before?.(learner)
      return learner
    }
    const whole = await begin()
    const everywhere = new Everywhere()
    await run(whole, [everywhere])
    const expected = outcome(whole)
    const random = getRngState()
    expect(everywhere.files.length).toBeGreaterThan(10)
    for (const [i, file] of everywhere.files.entries()) {
      if (i % 2 === 1 && i < everywhere.files.length - 1) continue
      // What came before the fit need not be done again, and does not matter if it is.
      const learner = i % 4 === 0 ? await begin() : resumableLearner(folder, options)
      await Learner.resume(file, learner)
      await run(learner, [])
      expect(outcome(learner), file).toEqual(expected)
      expect(getRngState(), file).toEqual(random)
    }
  })
})
