import { ConfigError } from '../engine/errors.ts'
import type { EpochMetrics, TrainBeginContext } from './events.ts'

/**
 * Names of metrics that the compiler knows. Add your own to have them checked too:
 *
 * @example declare module 'anneal' { interface MetricNames { diceScore: true } }
 */
export interface MetricNames {
  accuracy: true
  errorRate: true
  topKAccuracy: true
  accuracyThresh: true
  accuracyThreshold: true
  precision: true
  recall: true
  fBeta: true
  f1Score: true
  dice: true
  iou: true
  jaccard: true
  kappaScore: true
  matthewsCorrCoef: true
  auroc: true
  averagePrecision: true
  perplexity: true
  mse: true
  mae: true
  rmse: true
  msle: true
  rmsle: true
  expRmspe: true
  r2Score: true
  explainedVariance: true
  psnr: true
  genLoss: true
  criticLoss: true
  frechetDistance: true
  kernelDistance: true
}

const lowIsGood: readonly string[] = [
  'mse',
  'mae',
  'rmse',
  'msle',
  'rmsle',
  'expRmspe',
  'perplexity',
  'frechetDistance',
  'kernelDistance',
]

declare const ownMetric: unique symbol

/** The name of a metric of your own, made by {@link metricName}. */
export type OwnMetricName = string & { readonly [ownMetric]: true }

/** A value that callbacks can watch. A misspelt one does not compile, and one that the Learner lacks is an error at its start. */
export type Monitor = 'trainLoss' | 'validLoss' | keyof MetricNames | OwnMetricName

/** Marks the name of a metric of your own as meant, where a monitor is asked for. */
export function metricName(name: string): OwnMetricName {
  return name as OwnMetricName
}

/** @throws ConfigError that lists the names, if the fit has no such value */
export function checkMonitor(owner: string, monitor: string, { monitors }: TrainBeginContext): void {
  if (!monitors.includes(monitor)) {
    throw new ConfigError(
      `${owner} monitors "${monitor}", which this fit does not have; it has ${monitors.join(', ')}` +
        (monitors.includes('validLoss') ? '' : ' (there is no validation data)'),
    )
  }
}

/** The epoch's value, null where there was no validation. */
export function monitored(monitor: string, metrics: EpochMetrics): number | null {
  return metrics[monitor] ?? null
}

/**
 * 'auto' means that lower is better if the name contains "loss" or "error" (fastai's rule), or is a metric of `metrics` that
 * measures errors (mse, mae, rmse, msle, rmsle, expRmspe, perplexity).
 */
export type MonitorMode = 'auto' | 'min' | 'max'

/** Whether lower values are better. */
export function lowerIsBetter(owner: string, monitor: string, mode: MonitorMode): boolean {
  if (mode === 'auto') return /loss|error/i.test(monitor) || lowIsGood.includes(monitor)
  if (mode !== 'min' && mode !== 'max')
    throw new ConfigError(`${owner}: mode must be auto, min or max, got ${String(mode)}`)
  return mode === 'min'
}
