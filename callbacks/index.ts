/** Callbacks: what happens around the training loop. One callback, one file. */

export { ActivationStats, type ActivationStatsOptions, type LayerStats } from './ActivationStats.ts'
export { AdaptiveGANSwitcher, type AdaptiveGANSwitcherOptions } from './AdaptiveGANSwitcher.ts'
export { BnFreeze } from './BnFreeze.ts'
export { type BestCheckpoint, CheckpointCallback, type CheckpointOptions } from './CheckpointCallback.ts'
export { CSVLogger, type CSVLoggerOptions } from './CSVLogger.ts'
export { CutMixCallback, type CutMixOptions } from './CutMixCallback.ts'
export { CyclicScheduler, type CyclicSchedulerOptions } from './CyclicScheduler.ts'
export { type DCGANScores, DCGANTrainer, type DCGANTrainerOptions } from './DCGANTrainer.ts'
export { EarlyStoppingCallback, type EarlyStoppingOptions } from './EarlyStoppingCallback.ts'
export { EMACallback, type EMAOptions } from './EMACallback.ts'
export { FileLogger, type FileLoggerOptions } from './FileLogger.ts'
export { FixedGANSwitcher, type FixedGANSwitcherOptions, type TurnLength } from './FixedGANSwitcher.ts'
export { type FlatCosineOptions, FlatCosineScheduler, flatCosine } from './FlatCosineScheduler.ts'
export { GANDiscriminativeLR, type GANDiscriminativeLROptions } from './GANDiscriminativeLR.ts'
export { GANDivergenceError, GANGuard, type GANGuardOptions } from './GANGuard.ts'
export { GANMeasure, type GANMeasureName, type GANMeasureOptions } from './GANMeasure.ts'
export { type GANLosses, GANTrainer, type GANTrainerOptions } from './GANTrainer.ts'
export {
  GeneralScheduler,
  type GeneralSchedulerOptions,
  type PhaseValue,
  type TrainingPhase,
} from './GeneralScheduler.ts'
export { GradientAccumulation, type GradientAccumulationOptions } from './GradientAccumulation.ts'
export { GradientClipping, type GradientClippingOptions } from './GradientClipping.ts'
export { JSONLogger, type JSONLoggerOptions } from './JSONLogger.ts'
export { LossScaling, type LossScalingOptions } from './LossScaling.ts'
export { type LossSpike, LossSpikeCallback, type LossSpikeOptions } from './LossSpikeCallback.ts'
export { LRFinder, type LRFinderOptions, type LrFindResult } from './LRFinder.ts'
export { MixedPrecision, type MixedPrecisionOptions } from './MixedPrecision.ts'
export { MixingCallback } from './MixingCallback.ts'
export { MixUpCallback, type MixUpOptions } from './MixUpCallback.ts'
export { type OneCycleOptions, type OneCyclePoint, OneCycleScheduler, oneCycle } from './OneCycleScheduler.ts'
export { OverSamplingCallback, type OverSamplingOptions } from './OverSamplingCallback.ts'
export { ProgressCallback, type ProgressOptions, type ProgressStream } from './ProgressCallback.ts'
export { type EpochRecord, Recorder, type RecorderPlotOptions } from './Recorder.ts'
export { ReduceLROnPlateauCallback, type ReduceLROnPlateauOptions } from './ReduceLROnPlateauCallback.ts'
export { SaveModelCallback, type SaveModelOptions } from './SaveModelCallback.ts'
export {
  ScheduleCallback,
  type SchedulePlan,
  type SchedulePoint,
  type ScheduleSpan,
} from './ScheduleCallback.ts'
export { StopAfterNBatches, type StopAfterNBatchesOptions } from './StopAfterNBatches.ts'
export { SWACallback, type SWAOptions } from './SWACallback.ts'
export { TensorBoardLogger, type TensorBoardLoggerOptions } from './TensorBoardLogger.ts'
export {
  DivergenceError,
  TerminateOnNonFiniteCallback,
  type TerminateOnNonFiniteOptions,
} from './TerminateOnNonFiniteCallback.ts'
export { TrackerCallback, type TrackerOptions } from './TrackerCallback.ts'
export { type StepValidation, ValidateEvery, type ValidateEveryOptions } from './ValidateEvery.ts'
export { type WarmRestartsOptions, WarmRestartsScheduler } from './WarmRestartsScheduler.ts'
export { WeightAverageCallback, type WeightAverageOptions } from './WeightAverageCallback.ts'
