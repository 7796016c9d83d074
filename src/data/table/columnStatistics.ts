import { DataError } from '../../engine/errors.ts'
import { byCodePoint } from '../byCodePoint.ts'
import { sortedByValue } from '../sortedLabels.ts'
import type { Table } from './readCsv.ts'
import type { NumberColumn } from './TableEncoder.ts'
import { toNumber } from './toNumber.ts'

/** Whether a column is of numbers: they have more values than categories would, or are not whole. */
export function isMeasured(texts: readonly string[], maxCardinality: number): boolean {
  const numbers = texts.map(toNumber)
  if (texts.length === 0 || numbers.includes(undefined)) return false
  return new Set(numbers).size > maxCardinality || numbers.some((number) => !Number.isInteger(number))
}

/** Values that differ by less, in parts of the largest, are the same but for their last digits. */
const ROUNDING = 8 * Number.EPSILON

/** What stands for missing numbers, and mean and deviation of the training rows. @throws DataError for a column without numbers */
export function measure(
  table: Table,
  rows: ArrayLike<number>,
  name: string,
  texts: readonly string[],
  absent: ReadonlySet<string>,
): NumberColumn {
  const given: number[] = []
  for (const text of texts) {
    if (absent.has(text)) continue
    const number = toNumber(text)
    // Reported with its line, or skipped, when the row is encoded.
    if (number !== undefined) given.push(number)
  }
  if (given.length === 0) {
    throw new DataError(
      `${table.name}: the column '${name}' holds no number in the ${rows.length} training rows. Name it as categorical, or leave it out with ignore: ['${name}']`,
    )
  }
  const sorted = Float64Array.from(given).sort()
  const half = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
  const gaps = texts.filter((text) => absent.has(text)).length
  const flagged = gaps > 0
  // A column that never changes comes out as zeros. Sums of it are rounded: a mean of 0.1 would miss it by a little, and a deviation
  // of 1e-17 blow up whatever else may come.
  const [lowest, highest] = [sorted[0]!, sorted[sorted.length - 1]!]
  if (highest - lowest <= ROUNDING * Math.max(Math.abs(lowest), Math.abs(highest)))
    return { name, median, mean: median, std: 1, flagged }
  const count = given.length + gaps
  const mean = (given.reduce((sum, value) => sum + value, 0) + gaps * median) / count
  const squares = given.reduce((sum, value) => sum + (value - mean) ** 2, 0) + gaps * (median - mean) ** 2
  const deviation = Math.sqrt(squares / Math.max(1, count - 1))
  return { name, median, mean, std: deviation > 0 ? deviation : 1, flagged }
}

/** Numbers by size; texts, and what is partly numbers, by their code points, as pandas has it. */
export function sortedCategories(texts: readonly string[]): string[] {
  return texts.every((text) => toNumber(text) !== undefined)
    ? sortedByValue(texts)
    : [...new Set(texts)].sort(byCodePoint)
}
