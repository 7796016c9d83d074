import type { AutocastDType, Tensor } from '../engine/index.ts'
import type { Input, Output, Target } from './data.ts'
import type { Learner } from './Learner.ts'

/** The events of a fit, in the order in which they first happen. Names are fastai v1's in camelCase. */
export const eventNames = [
  'onTrainBegin',
  'onEpochBegin',
  'onBatchBegin',
  'onLossBegin',
  'onBackwardBegin',
  'onBackwardEnd',
  'onStepEnd',
  'onBatchEnd',
  'onEpochEnd',
  'onTrainEnd',
] as const

export type EventName = (typeof eventNames)[number]

/** Values of the epoch by name: `trainLoss`, `validLoss` and the metrics; null where there was no validation. */
export type EpochMetrics = Readonly<Record<string, number | null>>

/** What `onTrainBegin` is told. */
export interface TrainBeginContext {
  readonly learner: Learner
  /** Epoch after which the fit ends (absolute: a resumed fit begins at an `epoch` above 0); 0 in `validate` and `getPredictions`. */
  readonly epochs: number
  /** The running epoch, counted from 0. */
  readonly epoch: number
  /** Training batches finished in this fit; in `onBatchEnd` the current one is not counted yet. */
  readonly iteration: number
  /** Batches finished in the current pass over the training or validation data. */
  readonly numBatch: number
  /** Training batches of an epoch. */
  readonly batchesPerEpoch: number
  /** Names of the metrics, without the losses. */
  readonly metricNames: readonly string[]
  /** Names that a callback can monitor: `trainLoss`, `validLoss` (with validation data) and the metrics. */
  readonly monitors: readonly string[]
  readonly skipValidate: boolean
  /** Whether this fit goes on from a checkpoint: what was written before the interruption is to be kept. */
  readonly resuming: boolean
}

/** What `onEpochBegin` is told. */
export interface EpochBeginContext extends TrainBeginContext {
  readonly stopTraining: boolean
}

/** What `onBatchBegin` is told. Events of a batch run in validation too, with `train` false. */
export interface BatchBeginContext extends EpochBeginContext {
  /** True in training, false in validation and prediction. */
  readonly train: boolean
  /** The batch's input, as the data loader brought it or an earlier callback changed it. */
  readonly lastInput: Input
  readonly lastTarget: Target
  readonly stopEpoch: boolean
  readonly skipBackward: boolean
  readonly skipStep: boolean
  readonly skipZero: boolean
}

/** What `onLossBegin` is told. */
export interface LossBeginContext extends BatchBeginContext {
  /** What the model made of the input. Of a model with several heads it is the list of theirs: `lastOutput as Output` has both types. */
  readonly lastOutput: Tensor
}

/** What `onBackwardBegin` is told; training only. */
export interface BackwardBeginContext extends LossBeginContext {
  /** The loss as a tensor, part of the graph. */
  readonly lastLoss: Tensor
}

/**
 * What `onBackwardEnd` is told; training only. Gradients are there. Where a callback has held gradients back for batches that did not
 * come (`finishesGroup`), this and `onStepEnd` happen once more after the last batch, with no input, target, output and loss.
 */
export interface BackwardEndContext extends BackwardBeginContext {}

/** What `onStepEnd` is told; training only. The optimizer has stepped, gradients are still there. */
export interface StepEndContext extends BackwardBeginContext {}

/** What `onBatchEnd` is told, in training and in validation (see `train`). */
export interface BatchEndContext extends BackwardBeginContext {
  /** This batch's loss. NaN if the batch was cancelled before its loss was known. */
  readonly lossValue: number
  /** Training loss, smoothed over the fit so far: fastai's debiased moving average with weight 0.98. */
  readonly smoothLoss: number
  /** Whether a callback cancelled this batch. */
  readonly cancelled: boolean
}

/** What `onEpochEnd` is told. */
export interface EpochEndContext extends EpochBeginContext {
  /** The smoothed training loss at the epoch's last batch; the same as `lastMetrics.trainLoss`. */
  readonly smoothLoss: number
  /** Mean training loss over the samples of this epoch, each with the weights it met. */
  readonly meanLoss: number
  readonly lastMetrics: EpochMetrics
}

/** What `onTrainEnd` is told. */
export interface TrainEndContext extends TrainBeginContext {
  /** What ended the fit early, if it was an error; undefined otherwise. */
  readonly exception: unknown
}

/** The context of each event. At run time it is one object, which knows more and more as the fit goes on. */
export interface EventContexts {
  onTrainBegin: TrainBeginContext
  onEpochBegin: EpochBeginContext
  onBatchBegin: BatchBeginContext
  onLossBegin: LossBeginContext
  onBackwardBegin: BackwardBeginContext
  onBackwardEnd: BackwardEndContext
  onStepEnd: StepEndContext
  onBatchEnd: BatchEndContext
  onEpochEnd: EpochEndContext
  onTrainEnd: TrainEndContext
}

/** All that callbacks can change, over all events. */
interface Changeable {
  /** Begin (resume) at this epoch. */
  epoch: number
  /** Leave validation out; lasts for the rest of the fit. */
  skipValidate: boolean
  /** Length of an epoch, where a callback exchanges the training loader. */
  batchesPerEpoch: number
  lastInput: Input
  lastTarget: Target
  /** What this batch's forward pass computes in. */
  autocast: AutocastDType
  lastOutput: Output
  /** What is back-propagated. The reported losses stay those of the loss function. */
  lastLoss: Tensor
  /** Do not back-propagate this batch. */
  skipBackward: boolean
  /** Do not step with this batch. Its gradients are zeroed all the same, unless `skipZero`. */
  skipStep: boolean
  /** Keep the gradients: those of the next batch are added to them. */
  skipZero: boolean
  /** Leave the current pass over the data after this batch. */
  stopEpoch: boolean
  /** End the fit after this epoch. */
  stopTraining: boolean
  /** Values of this epoch to set or add, by name. */
  lastMetrics: EpochMetrics
}

/** Keys that another event may change are named as forbidden here, so that the compiler objects to them. */
type Changes<Key extends keyof Changeable> = { readonly [K in Key]?: Changeable[K] } & {
  readonly [K in Exclude<keyof Changeable, Key>]?: never
}

/** What a callback may return from each event to change the course of the fit. */
export interface EventChanges {
  onTrainBegin: Changes<'epoch' | 'skipValidate' | 'batchesPerEpoch'>
  onEpochBegin: Changes<never>
  onBatchBegin: Changes<'lastInput' | 'lastTarget' | 'autocast'>
  onLossBegin: Changes<'lastOutput'>
  onBackwardBegin: Changes<'lastLoss' | 'skipBackward'>
  onBackwardEnd: Changes<'skipStep'>
  onStepEnd: Changes<'skipZero'>
  onBatchEnd: Changes<'stopEpoch' | 'stopTraining' | 'skipValidate'>
  onEpochEnd: Changes<'lastMetrics' | 'stopTraining'>
  onTrainEnd: Changes<never>
}

/** The same at run time, for JavaScript and for messages. */
export const allowedChanges: { readonly [Event in EventName]: readonly (keyof Changeable)[] } = {
  onTrainBegin: ['epoch', 'skipValidate', 'batchesPerEpoch'],
  onEpochBegin: [],
  onBatchBegin: ['lastInput', 'lastTarget', 'autocast'],
  onLossBegin: ['lastOutput'],
  onBackwardBegin: ['lastLoss', 'skipBackward'],
  onBackwardEnd: ['skipStep'],
  onStepEnd: ['skipZero'],
  onBatchEnd: ['stopEpoch', 'stopTraining', 'skipValidate'],
  onEpochEnd: ['lastMetrics', 'stopTraining'],
  onTrainEnd: [],
}
