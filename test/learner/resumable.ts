import { EarlyStoppingCallback } from '../../callbacks/index.ts'
import { DataLoader, type Dataset, type RandomStream, type Sample } from '../../src/data/index.ts'
import { manualSeed } from '../../src/engine/index.ts'
import {
  Callback,
  type EventContexts,
  Learner,
  type LearnerOptions,
  metrics,
} from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

/** Points in two clouds, each shaken anew in every epoch, fetched with a delay of its own: workers overtake each other. */
class ShakenPoints implements Dataset<Sample<Float32Array, number>> {
  readonly length = 40
  /** How many were asked for. */
  fetched = 0

  async get(index: number, random: RandomStream): Promise<Sample<Float32Array, number>> {
    this.fetched++
    if (index % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    const y = index % 2
    return {
      x: Float32Array.from({ length: 6 }, (_, i) => y + Math.sin(index * 6 + i) + random.uniform(-0.3, 0.3)),
      y,
    }
  }
}

/** Accumulates the gradients of `steps` batches: what it remembers is the count, and the gradients themselves. */
export class Accumulate extends Callback {
  readonly steps = 3
  #count = 0

  override onTrainBegin() {
    this.#count = 0
  }
  override stateDict() {
    return { count: this.#count }
  }
  override loadStateDict({ count }: { count: number }) {
    this.#count = count
  }
  override onBackwardEnd(_: EventContexts['onBackwardEnd']) {
    this.#count++
    return { skipStep: this.#count % this.steps !== 0 }
  }
  override onStepEnd(_: EventContexts['onStepEnd']) {
    return { skipZero: this.#count % this.steps !== 0 }
  }
}

/** Changes the rate without remembering anything itself. */
class Cool extends Callback {
  override onEpochEnd({ learner }: EventContexts['onEpochEnd']) {
    learner.optimizer.lr = learner.optimizer.lrs.map((lr) => 0.7 * lr)
  }
}

/** Everything that a resumed fit has to bring back: dropout, batch norm, shuffling, augmentation, workers, layer groups. */
export function resumableLearner(
  path: string,
  options: LearnerOptions = {},
  width = 12,
): Learner & { points: ShakenPoints } {
  manualSeed(11)
  const points = new ShakenPoints()
  const trainDl = new DataLoader(points, { batchSize: 8, shuffle: true, workers: 3 })
  const validDl = new DataLoader(new ShakenPoints(), { batchSize: 16, workers: 2 })
  const body = new nn.Sequential(
    new nn.Linear(6, width),
    new nn.BatchNorm1d(width),
    new nn.ReLU(),
    new nn.Dropout(0.3),
  )
  const head = new nn.Linear(width, 2)
  const learner = new Learner({ trainDl, validDl, classes: ['a', 'b'] }, new nn.Sequential(body, head), {
    lossFunction: new nn.CrossEntropyLoss(),
    metrics: [metrics.accuracy],
    layerGroups: [head],
    path,
    silent: true,
    ...options,
  })
  return Object.assign(learner, { points })
}

/** Fits by name, for the test and for the processes that it starts. */
export const fits: Record<
  string,
  { options?: LearnerOptions; run(learner: Learner, extra: Callback[]): Promise<void> }
> = {
  oneCycle: {
    run: (learner, extra) => learner.fitOneCycle(3, { maxLr: [0.01, 0.05], callbacks: extra }),
  },
  accumulation: {
    options: { optimizer: (params, { lr }) => new optim.SGD(params, { lr, momentum: 0.9 }) },
    run: (learner, extra) =>
      learner.fit(3, { lr: 0.05, wd: 0.1, callbacks: [new Accumulate(), new Cool(), ...extra] }),
  },
  earlyStopping: {
    run: (learner, extra) =>
      learner.fit(6, {
        lr: 0.3,
        callbacks: [new EarlyStoppingCallback({ patience: 1, minDelta: 0.05 }), ...extra],
      }),
  },
}

/** All that must agree to the bit. */
export function outcome(learner: Learner): Record<string, unknown> {
  const { recorder, model, optimizer } = learner
  return {
    weights: Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.toArray()]),
    lrs: recorder.lrs,
    momentums: recorder.momentums,
    losses: recorder.losses,
    rawLosses: recorder.rawLosses,
    epochs: recorder.epochs.map(({ seconds, ...epoch }) => epoch),
    remembered: model.namedParameters().map(([name, parameter]) => {
      const state = Object.entries(optimizer.inner.state.get(parameter) ?? {})
      return [name, state.map(([key, value]) => [key, typeof value === 'number' ? value : value.toArray()])]
    }),
  }
}
