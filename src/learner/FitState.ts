import { AnnealError } from '../engine/errors.ts'
import type { AutocastDType, Tensor } from '../engine/index.ts'
import type { Callback } from './Callback.ts'
import { type Batch, batchSizeOf, type Input, type Output, type Target } from './data.ts'
import type { BatchEndContext, EpochEndContext, EpochMetrics, EventName, TrainEndContext } from './events.ts'
import type { Learner } from './Learner.ts'
import { SmoothedValue } from './SmoothedValue.ts'

/** What a fit is asked to do. */
export interface FitPlan {
  learner: Learner
  epochs: number
  batchesPerEpoch: number
  metricNames: readonly string[]
  monitors: readonly string[]
  skipValidate?: boolean
  resuming?: boolean
  callbacks?: readonly Callback[]
}

/** Where a fit stands between two batches or two epochs: enough to go on from there. */
export type FitPosition = {
  /** The epoch that is under way, or the next one. */
  epoch: number
  /** Training batches finished in the fit. */
  iteration: number
  /** Whether `epoch` has begun. */
  midEpoch: boolean
  /** Training batches finished in `epoch`. */
  numBatch: number
  /** Whether all of the epoch's training is done, and only its validation (from its beginning) is left. */
  trained: boolean
  /** Whether the pass over the training data has been left. */
  stopEpoch: boolean
  skipValidate: boolean
  stopTraining: boolean
  smoothing: { average: number; count: number }
  lossSum: number
  samples: number
}

/**
 * All that is known of a running fit. Callbacks see it through the contexts of `events.ts`, which say what is there at
 * which event; reading more than that ends in an error that says so.
 */
export class FitState implements Omit<BatchEndContext, 'lastOutput'>, EpochEndContext, TrainEndContext {
  readonly learner: Learner
  readonly epochs: number
  batchesPerEpoch: number
  readonly metricNames: readonly string[]
  readonly monitors: readonly string[]
  readonly resuming: boolean
  /** Those who take part. */
  readonly callbacks: readonly Callback[]

  /** The event that callbacks are being told of, or were last. */
  event: EventName | undefined
  epoch = 0
  iteration = 0
  numBatch = 0
  train = true
  /** Whether the epoch's training is done. */
  trained = false
  skipValidate: boolean
  stopTraining = false
  stopEpoch = false
  /** What the running batch's forward pass computes in; as it is around the fit, if nobody says. */
  autocast: AutocastDType | undefined
  skipBackward = false
  skipStep = false
  skipZero = false
  cancelled = false
  /** Whether this batch has been back-propagated. */
  hasGradients = false
  lossValue = Number.NaN
  exception: unknown = undefined
  lastMetrics: EpochMetrics = {}
  readonly smoothing = new SmoothedValue()

  #batch: {
    lastInput?: Input
    lastTarget?: Target
    lastOutput?: Output | (() => Output)
    lastLoss?: Tensor | (() => Tensor)
  } = {}
  #lossSum = 0
  #samples = 0

  constructor(plan: FitPlan) {
    this.learner = plan.learner
    this.epochs = plan.epochs
    this.batchesPerEpoch = plan.batchesPerEpoch
    this.metricNames = plan.metricNames
    this.monitors = plan.monitors
    this.skipValidate = plan.skipValidate ?? false
    this.resuming = plan.resuming ?? false
    this.callbacks = plan.callbacks ?? []
  }

  get smoothLoss(): number {
    return this.smoothing.value
  }

  get meanLoss(): number {
    return this.#lossSum / this.#samples
  }

  get lastInput(): Input {
    return this.#present('lastInput')
  }
  set lastInput(value: Input) {
    this.#batch.lastInput = value
  }

  get lastTarget(): Target {
    return this.#present('lastTarget')
  }
  set lastTarget(value: Target) {
    this.#batch.lastTarget = value
  }

  get lastOutput(): Output {
    return this.#present('lastOutput')
  }
  set lastOutput(value: Output) {
    this.#batch.lastOutput = value
  }

  get lastLoss(): Tensor {
    return this.#present('lastLoss')
  }
  set lastLoss(value: Tensor) {
    this.#batch.lastLoss = value
  }

  /** As setting both, where they are made only once somebody looks at them. */
  showLater(lastOutput: () => Output, lastLoss: () => Tensor): void {
    this.#batch.lastOutput = lastOutput
    this.#batch.lastLoss = lastLoss
  }

  get batchSize(): number {
    return batchSizeOf(this.lastInput)
  }

  /** Callbacks have begun, and may have set the epoch: the batches before it count as done. */
  beginFit(): void {
    if (this.iteration === 0) this.iteration = this.epoch * this.batchesPerEpoch
  }

  beginEpoch(): void {
    this.stopTraining = this.trained = false
    this.beginPass(true)
    this.#lossSum = 0
    this.#samples = 0
    this.lastMetrics = Object.fromEntries(this.monitors.map((name) => [name, null]))
  }

  /** The values of the epoch are there, as far as it got. */
  endEpoch(): void {
    this.lastMetrics = {
      ...this.lastMetrics,
      trainLoss: Number.isNaN(this.smoothLoss) ? null : this.smoothLoss,
    }
  }

  /** A pass over the training or the validation data begins. */
  beginPass(train: boolean): void {
    this.train = train
    this.numBatch = 0
    this.stopEpoch = false
  }

  beginBatch({ x, y }: Batch): void {
    this.#batch = { lastInput: x, lastTarget: y }
    this.stopEpoch = this.skipBackward = this.skipStep = this.skipZero = false
    this.cancelled = this.hasGradients = false
    this.autocast = undefined
    this.lossValue = Number.NaN
  }

  /** The training data is over: gradients of batches before make a step, without a batch. */
  beginRest(): void {
    this.skipBackward = this.skipStep = this.skipZero = this.cancelled = false
    this.hasGradients = true
  }

  backward(): void {
    this.hasGradients = true
    this.lastLoss.backward()
  }

  /** A training loss has been read. */
  addTrainLoss(loss: number): void {
    this.lossValue = loss
    this.smoothing.add(loss)
    this.#lossSum += loss * this.batchSize
    this.#samples += this.batchSize
  }

  endBatch(): void {
    this.numBatch++
    if (this.train) this.iteration++
    this.#batch = {}
  }

  /** Where the fit will stand when the event that callbacks are being told of is over. */
  get position(): FitPosition {
    const { epoch, iteration, event, train, stopEpoch, skipValidate, stopTraining } = this
    const epochIsOver = event === 'onEpochEnd'
    const batches = event === 'onBatchEnd' && train ? 1 : 0
    return {
      epoch: epochIsOver ? epoch + 1 : epoch,
      iteration: iteration + batches,
      midEpoch: !epochIsOver,
      numBatch: epochIsOver ? 0 : this.numBatch + batches,
      trained: this.trained && !epochIsOver,
      stopEpoch: stopEpoch && batches > 0,
      skipValidate,
      stopTraining,
      smoothing: this.smoothing.state,
      lossSum: this.#lossSum,
      samples: this.#samples,
    }
  }
  set position(position: FitPosition) {
    this.epoch = position.epoch
    this.iteration = position.iteration
    this.numBatch = position.numBatch
    this.trained = position.trained
    this.stopEpoch = position.stopEpoch
    this.skipValidate = position.skipValidate
    this.stopTraining = position.stopTraining
    this.smoothing.state = position.smoothing
    this.#lossSum = position.lossSum
    this.#samples = position.samples
  }

  #present<Value extends Input | Target | Output>(
    key: 'lastInput' | 'lastTarget' | 'lastOutput' | 'lastLoss',
  ): Value {
    const value = this.#batch[key] as Value | (() => Value) | undefined
    if (value === undefined) {
      throw new AnnealError(
        `the context has no ${key} here: ${this.cancelled ? 'the batch was cancelled before' : 'it is there only during a batch, once it has been made'}`,
      )
    }
    if (typeof value !== 'function') return value
    const made = value()
    this.#batch[key] = made as never
    return made
  }
}

/** A state for a fit, or (without a plan) for validation or prediction. Knows the names of all values of an epoch. */
export function newFitState(
  learner: Learner,
  plan: Partial<Pick<FitPlan, 'epochs' | 'batchesPerEpoch' | 'resuming' | 'callbacks'>> = {},
): FitState {
  const { epochs = 0, batchesPerEpoch = 0, callbacks = [], resuming = false } = plan
  const extra = callbacks.flatMap(({ extraMetrics }) => extraMetrics ?? [])
  const metricNames = [...learner.metrics.map(({ name }) => name), ...extra]
  const validated = learner.data.validDl ? ['validLoss', ...metricNames] : extra
  return new FitState({
    learner,
    epochs,
    batchesPerEpoch,
    resuming,
    callbacks,
    metricNames,
    monitors: ['trainLoss', ...validated],
  })
}
