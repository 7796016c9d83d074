import { DataError } from '../../engine/errors.ts'
import { categoryPlaces } from './categoryPlaces.ts'
import { isMeasured, measure, sortedCategories } from './columnStatistics.ts'
import { columnIndex, describeRow, type Table } from './readCsv.ts'
import { toNumber } from './toNumber.ts'

/**
 * A column of categories: number 0 stands for what is missing and for what training has not seen, k for `categories[k - 1]`. Where
 * all categories are numbers, or true and false, values are compared, else texts.
 */
export interface CategoryColumn {
  readonly name: string
  readonly categories: readonly string[]
  /** The column of numbers whose missing values this one tells: it is made of that column, and stands in no table. */
  readonly flagOf?: string
}

/** A column of numbers, and what was measured of it on the training rows. */
export interface NumberColumn {
  readonly name: string
  /** Stands for missing values. */
  readonly median: number
  /** Of the training rows, after missing values were filled in. */
  readonly mean: number
  readonly std: number
  /** Training rows lacked values, so a further column of categories says where (fastai's `FillMissing`). */
  readonly flagged: boolean
}

/** All that makes numbers of a row, as data: it is saved with an exported Learner. */
export interface TableDescription {
  readonly categorical: readonly CategoryColumn[]
  readonly continuous: readonly NumberColumn[]
  /** Texts that stand for a missing value. */
  readonly missing: readonly string[]
}

/** A row by the names of its columns. Null, undefined and NaN are missing values. */
export type TableRow = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface FitOptions {
  categorical: readonly string[] | undefined
  continuous: readonly string[] | undefined
  /** Columns that are no input: targets, ids. */
  ignored: readonly string[]
  missing: readonly string[]
  maxCardinality: number
}

/** Rows as the model takes them: `[N, K]` category numbers and `[N, M]` normalised numbers, row by row. */
export interface EncodedRows {
  categories: BigInt64Array
  numbers: Float32Array
}

/** Makes numbers of rows, in the way that the training rows settled. */
export class TableEncoder {
  readonly description: TableDescription
  readonly #places: readonly ReturnType<typeof categoryPlaces>[]
  readonly #missing: ReadonlySet<string>

  constructor(description: TableDescription) {
    this.description = withFlags(description)
    this.#places = this.description.categorical.map(({ categories }) => categoryPlaces(categories))
    this.#missing = new Set(description.missing)
  }

  /**
   * Settles columns, categories and statistics on the training rows. Columns that are not named are categories if they hold
   * texts, or whole numbers of at most `maxCardinality` different values (fastai's `cont_cat_split`).
   */
  static fit(table: Table, rows: ArrayLike<number>, options: FitOptions): TableEncoder {
    const { ignored, missing, maxCardinality } = options
    const absent = new Set(missing)
    for (const name of [...(options.categorical ?? []), ...(options.continuous ?? [])])
      columnIndex(table, name)
    const both = options.categorical?.find((name) => options.continuous?.includes(name))
    if (both !== undefined)
      throw new DataError(`the column '${both}' is named as categorical and as continuous`)
    // Named columns of one kind only: the others are sorted by what they hold. Of both: nothing else is an input.
    const free = (name: string) => !(options.categorical && options.continuous) && !ignored.includes(name)
    const categorical: CategoryColumn[] = []
    const continuous: NumberColumn[] = []
    for (const [at, name] of table.columns.entries()) {
      const named = options.categorical?.includes(name) || options.continuous?.includes(name)
      if (!named && !free(name)) continue
      const texts = Array.from(rows, (row) => table.rows[row]![at]!.trim())
      const present = texts.filter((text) => !absent.has(text))
      const asNumbers = options.continuous?.includes(name)
        ? true
        : !options.categorical?.includes(name) && isMeasured(present, maxCardinality)
      if (asNumbers) {
        continuous.push(measure(table, rows, name, texts, absent))
      } else {
        categorical.push({ name, categories: sortedCategories(present) })
      }
    }
    const taken = new Set(table.columns)
    const flags = continuous
      .filter(({ flagged }) => flagged)
      .map(({ name }) => ({ name: freeFlagName(name, taken), categories: ['false', 'true'], flagOf: name }))
    return new TableEncoder({
      categorical: [...categorical, ...flags],
      continuous,
      missing,
    })
  }

  /** Numbers of categories of each categorical column, the unknown one included. */
  get cardinalities(): number[] {
    return this.description.categorical.map(({ categories }) => categories.length + 1)
  }

  /** Columns that a row needs. */
  get inputs(): string[] {
    const { continuous, categorical } = this.description
    return [...continuous, ...categorical.filter(({ flagOf }) => flagOf === undefined)].map(
      ({ name }) => name,
    )
  }

  /** Encodes rows of a table with these columns. @throws DataError that names file and line. */
  encode(
    table: Table,
    rows: ArrayLike<number>,
    skip?: (row: number, error: DataError) => void,
  ): EncodedRows & { kept: number[] } {
    const places = new Map<string, number>()
    for (const name of this.inputs) places.set(name, columnIndex(table, name))
    const { categorical, continuous } = this.description
    const categories = new BigInt64Array(rows.length * categorical.length)
    const numbers = new Float32Array(rows.length * continuous.length)
    const kept: number[] = []
    for (const row of Array.from(rows)) {
      try {
        const cells = table.rows[row]!
        const at = kept.length
        this.#encodeRow(
          (name) => cells[places.get(name)!],
          () => describeRow(table, row),
          categories.subarray(at * categorical.length, (at + 1) * categorical.length),
          numbers.subarray(at * continuous.length, (at + 1) * continuous.length),
        )
        kept.push(row)
      } catch (error) {
        if (!skip || !(error instanceof DataError)) throw error
        skip(row, error)
      }
    }
    return {
      categories: categories.subarray(0, kept.length * categorical.length),
      numbers: numbers.subarray(0, kept.length * continuous.length),
      kept,
    }
  }

  /** Encodes one row. @throws DataError for a column that is not there, or holds no number where one is needed. */
  encodeRow(row: TableRow): EncodedRows {
    const { categorical, continuous } = this.description
    const lacking = this.inputs.find((name) => !(name in row))
    if (lacking !== undefined) {
      throw new DataError(
        `the row has no '${lacking}'. It needs all columns that the model was trained on; null says that a value is missing`,
      )
    }
    const encoded = {
      categories: new BigInt64Array(categorical.length),
      numbers: new Float32Array(continuous.length),
    }
    this.#encodeRow(
      (name) => row[name],
      () => 'the row',
      encoded.categories,
      encoded.numbers,
    )
    return encoded
  }

  #encodeRow(
    cell: (name: string) => TableRow[string],
    describe: () => string,
    categories: BigInt64Array,
    numbers: Float32Array,
  ): void {
    const { categorical, continuous } = this.description
    for (const [at, { name, median, mean, std }] of continuous.entries()) {
      const value = cell(name)
      const number = this.#isMissing(value) ? median : toNumber(value)
      if (number === undefined) throw noNumber(describe(), value, name)
      numbers[at] = (number - mean) / std
    }
    for (const [at, { name, flagOf }] of categorical.entries()) {
      const value = cell(flagOf ?? name)
      if (flagOf !== undefined) categories[at] = this.#isMissing(value) ? 2n : 1n
      else if (!this.#isMissing(value))
        categories[at] = BigInt((this.#places[at]!(String(value).trim()) ?? -1) + 1)
    }
  }

  #isMissing(value: TableRow[string]): boolean {
    if (value === null || value === undefined) return true
    return typeof value === 'number' ? Number.isNaN(value) : this.#missing.has(String(value).trim())
  }
}

const noNumber = (row: string, value: TableRow[string], column: string) =>
  new DataError(`${row}: '${String(value)}' in the column '${column}' is no number`)

/** Rows that have a number, or nothing, in each of the columns that are named as numbers. */
export function readableRows(
  table: Table,
  rows: ArrayLike<number>,
  { named, missing }: { named: readonly string[]; missing: readonly string[] },
  skip: (row: number, error: DataError) => void,
): number[] {
  const absent = new Set(missing)
  const places = named.map((name) => columnIndex(table, name))
  return Array.from(rows).filter((row) => {
    const cells = table.rows[row]!
    const at = places.find(
      (place) => toNumber(cells[place]) === undefined && !absent.has(cells[place]!.trim()),
    )
    if (at !== undefined) skip(row, noNumber(describeRow(table, row), cells[at], table.columns[at]!))
    return at === undefined
  })
}

/** fastai's name for the flag of a column, `<column>_na`; with a number where a column of the table has that name. */
function freeFlagName(column: string, taken: Set<string>): string {
  const plain = `${column}_na`
  let name = plain
  for (let number = 2; taken.has(name); number++) name = `${plain}_${number}`
  taken.add(name)
  return name
}

/** Descriptions of before flags had `flagOf` tell them by their names. */
function withFlags(description: TableDescription): TableDescription {
  const { categorical, continuous } = description
  const flagged = continuous.filter((column) => column.flagged)
  if (flagged.length === 0 || categorical.some(({ flagOf }) => flagOf !== undefined)) return description
  const sources = new Map(flagged.map(({ name }) => [`${name}_na`, name]))
  return {
    ...description,
    categorical: categorical.map((column) => {
      const flagOf = sources.get(column.name)
      return flagOf === undefined ? column : { ...column, flagOf }
    }),
  }
}
