import type { Figure } from './Figure.ts'
import { type LineSeries, lineChart } from './lineChart.ts'

/** Options of `lossesChart`. */
export interface LossesChartOptions {
  /** Default 'Losses'. */
  title?: string
  /** Loss axis. Default 'linear'. */
  yScale?: 'linear' | 'log'
  /** Number of batches before the first of `trainLosses`, where earlier ones are left out. Default 0. */
  firstBatch?: number
}

/**
 * Training loss by batch, and validation loss where each epoch ended.
 *
 * @param trainLosses (smoothed) training loss, one a batch
 * @param validLosses validation loss, one an epoch; empty when there was no validation
 * @param validBatches number of batches trained when each of `validLosses` was taken: cumulative counts, as many
 * @throws ShapeError if the last two differ in length
 */
export function lossesChart(
  trainLosses: ArrayLike<number>,
  validLosses: ArrayLike<number> = [],
  validBatches: ArrayLike<number> = [],
  { title = 'Losses', yScale = 'linear', firstBatch = 0 }: LossesChartOptions = {},
): Figure {
  // The i-th loss is known after i + 1 batches.
  const batches = Array.from(trainLosses, (_, i) => firstBatch + i + 1)
  const series: LineSeries[] = [{ name: 'training (smoothed)', x: batches, y: trainLosses }]
  if (validLosses.length > 0) {
    series.push({ name: 'validation', x: validBatches, y: validLosses, points: validLosses.length <= 60 })
  }
  return lineChart(series, { title, xLabel: 'batches processed', yLabel: 'loss', yScale, xIntegers: true })
}
