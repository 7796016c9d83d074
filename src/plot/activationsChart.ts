import type { TopLevelSpec } from 'vega-lite'
import { ConfigError } from '../engine/errors.ts'
import { Figure } from './Figure.ts'
import { linePanel } from './lineChart.ts'
import { theme } from './theme.ts'

/** What came out of a layer, batch by batch: lists of one length. */
export interface LayerActivations {
  name: string
  batches: ArrayLike<number>
  means: ArrayLike<number>
  stds: ArrayLike<number>
  nearZero: ArrayLike<number>
}

/** Options of `activationsChart`. */
export interface ActivationsChartOptions {
  /** Default 'Activations'. */
  title?: string
  /** What was counted as near zero, for the label. */
  nearZero?: number
}

/**
 * Means, standard deviations and shares near zero of what layers give, one panel each and a line for each layer.
 * @throws ConfigError if there are no layers
 */
export function activationsChart(
  layers: readonly LayerActivations[],
  { title = 'Activations', nearZero }: ActivationsChartOptions = {},
): Figure {
  if (layers.length === 0) throw new ConfigError('there are no layers to plot')
  const panel = (key: 'means' | 'stds' | 'nearZero', yLabel: string, last: boolean) =>
    linePanel(
      layers.map((layer) => ({ name: layer.name, x: layer.batches, y: layer[key], points: false })),
      { yLabel, xIntegers: true, width: 600, height: 170, ...(last && { xLabel: 'training batch' }) },
    )
  const vconcat = [
    panel('means', 'mean', false),
    panel('stds', 'standard deviation', false),
    panel('nearZero', nearZero === undefined ? 'share near zero' : `share within ${nearZero} of 0`, true),
  ]
  const spec = { title, vconcat, spacing: 16, resolve: { scale: { color: 'shared' } }, config: theme }
  return new Figure(spec as TopLevelSpec)
}
