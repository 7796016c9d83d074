import type { TopLevelSpec } from 'vega-lite'
import { ConfigError, ShapeError } from '../engine/errors.ts'
import { Figure } from './Figure.ts'
import type { Layer } from './marks.ts'
import { matrixImage, shades } from './matrixImage.ts'
import { textWidth } from './textWidth.ts'
import { ink, theme } from './theme.ts'
import { expression, headingSize, shortened, wrapped } from './wrap.ts'

/** Options of `confusionMatrixChart`. */
export interface ConfusionMatrixChartOptions {
  /** Show each row's shares of its total instead of counts. Default false. */
  normalize?: boolean
  /** Default 'Confusion matrix'. */
  title?: string
  /** Decimals of shares. Default 2. */
  decimals?: number
  /**
   * Write the figures into the cells, which become as large as that takes: for at most 100 classes, and with more than 40
   * without those that read as zero. Default: while there are at most 40 classes.
   */
  text?: boolean
}

/** With more classes the cells are one picture: drawing a shape for each takes minutes when there are hundreds. */
const fewClasses = 40
/** With more classes no figure can be read any more on a page that can be looked at. */
const mostWithText = 100
/** Where names of classes are cut, in pixels. */
const longestName = 240

/**
 * A confusion matrix: rows are actual classes, columns predicted ones; the darker, the more. What is not finite stays white.
 * Where classes are too many for all their names, as many as fit stand there at equal distances; long names are cut.
 *
 * @param matrix counts, `matrix[actual][predicted]`
 * @param classes names, one a row
 * @throws ShapeError if the matrix is not square, or is not as large as `classes`; ConfigError for no classes, or `text` with
 * more than 100
 */
export function confusionMatrixChart(
  matrix: readonly ArrayLike<number>[],
  classes: readonly string[],
  options: ConfusionMatrixChartOptions = {},
): Figure {
  const n = classes.length
  const { normalize = false, title = 'Confusion matrix', decimals = 2, text = n <= fewClasses } = options
  check(matrix, classes, text)

  const counts = matrix.map((row) => Array.from(row))
  const values = normalize ? counts.map(shares) : counts
  const largest = values.reduce(
    (max, row) => row.reduce((a, b) => (Number.isFinite(b) ? Math.max(a, b) : a), max),
    0,
  )
  const labelOf = (value: number) => (normalize ? value.toFixed(decimals) : String(value))
  const digits =
    text || n <= fewClasses
      ? values.reduce((max, row) => row.reduce((a, value) => Math.max(a, labelOf(value).length), max), 1)
      : 0
  const layout = cells(n, digits)
  const size = n * layout.side

  // By number, not by name: two classes may be called the same.
  const data = (kept: (value: number) => boolean) =>
    values.flatMap((row, actual) =>
      row.flatMap((value, predicted) =>
        kept(value) ? [{ actual, predicted, value, label: labelOf(value) }] : [],
      ),
    )
  const color = {
    field: 'value',
    type: 'quantitative' as const,
    scale: { domain: [0, largest || 1], range: shades },
    legend: text ? null : { title: normalize ? 'share' : 'count', gradientLength: Math.min(200, size) },
  }
  const lined = { stroke: 'white', strokeWidth: layout.side > 16 ? 1.5 : 0.5 }
  const layer: Layer[] =
    n <= fewClasses
      ? [{ data: { values: data(Number.isFinite) }, mark: { type: 'rect', ...lined }, encoding: { color } }]
      : picture(values, largest, layout.side, color)
  if (text) {
    layer.push({
      data: { values: data((value) => n <= fewClasses || labelOf(value) !== labelOf(0)) },
      mark: { type: 'text', fontSize: layout.fontSize },
      encoding: {
        text: { field: 'label' },
        color: {
          condition: { test: `isFinite(datum.value) && datum.value > ${largest / 2}`, value: 'white' },
          value: ink.strong,
        },
      },
    })
  }
  const score = subtitle(counts)
  const heading = wrapped(title, Math.max(size, 240), headingSize)
  return new Figure({
    title: score === undefined ? heading : { text: heading, subtitle: score },
    width: size,
    height: size,
    encoding: positions(classes, layout),
    layer,
    config: theme,
  } as TopLevelSpec)
}

/** All cells as one picture. The rectangle behind it is there for its legend. */
function picture(values: number[][], largest: number, side: number, color: object): Layer[] {
  const size = values.length * side
  // Twice the size on the page, for today's screens, while that is no waste.
  const sharp = side > 1 ? 2 : 1
  const png = matrixImage(values, largest || 1, { side: side * sharp, lines: side >= 6 })
  const corner = values[0]![0]!
  const behind = { actual: 0, predicted: 0, value: Number.isFinite(corner) ? corner : 0 }
  return [
    { data: { values: [behind] }, mark: 'rect', encoding: { color } } as Layer,
    {
      data: { values: [{ url: `data:image/png;base64,${png.toString('base64')}` }] },
      mark: { type: 'image', align: 'left', baseline: 'top', width: size, height: size, aria: false },
      encoding: { x: { value: 0 }, y: { value: 0 }, url: { field: 'url', type: 'nominal' } },
    },
  ]
}

/** Both axes, with the names of the classes that have room. */
function positions(classes: readonly string[], { side, labelSize }: Layout) {
  const numbers = classes.map((_, i) => i)
  // Lines of text need a little more than their size.
  const every = Math.ceil((labelSize + 1) / side)
  const names = classes.map((name) => shortened(name, longestName, labelSize))
  const upright = names.every((name) => textWidth(name, labelSize) <= side * every - 4)
  const axis = {
    labelFontSize: labelSize,
    labelExpr: `${expression(names)}[datum.value]`,
    labelOverlap: false,
    ticks: every > 1,
    domain: false,
    labelPadding: 6,
    ...(every > 1 && { values: numbers.filter((i) => i % every === 0) }),
  }
  const labelAlign = upright ? ('center' as const) : ('right' as const)
  const scale = { domain: numbers }
  return {
    x: {
      field: 'predicted',
      type: 'ordinal' as const,
      title: 'predicted',
      scale,
      axis: { ...axis, labelAngle: upright ? 0 : -60, labelAlign },
    },
    y: { field: 'actual', type: 'ordinal' as const, title: 'actual', scale, axis },
  }
}

function shares(row: number[]): number[] {
  const total = row.reduce((sum, count) => sum + count, 0)
  return row.map((count) => (total === 0 ? 0 : count / total))
}

/** How many are right, if there are any: never all or none of them by rounding alone. */
function subtitle(counts: number[][]): string | undefined {
  const right = counts.reduce((sum, row, i) => sum + row[i]!, 0)
  const all = counts.reduce((sum, row) => row.reduce((a, b) => a + b, sum), 0)
  if (!(all > 0)) return undefined
  let share = ((100 * right) / all).toFixed(1)
  if (share === '100.0' && right < all) share = 'over 99.9'
  if (share === '0.0' && right > 0) share = 'under 0.1'
  return `${right} of ${all} right (${share} %)`
}

function check(matrix: readonly ArrayLike<number>[], classes: readonly string[], text: boolean): void {
  const n = classes.length
  if (n === 0) throw new ConfigError('a confusion matrix needs class names, got none')
  if (matrix.length !== n) {
    throw new ShapeError(
      `the confusion matrix has ${matrix.length} rows for ${n} classes; it needs one row a class`,
    )
  }
  matrix.forEach((row, i) => {
    if (row.length !== n)
      throw new ShapeError(`row ${i} of the confusion matrix has ${row.length} columns for ${n} classes`)
  })
  if (text && n > mostWithText) {
    throw new ConfigError(
      `a confusion matrix has room for figures of at most ${mostWithText} classes, got ${n}: leave 'text' out, and it shows shades`,
    )
  }
}

type Layout = ReturnType<typeof cells>

/**
 * Cells shrink as classes grow more, but never below what their text needs at a legible size; without text a picture of
 * about 2000 pixels is as large as it gets, while a cell still has one. Always whole pixels, so that cells are alike.
 */
function cells(classes: number, digits: number) {
  const least = Math.max(1, Math.min(14, Math.floor(2000 / classes)))
  const side = Math.max(least, Math.min(110, Math.round(640 / classes)), digits > 0 ? 8 + digits * 6 : 0)
  const fontSize = Math.max(8, Math.min(20, Math.floor(side / 3), Math.floor((side - 4) / (digits * 0.64))))
  return { side, fontSize, labelSize: Math.max(9, Math.min(14, Math.round(side * 0.55))) }
}
