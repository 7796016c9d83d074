import { isMeasured } from './columnStatistics.ts'
import { columnIndex, describeRow, type Table } from './readCsv.ts'
import { toNumber } from './toNumber.ts'

/** Columns of which more than this part are numbers were hardly meant as categories. */
const MOST = 0.9

/**
 * One warning of those columns that became categories, or classes, because of a few texts among numbers: each number is then a
 * category of its own.
 * @param columns how many different whole numbers are categories by themselves, for each column
 */
export function warnOfTexts(
  table: Table,
  rows: ArrayLike<number>,
  columns: ReadonlyMap<string, number>,
  missing: readonly string[],
): void {
  const absent = new Set(missing)
  const found: string[] = []
  for (const [name, maxCardinality] of columns) {
    const at = columnIndex(table, name)
    const textOf = (row: number) => table.rows[row]![at]!.trim()
    const present = Array.from(rows).filter((row) => !absent.has(textOf(row)))
    const odd = present.filter((row) => toNumber(textOf(row)) === undefined)
    if (odd.length === 0 || odd.length >= (1 - MOST) * present.length) continue
    const numbers = present.map(textOf).filter((text) => toNumber(text) !== undefined)
    if (!isMeasured(numbers, maxCardinality)) continue
    const others = odd.length > 1 ? ` and ${odd.length - 1} more` : ''
    found.push(`'${name}': '${textOf(odd[0]!)}' in ${describeRow(table, odd[0]!)}${others}`)
  }
  if (found.length === 0) return
  process.emitWarning(
    `columns that are nearly all numbers became categories because of a few texts:\n  ${found.join('\n  ')}\nIf a text stands for a ` +
      'missing value, add it: missing: [...missingTexts, …]. Else repair those rows; categorical or continuous, and task for the target, settle it',
    { type: 'AnnealWarning', code: 'ANNEAL_TEXT_AMONG_NUMBERS' },
  )
}
