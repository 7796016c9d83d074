import type { TopLevelSpec } from 'vega-lite'
import { ConfigError, ShapeError } from '../engine/errors.ts'
import { Figure } from './Figure.ts'
import { textWidth } from './textWidth.ts'
import { ink, theme } from './theme.ts'

/** Options of `confusionMatrixChart`. */
export interface ConfusionMatrixChartOptions {
  /** Show each row's shares of its total instead of counts. Default false. */
  normalize?: boolean
  /** Default 'Confusion matrix'. */
  title?: string
  /** Decimals of shares. Default 2. */
  decimals?: number
  /** Write the figures into the cells. Default: while there are at most 40 classes. */
  text?: boolean
}

/**
 * A confusion matrix: rows are actual classes, columns predicted ones; the darker, the more.
 *
 * @param matrix counts, `matrix[actual][predicted]`
 * @param classes names, one a row
 * @throws ShapeError if the matrix is not square, or is not as large as `classes`
 */
export function confusionMatrixChart(
  matrix: readonly ArrayLike<number>[],
  classes: readonly string[],
  options: ConfusionMatrixChartOptions = {},
): Figure {
  const { normalize = false, title = 'Confusion matrix', decimals = 2, text = classes.length <= 40 } = options
  check(matrix, classes)

  // By number, not by name: two classes may be called the same.
  const values = matrix.flatMap((row, actual) => {
    const total = Array.from(row).reduce((sum, count) => sum + count, 0)
    return Array.from(row, (count, predicted) => {
      const value = normalize ? (total > 0 ? count / total : 0) : count
      return { actual, predicted, value, label: normalize ? value.toFixed(decimals) : String(value) }
    })
  })
  const largest = values.reduce((max, cell) => Math.max(max, cell.value), 0)
  const layout = cells(
    classes.length,
    values.reduce((max, cell) => Math.max(max, cell.label.length), 1),
  )
  const upright = classes.every((name) => textWidth(name, layout.labelSize) <= layout.side - 4)
  const axis = {
    labelFontSize: layout.labelSize,
    labelExpr: `${JSON.stringify(classes)}[datum.value]`,
    labelOverlap: false,
    ticks: false,
    domain: false,
    labelPadding: 6,
  }
  const position = {
    x: {
      field: 'predicted',
      type: 'ordinal' as const,
      title: 'predicted',
      axis: {
        ...axis,
        labelAngle: upright ? 0 : -60,
        labelAlign: upright ? ('center' as const) : ('right' as const),
      },
    },
    y: { field: 'actual', type: 'ordinal' as const, title: 'actual', axis },
  }
  const size = classes.length * layout.side
  const right = matrix.reduce((sum, row, i) => sum + (row[i] ?? 0), 0)
  const all = matrix.reduce((sum, row) => sum + Array.from(row).reduce((a, b) => a + b, 0), 0)

  return new Figure({
    title:
      all > 0
        ? { text: title, subtitle: `${right} of ${all} right (${((100 * right) / all).toFixed(1)} %)` }
        : title,
    width: size,
    height: size,
    data: { values },
    encoding: position,
    layer: [
      {
        mark: { type: 'rect', stroke: 'white', strokeWidth: layout.side > 16 ? 1.5 : 0.5 },
        encoding: {
          color: {
            field: 'value',
            type: 'quantitative',
            scale: {
              domain: [0, largest || 1],
              range: ['#f3f6fb', '#a9c6e8', '#4f8ac9', '#1f5aa6', '#0b3263'],
            },
            legend: text
              ? null
              : { title: normalize ? 'share' : 'count', gradientLength: Math.min(200, size) },
          },
        },
      },
      ...(text
        ? [
            {
              mark: { type: 'text' as const, fontSize: layout.fontSize },
              encoding: {
                text: { field: 'label' },
                color: {
                  condition: { test: `datum.value > ${largest / 2}`, value: 'white' },
                  value: ink.strong,
                },
              },
            },
          ]
        : []),
    ],
    config: theme,
  } satisfies TopLevelSpec)
}

function check(matrix: readonly ArrayLike<number>[], classes: readonly string[]): void {
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
}

/** Cells shrink as classes grow more, but never below what their text needs at a legible size. */
function cells(classes: number, digits: number) {
  const side = Math.max(14, Math.min(110, Math.round(640 / classes)), classes <= 40 ? 8 + digits * 6 : 0)
  const fontSize = Math.max(8, Math.min(20, Math.floor(side / 3), Math.floor((side - 4) / (digits * 0.64))))
  return { side, fontSize, labelSize: Math.max(9, Math.min(14, Math.round(side * 0.55))) }
}
