import type { TopLevelSpec } from 'vega-lite'
import { ConfigError, ShapeError } from '../engine/errors.ts'
import { checkScale, logLabels, logTicks, placeableOn, type ScaleKind } from './axes.ts'
import { Figure } from './Figure.ts'
import { ink, seriesColor, theme } from './theme.ts'
import { toPoints } from './thin.ts'

/** One line of a chart. */
export interface LineSeries {
  /** Shown in the legend. */
  name: string
  x: ArrayLike<number>
  /** As long as `x`. Values that are not finite leave a gap. */
  y: ArrayLike<number>
  /** Default: the next of the palette. */
  color?: string
  /** Of the line, in pixels. Default 2. */
  strokeWidth?: number
  /** Whether each value is marked by a dot. Default: where the series has at most 30 values. */
  points?: boolean
}

/** Something to point out in a chart: a point (with `x` and `y`) or a rule across it (with one of them). */
export type ChartMark =
  | { kind: 'point'; x: number; y: number; label: string; color?: string }
  | { kind: 'rule'; x: number; label?: string; color?: string }
  | { kind: 'rule'; y: number; label?: string; color?: string }

/** Options of `lineChart`. */
export interface LineChartOptions {
  title?: string
  subtitle?: string
  xLabel?: string
  yLabel?: string
  /** Default 'linear'. On a log axis, values of zero or less have no place and are dropped. */
  xScale?: ScaleKind
  /** Default 'linear'. */
  yScale?: ScaleKind
  /** Whether the x axis counts something: ticks are whole numbers. Default false. */
  xIntegers?: boolean
  /** Upper end of the y axis: lines are cut off there. Default: all is shown. */
  yMax?: number
  /** Where the names of the series stand, if there are several. Default 'top'. */
  legend?: 'top' | 'right'
  /** Points with a place in a legend of their own, and labelled rules. */
  marks?: readonly ChartMark[]
  /** Plot area in pixels. Default 600 by 340. */
  width?: number
  height?: number
}

type Layer = Extract<TopLevelSpec, { layer: unknown }>['layer'][number]

/**
 * One or more lines over a common pair of axes.
 * @throws ShapeError if a series' `x` and `y` differ in length; ConfigError for no series, two of one name, or an unknown scale.
 */
export function lineChart(series: readonly LineSeries[], options: LineChartOptions = {}): Figure {
  return new Figure({ ...linePanel(series, options), config: theme } satisfies TopLevelSpec)
}

/** @internal The spec of a line chart without the common configuration, to be composed with others. */
export function linePanel(series: readonly LineSeries[], options: LineChartOptions) {
  const {
    title,
    subtitle,
    xScale = 'linear',
    yScale = 'linear',
    marks = [],
    width = 600,
    height = 340,
  } = options
  checkSeries(series)
  checkScale('xScale', xScale)
  checkScale('yScale', yScale)

  const placeable = { x: placeableOn(xScale), y: placeableOn(yScale) }
  const lines = series.map((one) => toPoints(one.x, one.y, placeable))
  const axes = {
    x: axis(
      'x',
      options.xLabel,
      xScale,
      lines.flatMap((line) => line.flatMap((point) => (point.y === null ? [] : point.x))),
      options.xIntegers,
    ),
    y: axis(
      'y',
      options.yLabel,
      yScale,
      lines.flatMap((line) => line.flatMap((point) => point.y ?? [])),
      false,
      options.yMax,
    ),
  }
  const colors = series.map((one, i) => one.color ?? seriesColor(i))
  const color =
    series.length === 1
      ? { value: colors[0]! }
      : {
          field: 'series',
          type: 'nominal' as const,
          scale: { domain: series.map((one) => one.name), range: colors },
          legend: {
            orient: options.legend ?? ('top' as const),
            title: null,
            symbolType: 'stroke' as const,
            symbolSize: 300,
            offset: 6,
          },
        }
  const layer: Layer[] = [
    ...rules(marks, axes),
    ...lines.map((line, i): Layer => {
      const { name, points = line.length <= 30, strokeWidth = 2 } = series[i]!
      return {
        data: { values: line.map((point) => ({ ...point, series: name })) },
        mark: {
          type: 'line',
          strokeWidth,
          strokeJoin: 'round',
          clip: options.yMax !== undefined,
          point: points && { size: 45, filled: true },
        },
        encoding: { ...axes, color },
      }
    }),
    ...points(marks, axes, series.length),
  ]
  return {
    ...(title !== undefined && {
      title: subtitle === undefined ? { text: title } : { text: title, subtitle },
    }),
    width,
    height,
    layer,
  }
}

function checkSeries(series: readonly LineSeries[]): void {
  if (series.length === 0) throw new ConfigError('a line chart needs at least one series, got none')
  const names = new Set<string>()
  for (const { name, x, y } of series) {
    if (names.has(name)) throw new ConfigError(`two series are named '${name}'; give each a name of its own`)
    names.add(name)
    if (x.length !== y.length) {
      throw new ShapeError(
        `series '${name}' has ${x.length} x values and ${y.length} y values; they must be as many`,
      )
    }
  }
}

function axis(
  field: 'x' | 'y',
  label: string | undefined,
  scale: ScaleKind,
  values: number[],
  integers = false,
  max?: number,
) {
  const ticks =
    scale === 'log'
      ? { values: logTicks(values), labelExpr: logLabels(values) }
      : integers
        ? { tickMinStep: 1, format: ',d' }
        : { format: '.6~g' } // without a precision 100 would be 1e+2
  return {
    field,
    type: 'quantitative' as const,
    title: label ?? null,
    scale: {
      type: scale,
      nice: scale === 'linear' && field === 'y',
      ...(scale === 'linear' && { zero: false }),
      ...(max !== undefined && { domainMax: max }),
      // Vega cannot place an axis without values.
      ...(values.length === 0 && { domain: scale === 'log' ? [1, 10] : [0, 1] }),
    },
    axis: { ...ticks, grid: true, labelFlush: false, tickCount: field === 'x' ? 8 : 6 },
  }
}

type Axes = Record<'x' | 'y', ReturnType<typeof axis>>

function rules(marks: readonly ChartMark[], axes: Axes): Layer[] {
  return marks.flatMap((mark): Layer[] => {
    if (mark.kind !== 'rule') return []
    const upright = 'x' in mark
    const values = [upright ? { x: mark.x, label: mark.label } : { y: mark.y, label: mark.label }]
    const position = upright ? { x: axes.x } : { y: axes.y }
    const color = mark.color ?? ink.faint
    const line: Layer = {
      data: { values },
      mark: { type: 'rule', color, strokeDash: [5, 4], strokeWidth: 1.5 },
      encoding: position,
    }
    if (mark.label === undefined) return [line]
    const text: Layer = {
      data: { values },
      mark: {
        type: 'text',
        color: ink.normal,
        fontSize: 12,
        align: upright ? 'left' : 'right',
        baseline: upright ? 'top' : 'bottom',
        dx: upright ? 5 : -2,
        dy: upright ? 2 : -4,
      },
      encoding: {
        ...position,
        ...(upright ? { y: { value: 0 } } : { x: { value: 'width' } }),
        text: { field: 'label' },
      },
    }
    return [line, text]
  })
}

const shapes = ['circle', 'square', 'diamond', 'triangle-up', 'triangle-down', 'cross']

/** `firstColor` is the number of the first palette colour that no series has. */
function points(marks: readonly ChartMark[], axes: Axes, firstColor: number): Layer[] {
  const values = marks.filter((mark) => mark.kind === 'point')
  if (values.length === 0) return []
  const domain = values.map((mark) => mark.label)
  const legend = { orient: 'right' as const, title: null, offset: 18, symbolSize: 120 }
  return [
    {
      data: { values: values.map(({ x, y, label }) => ({ x, y, label })) },
      mark: { type: 'point', filled: true, size: 130, opacity: 1, stroke: 'white', strokeWidth: 1.2 },
      encoding: {
        ...axes,
        fill: {
          field: 'label',
          type: 'nominal',
          scale: { domain, range: values.map((mark, i) => mark.color ?? seriesColor(firstColor + i)) },
          legend,
        },
        shape: {
          field: 'label',
          type: 'nominal',
          scale: { domain, range: values.map((_, i) => shapes[i % shapes.length]!) },
          legend,
        },
      },
    },
  ]
}
