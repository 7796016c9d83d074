import { range, shortNumber } from './axes.ts'
import type { Figure } from './Figure.ts'
import { type ChartMark, lineChart } from './lineChart.ts'

/** Options of `lrFindChart`. */
export interface LrFindChartOptions {
  /** Default 'Learning-rate finder'. */
  title?: string
}

/**
 * The learning-rate finder's figure: smoothed loss over the rate, on a log axis, with the suggested rates marked on the
 * curve. Give it the lists as they are to be shown, that is after skipping first and last batches.
 *
 * @param lrs the rates, one a batch, rising
 * @param losses the losses, as many
 * @param suggestions rates by name, for example `{ valley: 1.2e-3, steep: 4e-3 }`; those that are not finite are left out
 * @throws ShapeError if the two lists differ in length
 */
export function lrFindChart(
  lrs: ArrayLike<number>,
  losses: ArrayLike<number>,
  suggestions: Readonly<Record<string, number | null | undefined>> = {},
  { title = 'Learning-rate finder' }: LrFindChartOptions = {},
): Figure {
  const marks: ChartMark[] = []
  for (const [name, lr] of Object.entries(suggestions)) {
    const loss = typeof lr === 'number' ? lossAt(lrs, losses, lr) : undefined
    if (typeof lr === 'number' && loss !== undefined) {
      marks.push({ kind: 'point', x: lr, y: loss, label: `${name} ${shortNumber(lr)}` })
    }
  }
  return lineChart([{ name: 'loss', x: lrs, y: losses, points: losses.length === 1 }], {
    title,
    xLabel: 'learning rate (log scale)',
    yLabel: 'loss (smoothed)',
    xScale: 'log',
    marks,
    ...upperEnd(losses, marks),
  })
}

/** Where the loss shoots up in the end, the axis stops a descent's height above the descent, which is what one wants to see. */
function upperEnd(losses: ArrayLike<number>, marks: readonly ChartMark[]): { yMax?: number } {
  const finite = Array.from(losses).filter(Number.isFinite)
  const [low, high] = range(finite)
  const [, top] = range(finite.slice(0, finite.indexOf(low) + 1))
  const marked = marks.map((mark) => ('y' in mark ? mark.y : low))
  const end = Math.max(top + Math.max(top - low, 0.25 * Math.abs(low)), ...marked)
  return high > end ? { yMax: end } : {}
}

/** The curve's loss at a rate, between neighbours on the log axis; outside the curve, that of its nearer end. */
function lossAt(lrs: ArrayLike<number>, losses: ArrayLike<number>, lr: number): number | undefined {
  if (!(lr > 0) || !Number.isFinite(lr)) return undefined
  let before: [number, number] | undefined
  for (let i = 0; i < Math.min(lrs.length, losses.length); i++) {
    const here: [number, number] = [lrs[i]!, losses[i]!]
    if (!(here[0] > 0) || !Number.isFinite(here[1])) continue
    if (here[0] >= lr) {
      if (before === undefined) return here[1]
      const part = Math.log(lr / before[0]) / Math.log(here[0] / before[0])
      return before[1] + part * (here[1] - before[1])
    }
    before = here
  }
  return before?.[1]
}
