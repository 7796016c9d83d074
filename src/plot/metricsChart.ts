import type { TopLevelSpec } from 'vega-lite'
import { ConfigError } from '../engine/errors.ts'
import { Figure } from './Figure.ts'
import { linePanel } from './lineChart.ts'
import { seriesColor, theme } from './theme.ts'
import { headingSize, wrapped } from './wrap.ts'

/** Options of `metricsChart`. */
export interface MetricsChartOptions {
  /** Default 'Metrics'. */
  title?: string
  /** Number of the first epoch. Default 0. */
  firstEpoch?: number
  /** Panels side by side. Default 2. */
  columns?: number
}

/**
 * Metrics by epoch, each in a panel with its own axis, since their units differ.
 *
 * @param metrics values by name, one an epoch: null where there was none, and the line goes on to the next; NaN leaves a gap
 * @throws ConfigError if there are no metrics
 */
export function metricsChart(
  metrics: Readonly<Record<string, ArrayLike<number | null>>>,
  { title = 'Metrics', firstEpoch = 0, columns = 2 }: MetricsChartOptions = {},
): Figure {
  const names = Object.keys(metrics)
  if (names.length === 0)
    throw new ConfigError('there are no metrics to plot; give the Learner some with { metrics: [...] }')
  const [width, height] = names.length === 1 ? [600, 340] : [380, 240]
  const panels = names.map((name, i) => {
    const points = Array.from(metrics[name]!, (value, epoch) => ({ x: firstEpoch + epoch, y: value })).filter(
      (point): point is { x: number; y: number } => point.y !== null,
    )
    const [x, y] = [points.map((point) => point.x), points.map((point) => point.y)]
    return linePanel([{ name, x, y, color: seriesColor(i) }], {
      xLabel: 'epoch',
      yLabel: name,
      xIntegers: true,
      width,
      height,
    })
  })
  const heading = wrapped(title, width * Math.min(columns, names.length), headingSize)
  if (panels.length === 1)
    return new Figure({ title: heading, ...panels[0]!, config: theme } satisfies TopLevelSpec)
  return new Figure({
    title: heading,
    concat: panels,
    columns,
    spacing: 24,
    config: theme,
  } satisfies TopLevelSpec)
}
