import type { TopLevelSpec } from 'vega-lite'
import { ConfigError, ShapeError } from '../engine/errors.ts'
import {
  checkScale,
  logLabels,
  logTicks,
  placeableOn,
  range,
  type ScaleKind,
  significantDigits,
} from './axes.ts'
import { Figure } from './Figure.ts'
import {
  type ChartMark,
  type Layer,
  longestLegendLabel,
  placeableMarks,
  pointLayers,
  ruleLayers,
} from './marks.ts'
import { textWidth } from './textWidth.ts'
import { seriesColor, theme } from './theme.ts'
import { type Point, toPoints } from './thin.ts'
import { expression, headingSize, shortened, wrapped } from './wrap.ts'

export type { ChartMark }

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

/**
 * One or more lines over a common pair of axes.
 * @throws ShapeError if a series' `x` and `y` differ in length; ConfigError for no series, two of one name, or an unknown scale.
 */
export function lineChart(series: readonly LineSeries[], options: LineChartOptions = {}): Figure {
  return new Figure({ ...linePanel(series, options), config: theme } satisfies TopLevelSpec)
}

/** @internal The spec of a line chart without the common configuration, to be composed with others. */
export function linePanel(series: readonly LineSeries[], options: LineChartOptions) {
  const { title, subtitle, xScale = 'linear', yScale = 'linear', width = 600, height = 340 } = options
  checkSeries(series)
  checkScale('xScale', xScale)
  checkScale('yScale', yScale)

  const { yMax } = options
  const placeable = { x: placeableOn(xScale), y: placeableOn(yScale) }
  const lines = series.map((one) => toPoints(one.x, one.y, placeable))
  const marks = placeableMarks(options.marks ?? [], xScale, yScale).filter(
    (mark) => !('y' in mark) || yMax === undefined || mark.y <= yMax,
  )
  const values = {
    x: [
      ...lines.flatMap((line) => line.map((point) => point.x)),
      ...marks.flatMap((mark) => ('x' in mark ? mark.x : [])),
    ],
    y: [
      ...lines.flatMap((line) => line.flatMap((point) => point.y ?? [])),
      ...marks.flatMap((mark) => ('y' in mark ? mark.y : [])),
    ],
  }
  const x = axis('x', options.xLabel, xScale, values.x, { length: width, integers: options.xIntegers })
  const y = axis('y', options.yLabel, yScale, values.y, { length: height, max: yMax })
  const names = series.map((one) => one.name)
  const colors = series.map((one, i) => one.color ?? seriesColor(i))
  const color =
    series.length === 1
      ? { value: colors[0]! }
      : {
          field: 'series',
          type: 'nominal' as const,
          scale: { domain: names, range: colors },
          legend: legend(names, options.legend ?? 'top', width),
        }
  const axes = {
    x: { encoding: x, scale: xScale, values: values.x },
    y: { encoding: y, scale: yScale, values: values.y },
    width,
  }
  const layer: Layer[] = [
    ...ruleLayers(marks, axes),
    ...lines.map((line, i): Layer => {
      const { name, points = line.length <= 30, strokeWidth = 2 } = series[i]!
      const shown = yMax === undefined || yScale === 'log' ? line : near(line, yMax, values.y)
      return {
        data: { values: shown.map((point) => ({ ...point, series: name })) },
        mark: {
          type: 'line',
          strokeWidth,
          strokeJoin: 'round',
          clip: yMax !== undefined,
          point: points && { size: 45, filled: true },
        },
        encoding: { x, y, color },
      }
    }),
    ...pointLayers(marks, { ...axes, firstColor: series.length }),
  ]
  const heading = title !== undefined && wrapped(title, width, headingSize)
  return {
    ...(heading !== false && {
      title:
        subtitle === undefined
          ? { text: heading }
          : { text: heading, subtitle: wrapped(subtitle, width, subtitleSize) },
    }),
    width,
    height,
    layer,
  }
}

const [subtitleSize, axisTitleSize, legendSize] = [12, 13, 12]

/**
 * A line of which what lies far above the plot is brought nearer, where it cannot be seen either: programs that draw SVG
 * drop a whole line when coordinates grow into the millions.
 */
function near(line: Point[], yMax: number, values: readonly number[]): Point[] {
  const [low] = range(values)
  // So far away, a line into the plot is upright to a hundredth of its width.
  const end = yMax + 100 * Math.max(yMax - low, 0)
  return end > yMax ? line.map(({ x, y }) => ({ x, y: y === null ? y : Math.min(y, end) })) : line
}

/** Names of series: above the plot in rows of its width, or at its side in a column. */
function legend(names: readonly string[], orient: 'top' | 'right', width: number) {
  const [symbol, padding] = [25, 18]
  const limit = orient === 'top' ? width - symbol : longestLegendLabel
  const labels = names.map((name) => shortened(name, limit, legendSize))
  const widths = labels.map((label) => symbol + textWidth(label, legendSize))
  // Columns are as wide as their widest name.
  const across = (columns: number) => {
    const widest = Array.from({ length: columns }, (_, column) =>
      widths.reduce((max, one, i) => (i % columns === column ? Math.max(max, one) : max), 0),
    )
    return widest.reduce((sum, one) => sum + one + padding, -padding)
  }
  let columns = names.length
  while (orient === 'top' && columns > 1 && across(columns) > width) columns--
  return {
    orient,
    title: null,
    symbolType: 'stroke' as const,
    symbolSize: 300,
    offset: 6,
    ...(orient === 'top' && columns < names.length && { columns }),
    ...(labels.some((label, i) => label !== names[i]) && {
      labelExpr: `${expression(labels)}[indexof(${expression(names)}, datum.value)]`,
    }),
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
  all: readonly number[],
  { length, integers = false, max }: { length: number; integers?: boolean; max?: number },
) {
  const shown = max === undefined ? all : all.filter((value) => value <= max)
  // Vega cannot place an axis without values.
  const empty = scale === 'log' ? [1, 10] : [0, 1]
  const values = shown.length === 0 ? empty : shown
  const ticks =
    scale === 'log'
      ? { values: logTicks(values), labelExpr: logLabels(values) }
      : integers
        ? { tickMinStep: 1, format: ',d' }
        : { format: `.${significantDigits(values)}~g` } // without a precision 100 would be 1e+2
  return {
    field,
    type: 'quantitative' as const,
    title: label === undefined ? null : wrapped(label, length, axisTitleSize),
    scale: {
      type: scale,
      nice: scale === 'linear' && field === 'y',
      ...(scale === 'linear' && { zero: false }),
      ...(max !== undefined && { domainMax: max }),
      // Along x, told: vega leaves out where there is a gap.
      ...(all.length === 0 ? { domain: empty } : field === 'x' && { domain: range(all) }),
    },
    axis: { ...ticks, grid: true, labelFlush: false, tickCount: field === 'x' ? Math.ceil(length / 75) : 6 },
  }
}
