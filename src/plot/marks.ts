import type { TopLevelSpec } from 'vega-lite'
import { placeableOn, range, type ScaleKind } from './axes.ts'
import { textWidth } from './textWidth.ts'
import { ink, seriesColor } from './theme.ts'
import { shortened } from './wrap.ts'

/**
 * Something to point out in a chart: a point (with `x` and `y`) or a rule across it (with one of them). Where they have no
 * place on the axes (not finite, not above 0 on a log axis, beyond `yMax`), they are left out. Labels too long for their room
 * are cut.
 */
export type ChartMark =
  | { kind: 'point'; x: number; y: number; label: string; color?: string }
  | { kind: 'rule'; x: number; label?: string; color?: string }
  | { kind: 'rule'; y: number; label?: string; color?: string }

/** @internal A layer of a chart. */
export type Layer = Extract<TopLevelSpec, { layer: unknown }>['layer'][number]

/** One of a chart's axes: its encoding, how it maps values, and the values that it spans. */
export interface Axis<Encoding = object> {
  encoding: Encoding
  scale: ScaleKind
  values: readonly number[]
}

/** Longest label of a legend at a chart's side, in pixels. */
export const longestLegendLabel = 300

const labelSize = 12
const labelGap = 5

/** The marks that have a place on axes of these kinds. */
export function placeableMarks(marks: readonly ChartMark[], x: ScaleKind, y: ScaleKind): ChartMark[] {
  const [onX, onY] = [placeableOn(x), placeableOn(y)]
  return marks.filter((mark) => (!('x' in mark) || onX(mark.x)) && (!('y' in mark) || onY(mark.y)))
}

/** @internal Rules with their labels, inside a plot `width` pixels wide. */
export function ruleLayers(
  marks: readonly ChartMark[],
  { x, y, width }: { x: Axis; y: Axis; width: number },
): Layer[] {
  return marks.flatMap((mark): Layer[] => {
    if (mark.kind !== 'rule') return []
    const upright = 'x' in mark
    const position = upright ? { x: x.encoding } : { y: y.encoding }
    const place = upright
      ? besideRule(mark.label ?? '', mark.x, x, width)
      : aboveRule(mark.label ?? '', mark.y, y, width)
    const { label, ...placement } = place
    const values = [{ [upright ? 'x' : 'y']: upright ? mark.x : mark.y, label }]
    const color = mark.color ?? ink.faint
    const line = {
      data: { values },
      mark: { type: 'rule', color, strokeDash: [5, 4], strokeWidth: 1.5 },
      encoding: position,
    } as Layer
    if (mark.label === undefined) return [line]
    const text = {
      data: { values },
      mark: { type: 'text', color: ink.normal, fontSize: labelSize, ...placement },
      encoding: {
        ...position,
        ...(upright ? { y: { value: 0 } } : { x: { value: 'width' } }),
        text: { field: 'label' },
      },
    } as Layer
    return [line, text]
  })
}

/** To the right of an upright rule, at the top; to its left where there is not room enough on the right, but more. */
function besideRule(label: string, x: number, axis: Axis, width: number) {
  const [low, high] = range(axis.values)
  const at = axis.scale === 'log' ? Math.log : (value: number) => value
  const fraction = high > low ? (at(x) - at(low)) / (at(high) - at(low)) : 0.5
  const right = width * (1 - fraction) - labelGap
  const left = width * fraction - labelGap
  const toLeft = textWidth(label, labelSize) > right && left > right
  return {
    label: shortened(label, toLeft ? left : right, labelSize),
    align: toLeft ? 'right' : 'left',
    baseline: 'top',
    dx: toLeft ? -labelGap : labelGap,
    dy: 2,
  }
}

/** Above a level rule, at the right end; below it where above is outside of the plot. */
function aboveRule(label: string, y: number, axis: Axis, width: number) {
  const below = y >= range(axis.values)[1]
  return {
    label: shortened(label, width, labelSize),
    align: 'right',
    baseline: below ? 'top' : 'bottom',
    dx: -2,
    dy: below ? 5 : -4,
  }
}

const shapes = ['circle', 'square', 'diamond', 'triangle-up', 'triangle-down', 'cross']

/** @internal Points with a legend at the side. `firstColor` is the number of the first palette colour that no series has. */
export function pointLayers(
  marks: readonly ChartMark[],
  { x, y, firstColor }: { x: Axis; y: Axis; firstColor: number },
): Layer[] {
  const points = marks.filter((mark) => mark.kind === 'point')
  if (points.length === 0) return []
  const labels = points.map((mark) => shortened(mark.label, longestLegendLabel, labelSize))
  const legend = { orient: 'right', title: null, offset: 18, symbolSize: 120 }
  const key = (range: string[]) => ({
    field: 'label',
    type: 'nominal',
    scale: { domain: labels, range },
    legend,
  })
  return [
    {
      data: { values: points.map((mark, i) => ({ x: mark.x, y: mark.y, label: labels[i]! })) },
      mark: { type: 'point', filled: true, size: 130, opacity: 1, stroke: 'white', strokeWidth: 1.2 },
      encoding: {
        x: x.encoding,
        y: y.encoding,
        fill: key(points.map((mark, i) => mark.color ?? seriesColor(firstColor + i))),
        shape: key(points.map((_, i) => shapes[i % shapes.length]!)),
      },
    } as Layer,
  ]
}
