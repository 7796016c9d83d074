/** The Learner, its training loop and callback protocol, metrics, and what is looked at afterwards. */

export type { BatchSizeResult, BatchSizeTrial, FindBatchSizeOptions } from './batchSizeFinder.ts'
export { type Answer, Callback } from './Callback.ts'
export type { CallbackState, NumberArray, StateValue } from './callbackState.ts'
export { CancelBatch, CancelEpoch, CancelFit, CancelValidation } from './cancel.ts'
export type { LoadReport } from './checkpoint.ts'
export { type PlotClassActivationsOptions, plotClassActivations } from './classActivations.ts'
export type { Batch, BatchLoader, Input, LearnerData, Output, Target } from './data.ts'
export type {
  BackwardBeginContext,
  BackwardEndContext,
  BatchBeginContext,
  BatchEndContext,
  EpochBeginContext,
  EpochEndContext,
  EpochMetrics,
  EventChanges,
  EventContexts,
  EventName,
  LossBeginContext,
  StepEndContext,
  TrainBeginContext,
  TrainEndContext,
} from './events.ts'
export type { LearnerExportOnnxOptions } from './exportOnnx.ts'
export type { Limits } from './FitLimits.ts'
export { type ClassActivation, type GradCamOptions, gradCam } from './gradCam.ts'
export {
  ClassificationInterpretation,
  type ClassReport,
  type Confusion,
  type PlotTopLossesOptions,
  type TopLosses,
} from './interpretation.ts'
export { Learner, type ValidateOptions } from './Learner.ts'
export { LearnerSummary } from './LearnerSummary.ts'
export {
  type LabelReport,
  type LabelReportOptions,
  labelReport,
  suggestThresholds,
} from './labelReport.ts'
export { type AnyModule, leavesOf, type Split, splitModel } from './layerGroups.ts'
export type {
  FitFlatCosineOptions,
  FitOneCycleOptions,
  FitOptions,
  LearnerOptions,
  LoadOptions,
  LrFindOptions,
  SaveOptions,
} from './learnerOptions.ts'
export { type LoadLearnerOptions, loadLearner } from './loadLearner.ts'
export type { LossFunction, LossModule } from './lossFunction.ts'
export { type LearningRate, lrRange, Slice, slice } from './lrRange.ts'
export { type LrSuggestions, suggestLrs } from './lrSuggestions.ts'
export * as metrics from './metrics.ts'
export { describeAs, type ModelDescription, registerModelKind } from './modelDescription.ts'
export {
  type MetricNames,
  type Monitor,
  type MonitorMode,
  metricName,
  type OwnMetricName,
} from './monitors.ts'
export {
  type OptimizerFactory,
  type OptimizerFactoryOptions,
  type OptimizerOption,
  OptimizerWrapper,
  type OptimizerWrapperOptions,
  type SteerableOptimizer,
  type SteeredGroup,
} from './OptimizerWrapper.ts'
export type { Prediction, PredictionOptions, Predictions } from './predictions.ts'
export { FitProfile, type ProfileOptions, type ProfilePhase } from './profile.ts'
export { type ScheduledValue, Scheduler } from './Scheduler.ts'
export { SmoothedValue } from './SmoothedValue.ts'
export type { ShowResultsOptions } from './showResults.ts'
export type { TtaOptions, TtaPredictions } from './tta.ts'
