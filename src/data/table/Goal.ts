import { ConfigError, DataError } from '../../engine/errors.ts'
import { orLeaveOut } from '../skipAdvice.ts'
import { sortedByValue, sortedLabels } from '../sortedLabels.ts'
import { categoryPlaces } from './categoryPlaces.ts'
import { columnIndex, describeRow, type Table } from './readCsv.ts'
import { toNumber } from './toNumber.ts'

export interface GoalOptions {
  target: string
  task: 'regression' | 'classification' | undefined
  log: boolean
  missing: readonly string[]
  /** Data whose targets these are to be like: their classes, or, without, numbers. */
  like: { readonly classes?: readonly string[] | undefined } | undefined
}

/** What is to be predicted. */
export class Goal {
  readonly classes: readonly string[] | undefined
  readonly #options: GoalOptions
  readonly #placeOf = categoryPlaces([])

  constructor(table: Table, rows: ArrayLike<number>, options: GoalOptions) {
    this.#options = options
    const at = columnIndex(table, options.target)
    const texts = Array.from(rows, (row) => table.rows[row]![at]!.trim()).filter(
      (text) => !options.missing.includes(text),
    )
    const numeric = texts.every((text) => toNumber(text) !== undefined)
    const isMeasured = options.like ? !options.like.classes : numeric
    const task = options.task ?? (isMeasured ? 'regression' : 'classification')
    if (task === 'regression') return
    if (options.log) throw new ConfigError('fromTable: log is for regression; classes have no logarithm')
    this.classes = options.like?.classes ?? (numeric ? sortedByValue(texts) : sortedLabels(texts))
    this.#placeOf = categoryPlaces(this.classes)
    if (this.classes.length < 2) {
      throw new DataError(
        `${table.name}: all training rows have the same '${options.target}', '${this.classes[0] ?? 'none at all'}': there is nothing to tell apart`,
      )
    }
  }

  /** Rows whose target can be used. */
  usable(table: Table, rows: ArrayLike<number>, skip?: (row: number, error: DataError) => void): number[] {
    const at = columnIndex(table, this.#options.target)
    return Array.from(rows).filter((row) => {
      try {
        this.#read(table, row, at)
        return true
      } catch (error) {
        if (!skip || !(error instanceof DataError)) throw error
        skip(row, error)
        return false
      }
    })
  }

  /** One for each row; zeros if the rows have none. */
  targets(table: Table, rows: readonly number[], labelled: boolean) {
    const at = labelled ? columnIndex(table, this.#options.target) : -1
    const read = (row: number) => (labelled ? this.#read(table, row, at) : 0)
    return this.classes
      ? { kind: 'classes' as const, values: Int32Array.from(rows, read) }
      : { kind: 'values' as const, values: Float32Array.from(rows, read) }
  }

  #read(table: Table, row: number, at: number): number {
    const { target, log, missing } = this.#options
    const text = table.rows[row]![at]!.trim()
    const problem = (what: string) =>
      new DataError(
        `${describeRow(table, row)}: ${what} in the column '${target}'. Repair or remove the row${orLeaveOut('rows')}`,
      )
    if (missing.includes(text)) throw problem('there is no value')
    if (this.classes) {
      const found = this.#placeOf(text)
      if (found === undefined)
        throw problem(
          `the class '${text}', ${this.#options.like?.classes ? 'which encodeAs does not know' : 'which no training row has'},`,
        )
      return found
    }
    const value = toNumber(text)
    if (value === undefined) throw problem(`'${text}' is no number`)
    if (log && value <= 0) throw problem(`${text} has no logarithm`)
    return log ? Math.log(value) : value
  }
}
