import type { Figure } from './Figure.ts'
import { type LineSeries, lineChart } from './lineChart.ts'
import { seriesColor } from './theme.ts'

/** A pale blue, for what stands behind the line of the first colour. */
const tint = '#c6d8f0'

/** Options of `lossesChart`. */
export interface LossesChartOptions {
  /** Default 'Losses'. */
  title?: string
  /** Loss axis. Default 'linear'. */
  yScale?: 'linear' | 'log'
  /** Training loss of each batch as it was, behind the smoothed one: as many as `trainLosses`. Default: not shown. */
  rawLosses?: ArrayLike<number>
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
  { title = 'Losses', yScale = 'linear', firstBatch = 0, rawLosses }: LossesChartOptions = {},
): Figure {
  // The i-th loss is known after i + 1 batches.
  const batches = Array.from(trainLosses, (_, i) => firstBatch + i + 1)
  const series: LineSeries[] = [
    { name: 'training (smoothed)', x: batches, y: trainLosses, color: seriesColor(0) },
  ]
  if (rawLosses !== undefined) {
    series.unshift({
      name: 'training',
      x: batches,
      y: rawLosses,
      color: tint,
      points: false,
      strokeWidth: 1.2,
    })
  }
  if (validLosses.length > 0) {
    series.push({
      name: 'validation',
      x: validBatches,
      y: validLosses,
      color: seriesColor(1),
      points: validLosses.length <= 60,
    })
  }
  return lineChart(series, { title, xLabel: 'batches processed', yLabel: 'loss', yScale, xIntegers: true })
}
