import type { TopLevelSpec } from 'vega-lite'
import { ConfigError } from '../engine/errors.ts'
import { Figure } from './Figure.ts'
import { linePanel } from './lineChart.ts'
import { seriesColor, theme } from './theme.ts'
import { headingSize, wrapped } from './wrap.ts'

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

/** More layers than these stand in a column, coloured from the first to the last. */
const fewLayers = 8

/**
 * Means, standard deviations and shares near zero of what layers give, one panel each and a line for each layer.
 * @throws ConfigError if there are no layers
 */
export function activationsChart(
  layers: readonly LayerActivations[],
  { title = 'Activations', nearZero }: ActivationsChartOptions = {},
): Figure {
  if (layers.length === 0) throw new ConfigError('there are no layers to plot')
  const many = layers.length > fewLayers
  const colorOf = (i: number) => (many ? ramp(i / (layers.length - 1)) : seriesColor(i))
  const panel = (key: 'means' | 'stds' | 'nearZero', yLabel: string, last: boolean) =>
    linePanel(
      layers.map((layer, i) => ({
        name: layer.name,
        x: layer.batches,
        y: layer[key],
        color: colorOf(i),
        points: layer.batches.length === 1,
        strokeWidth: many ? 1.3 : 2,
      })),
      {
        yLabel,
        xIntegers: true,
        width: 600,
        height: 170,
        legend: many ? 'right' : 'top',
        ...(last && { xLabel: 'training batch' }),
      },
    )
  const vconcat = [
    panel('means', 'mean', false),
    panel('stds', 'standard deviation', false),
    panel('nearZero', nearZero === undefined ? 'share near zero' : `share within ${nearZero} of 0`, true),
  ]
  const heading = wrapped(title, 600, headingSize)
  const spec = {
    title: heading,
    vconcat,
    spacing: 16,
    resolve: { scale: { color: 'shared' } },
    config: theme,
  }
  return new Figure(spec as TopLevelSpec)
}

/** From blue over violet to orange. */
function ramp(fraction: number): string {
  const hue = Math.round(215 + 175 * fraction) % 360
  return `hsl(${hue}, 62%, ${Math.round(48 + 4 * fraction)}%)`
}
