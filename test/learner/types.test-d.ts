/** Compiled by the type check, never run: each line below an `@ts-expect-error` must fail to compile. */
import {
  CheckpointCallback,
  CyclicScheduler,
  EarlyStoppingCallback,
  GeneralScheduler,
  GradientAccumulation,
  MixedPrecision,
  MixUpCallback,
  ReduceLROnPlateauCallback,
  SaveModelCallback,
} from '../../callbacks/index.ts'
import type { Tensor } from '../../src/engine/index.ts'
import {
  type BatchBeginContext,
  type BatchEndContext,
  Callback,
  type EpochEndContext,
  Learner,
  type LearnerData,
  metricName,
  metrics,
  slice,
} from '../../src/learner/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

declare const data: LearnerData
declare const heads: nn.Module<[Tensor], [Tensor, Tensor]>
declare const model: nn.Module

class PrintLoss extends Callback {
  override order = 0
  override onBatchEnd(context: BatchEndContext) {
    if (context.train) console.log(context.iteration, context.smoothLoss)
  }
}

class Misspelt extends Callback {
  onBatchEnded(_: BatchEndContext) {}
}

class Watcher extends Callback {
  override onBatchEnd(context: BatchEndContext) {
    // @ts-expect-error a misspelt field of the context
    return context.smothLoss > 1 ? { stopEpoch: true } : undefined
  }
  override onBatchBegin(context: BatchBeginContext) {
    // @ts-expect-error the output is not there yet
    console.log(context.lastOutput)
  }
  override async onEpochEnd(context: EpochEndContext) {
    return { lastMetrics: context.lastMetrics, stopTraining: true }
  }
}

class WrongKey extends Callback {
  // @ts-expect-error a misspelt change
  override onBackwardEnd() {
    return { skipStepp: true }
  }
}

class WrongPlace extends Callback {
  // @ts-expect-error a change that belongs to another event
  override onBatchEnd() {
    return { stopEpoch: true, skipStep: true }
  }
}

class WrongValue extends Callback {
  // @ts-expect-error a change of the wrong type
  override async onStepEnd() {
    return { skipZero: 'yes' }
  }
}

const learner = new Learner(data, model, {
  optimizer: optim.Adam,
  callbacks: [new PrintLoss(), new Watcher()],
})
new Learner(data, model, {
  optimizer: (params, options) => new optim.SGD(params, { ...options, momentum: 0.9 }),
})
new Learner(data, model, { lossFunction: new nn.CrossEntropyLoss(), layerGroups: [model] })

// Losses declare what they take; those that do not, take tensors.
new Learner(data, model, { lossFunction: (output, target) => F.crossEntropy(output, target.squeeze(1)) })
new Learner(data, model, { lossFunction: (output: Tensor, target: Tensor) => output.sub(target).mean() })
new Learner(data, model, {
  lossFunction: (o: Tensor, t: readonly Tensor[]) => F.crossEntropy(o, t[0]!),
  metrics: [
    function first(o: Tensor, t: readonly Tensor[]) {
      return o.argmax(1).eq(t[0]!).float().mean()
    },
  ],
})
new Learner(data, heads, {
  lossFunction: ([a, b]: [Tensor, Tensor], [c, d]: readonly Tensor[]) =>
    F.crossEntropy(a, c!).add(F.mseLoss(b, d!)),
})
new Learner(data, heads, { lossFunction: ([a, b], target) => a.add(b).sub(target).mean() })
// @ts-expect-error no tensor
new Learner(data, model, { lossFunction: (output: string) => output })
// @ts-expect-error gives no tensor
new Learner(data, model, { lossFunction: (output, target) => output.sub(target).item() })
// @ts-expect-error the class itself
new Learner(data, model, { lossFunction: nn.CrossEntropyLoss })

void learner
  .getPredictions()
  .then(({ predictions, decoded, targets }) => [predictions.shape, decoded.shape, targets.shape])
void new Learner(data, heads).getPredictions<readonly Tensor[]>().then(({ predictions, targets }) => [
  predictions[1].shape,
  targets[0]?.shape,
  // @ts-expect-error a list, as the model gives it
  predictions.shape,
])

console.log(WrongKey, WrongPlace, WrongValue)
void learner.fit(1, { lr: slice(1e-3), callbacks: [new Watcher()] })
// @ts-expect-error an event that does not exist
void learner.fit(1, { callbacks: [new Misspelt()] })
// @ts-expect-error an option that does not exist
void learner.fit(1, { learningRate: 1 })
// @ts-expect-error an option that does not exist
void learner.fitOneCycle(1, { maxLR: 1e-3 })
// @ts-expect-error an option that does not exist
new Learner(data, model, { optimiser: optim.Adam })

new SaveModelCallback({ monitor: 'accuracy', name: 'best' })
new EarlyStoppingCallback({ monitor: 'validLoss' })
new SaveModelCallback({ monitor: metricName('myOwn') })
// @ts-expect-error a misspelt monitor
new SaveModelCallback({ monitor: 'acuracy' })
// @ts-expect-error a mode that does not exist
new EarlyStoppingCallback({ mode: 'least' })

new CheckpointCallback({ every: 100, name: 'last', keepLast: 1, monitor: 'accuracy', topK: 2 })
new CheckpointCallback({ every: 'interrupt' })
// @ts-expect-error a moment that does not exist
new CheckpointCallback({ every: 'batch' })
// @ts-expect-error a misspelt monitor
new CheckpointCallback({ monitor: 'acuracy' })
// @ts-expect-error an option that does not exist
void learner.tta({ betta: 0.5 })
void learner.fitFlatCosine(1, { lr: 1e-3, startPct: 0.5, fastDevRun: true })
// @ts-expect-error an option of another schedule
void learner.fitFlatCosine(1, { maxLr: 1e-3 })
void Learner.resume('last', learner).then((resumed: Learner) => resumed.recorder)

class Remembers extends Callback {
  #count = 0
  override stateDict() {
    return { count: this.#count, history: new Float64Array(3) }
  }
  override loadStateDict({ count }: { count: number }) {
    this.#count = count
  }
}

class RemembersCode extends Callback {
  // @ts-expect-error a checkpoint cannot hold functions
  override stateDict() {
    return { f: () => 1 }
  }
  override loadStateDict() {}
}
console.log(Remembers, RemembersCode)

new MixUpCallback(0.4)
new GeneralScheduler({
  phases: [
    { epochs: 1, lr: slice(1e-3) },
    { share: 0.5, lr: { start: 1e-3, end: 0 } },
  ],
})
new Learner(data, model, {
  metrics: [metrics.precision, metrics.fBeta({ beta: 1, average: 'macro' }), metrics.topKAccuracy(5)],
})
new ReduceLROnPlateauCallback({ monitor: 'f1Score', minLr: [1e-5, 1e-4] })
// @ts-expect-error an option that does not exist
new MixUpCallback({ alfa: 0.4 })
// @ts-expect-error an option that does not exist
new GradientAccumulation({ steps: 4 })
// @ts-expect-error a phase without such a value
new GeneralScheduler({ phases: [{ epochs: 1, learningRate: 1 }] })
// @ts-expect-error a mode that does not exist
new CyclicScheduler({ baseLr: 1e-4, maxLr: 1e-2, mode: 'square' })
// @ts-expect-error bounds are needed
new CyclicScheduler({ maxLr: 1e-2 })
// @ts-expect-error an average that does not exist
metrics.precision({ average: 'samples' })
// @ts-expect-error an option of another metric
metrics.recall({ beta: 2 })
// @ts-expect-error a dtype that is no half precision
new MixedPrecision({ dtype: 'float64' })
