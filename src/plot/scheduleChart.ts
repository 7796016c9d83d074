import type { TopLevelSpec } from 'vega-lite'
import { Figure } from './Figure.ts'
import { linePanel } from './lineChart.ts'
import { seriesColor, theme } from './theme.ts'
import { headingSize, wrapped } from './wrap.ts'

/** Options of `scheduleChart`. */
export interface ScheduleChartOptions {
  /** Default 'Schedule'. */
  title?: string
}

/**
 * The learning rate that each batch ran with and, beside it, the momentum.
 *
 * @param lrs learning rate, one a batch
 * @param momentums momentum (beta1 of Adam), one a batch; without it the figure has one panel
 */
export function scheduleChart(
  lrs: ArrayLike<number>,
  momentums?: ArrayLike<number>,
  { title = 'Schedule' }: ScheduleChartOptions = {},
): Figure {
  const panel = (name: string, values: ArrayLike<number>, color: string, width: number) =>
    linePanel([{ name, x: Array.from(values, (_, i) => i), y: values, color, points: values.length === 1 }], {
      xLabel: 'batch',
      yLabel: name,
      xIntegers: true,
      width,
      height: 280,
    })
  const rate = (width: number) => panel('learning rate', lrs, seriesColor(0), width)
  if (momentums === undefined)
    return new Figure({
      title: wrapped(title, 600, headingSize),
      ...rate(600),
      config: theme,
    } satisfies TopLevelSpec)
  const hconcat = [rate(400), panel('momentum', momentums, seriesColor(1), 400)]
  return new Figure({
    title: wrapped(title, 800, headingSize),
    hconcat,
    spacing: 24,
    config: theme,
  } satisfies TopLevelSpec)
}
