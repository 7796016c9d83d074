/** Metrics for `{ metrics: [metrics.accuracy, metrics.fBeta({ beta: 1 })] }`. All are over the whole validation pass. */
export {
  type Metric,
  type MetricFactory,
  type MetricFunction,
  type MetricLike,
  type MetricRun,
  measure,
  named,
} from './Metric.ts'
export {
  accuracy,
  accuracyThresh,
  accuracyThreshold,
  errorRate,
  type ThresholdOptions,
  topKAccuracy,
} from './metrics/accuracy.ts'
export type { AnswerOptions } from './metrics/classCounts.ts'
export {
  type Average,
  type ClassMetricOptions,
  type ConfusionMatrixOptions,
  confusionMatrix,
  dice,
  type FBetaOptions,
  f1Score,
  fBeta,
  iou,
  jaccard,
  type KappaOptions,
  kappaScore,
  matthewsCorrCoef,
  precision,
  recall,
} from './metrics/classification.ts'
export { type PerplexityOptions, perplexity } from './metrics/perplexity.ts'
export { auroc, averagePrecision, type RankingOptions } from './metrics/ranking.ts'
export {
  explainedVariance,
  expRmspe,
  mae,
  mse,
  msle,
  type PsnrOptions,
  psnr,
  r2Score,
  rmse,
  rmsle,
} from './metrics/regression.ts'
