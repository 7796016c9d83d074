import { dirname } from 'node:path'
import { ConfigError, DataError } from '../../engine/errors.ts'
import { type Tensor, tensor } from '../../engine/index.ts'
import type { SkippedItem } from '../BatchIterator.ts'
import { DataBunch, type DataBunchOptions, defined } from '../DataBunch.ts'
import { drawSeed } from '../drawSeed.ts'
import { checkChoice, checkCount, rejectUnknownOptions } from '../options.ts'
import type { ItemDescription } from '../pictureItem.ts'
import { reportSkipped } from '../reportSkipped.ts'
import { randomSplit } from '../split.ts'
import { Goal } from './Goal.ts'
import { columnIndex, describeRow, readCsv, type Table } from './readCsv.ts'
import { type TableBatch, TableDataset } from './TableDataset.ts'
import { readableRows, type TableDescription, TableEncoder, type TableRow } from './TableEncoder.ts'
import { warnOfTexts } from './warnOfTexts.ts'

/** Texts that stand for a missing value, as pandas has them. */
export const missingTexts: readonly string[] = [
  ...['', 'NA', '<NA>', 'N/A', 'n/a', 'NULL', 'null', 'None', 'NaN', 'nan', '-NaN', '-nan'],
  // Of spreadsheets, and of C on Windows.
  ...['#NA', '#N/A', '#N/A N/A', '1.#IND', '-1.#IND', '1.#QNAN', '-1.#QNAN'],
]

const LOADER_NAMES = ['batchSize', 'validBatchSize', 'shuffle', 'sampler', 'dropLast', 'device'] as const

export interface FromTableOptions
  extends Pick<DataBunchOptions<TableBatch, TableBatch>, (typeof LOADER_NAMES)[number]> {
  /** Column to predict. */
  target: string
  /**
   * 'regression' or 'classification'. Default: regression if all targets of the training rows are numbers. Classes are the
   * targets' texts, sorted: by value if all of them are numbers, else as texts.
   */
  task?: 'regression' | 'classification'
  /** Learn the natural logarithm of the target; then the root mean squared error is of logarithms. Default false. */
  log?: boolean
  /** Columns of categories. Default: texts, and whole numbers of few values; see `maxCardinality`. */
  categorical?: readonly string[]
  /** Columns of numbers. Default: all other numbers. If both are given, no other column is an input. */
  continuous?: readonly string[]
  /** Columns that are no input, such as ids. */
  ignore?: readonly string[]
  /** Whole numbers of at most so many different values are categories. Default 20, as in fastai. */
  maxCardinality?: number
  /** Texts that stand for a missing value. Default `missingTexts`. */
  missing?: readonly string[]
  /**
   * Data to encode as: the columns, categories, statistics and classes are those of this DataBunch, or of the `data` of a Learner that
   * `loadLearner` gave, in place of the training rows'. So a model can go on with new rows. Default none.
   */
  encodeAs?: EncodedData
  /** A file of validation rows, with the same columns; instead of a split. */
  valid?: string
  /** A column that says of each row whether it is for validation (true, 1, yes); instead of a random split. */
  validColumn?: string
  /** Part of the rows kept for validation, at random. Default 0.2. */
  validPct?: number
  /** A file of rows to predict; it need not have the target. */
  test?: string
  /** What stands between fields. Default ','. */
  separator?: string
  /** What the order and the split follow from. Default: drawn from the engine's generator. */
  seed?: number
  /**
   * What to do with a row that cannot be used: more or fewer fields than columns, no number where one is needed, no target, a
   * class that training does not know. 'throw' (default) names file and line, 'skip' leaves it out, counts and lists it.
   */
  onError?: 'throw' | 'skip'
}

/** Data that say how rows become numbers: a `TabularDataBunch`, or the `data` of a Learner for tables. */
export interface EncodedData {
  describeItem?(): ItemDescription | undefined
  readonly classes?: readonly string[] | undefined
}

/** What `encodeAs` settles. */
const ENCODING_NAMES = ['categorical', 'continuous', 'ignore', 'maxCardinality', 'missing'] as const

const OPTION_NAMES = [
  ...LOADER_NAMES,
  'target',
  'task',
  'log',
  'categorical',
  'continuous',
  'ignore',
  'maxCardinality',
  'missing',
  'encodeAs',
  'valid',
  'validColumn',
  'validPct',
  'test',
  'separator',
  'seed',
  'onError',
]

/** Tables for `tabularLearner`. Batches are `x` = [categories, numbers] and `y`. */
export class TabularDataBunch extends DataBunch<TableBatch, TableBatch> {
  /** Columns, categories and statistics, as the training rows settled them. */
  readonly encoder: TableEncoder
  readonly #skippedRows: readonly SkippedItem[]

  constructor(
    sets: { train: TableDataset; valid: TableDataset | null; test?: TableDataset | undefined },
    encoder: TableEncoder,
    options: Omit<DataBunchOptions<TableBatch, TableBatch>, 'testDataset'> & {
      skippedRows?: readonly SkippedItem[]
    } = {},
  ) {
    const { skippedRows = [], ...rest } = options
    super(sets.train, sets.valid, {
      ...rest,
      ...defined({ testDataset: sets.test }),
      c: sets.train.classes?.length ?? 1,
      lossFunction: sets.train.classes ? 'crossEntropy' : 'mseLoss',
    })
    this.encoder = encoder
    this.#skippedRows = skippedRows
  }

  /**
   * Rows of a CSV file with typed columns. Missing numbers become the training rows' median, and a further column of categories
   * says where they were (fastai's `FillMissing`); numbers are normalised by the training rows' mean and deviation; categories
   * that training has not seen, and missing ones, are number 0.
   * @throws DataError that names file and line, or the columns there are; ConfigError for options that cannot be
   */
  static async fromTable(file: string, options: FromTableOptions): Promise<TabularDataBunch> {
    rejectUnknownOptions('fromTable', options, OPTION_NAMES)
    const { target, task, log = false, separator, onError = 'throw', encodeAs } = options
    const { maxCardinality = 20, ignore = [], categorical, continuous, seed = drawSeed() } = options
    if (typeof target !== 'string')
      throw new ConfigError("fromTable needs { target: 'name of the column to predict' }")
    if (task !== undefined) checkChoice('fromTable', 'task', task, ['regression', 'classification'])
    checkCount('fromTable', 'maxCardinality', maxCardinality, 0)
    const settled = encodeAs && encoderOf(encodeAs, options)
    const missing = settled?.description.missing ?? options.missing ?? missingTexts
    checkInputs(settled?.inputs ?? [...(categorical ?? []), ...(continuous ?? [])], options)
    const ways = ['valid', 'validColumn', 'validPct'].filter((name) => name in options)
    if (ways.length > 1)
      throw new ConfigError(`fromTable: ${ways.join(' and ')} exclude each other: give one of them`)
    const csv = { onError, ...defined({ separator }) }
    const table = await readCsv(file, csv)
    for (const name of ignore) columnIndex(table, name)
    const skipped = [...table.skipped]
    const skip =
      onError === 'throw'
        ? undefined
        : (of: Table) => (row: number, error: DataError) =>
            skipped.push({ index: row, item: describeRow(of, row), reason: error.message })

    const split = splitRows(table, options, seed)
    const validTable = options.valid === undefined ? table : await readCsv(options.valid, csv)
    const validRows = options.valid === undefined ? split.valid : allRows(validTable)
    if (validTable !== table) skipped.push(...validTable.skipped)

    // Rows that are left out must not shape statistics, categories and classes.
    const named = settled?.description.continuous.map(({ name }) => name) ?? continuous ?? []
    const readable = skip ? readableRows(table, split.train, { named, missing }, skip(table)) : split.train
    const goal = new Goal(table, readable, { target, task, log, missing, like: encodeAs })
    const trainRows = goal.usable(table, readable, skip?.(table))
    const ignored = [target, ...ignore, ...(options.validColumn === undefined ? [] : [options.validColumn])]
    const fitOptions = { categorical, continuous, ignored, missing, maxCardinality }
    const encoder = settled ?? TableEncoder.fit(table, trainRows, fitOptions)
    const { categorical: categories, continuous: numbers } = encoder.description
    if (!settled) {
      const sorted = categories.filter(({ name, flagOf }) => !flagOf && !categorical?.includes(name))
      const columns = new Map(sorted.map(({ name }) => [name, maxCardinality]))
      if (goal.classes && task === undefined) columns.set(target, 0)
      warnOfTexts(table, trainRows, columns, missing)
    }
    if (categories.length + numbers.length === 0)
      throw new DataError(`${table.name}: no column is left as an input`)
    const dataset = (of: Table, rows: readonly number[], labelled = true) => {
      const { kept, ...encoded } = encoder.encode(of, rows, skip?.(of))
      return new TableDataset({
        table: of,
        rows: kept,
        encoded,
        categoricalColumns: categories.length,
        continuousColumns: numbers.length,
        targets: goal.targets(of, kept, labelled),
        classes: goal.classes,
      })
    }
    const train = dataset(table, trainRows)
    const valid = dataset(validTable, goal.usable(validTable, validRows, skip?.(validTable)))
    const testTable = options.test === undefined ? undefined : await readCsv(options.test, csv)
    if (testTable) skipped.push(...testTable.skipped)
    const test = testTable && dataset(testTable, allRows(testTable), false)
    const total =
      table.rows.length + (validTable === table ? 0 : validTable.rows.length) + (testTable?.rows.length ?? 0)
    reportSkipped(skipped, total + table.skipped.length)
    const given = Object.fromEntries(LOADER_NAMES.map((name) => [name, options[name]]))
    return new TabularDataBunch({ train, valid, test }, encoder, {
      ...defined(given as DataBunchOptions<TableBatch, TableBatch>),
      seed,
      path: dirname(file),
      skippedRows: skipped,
    })
  }

  /** One row, by the names of its columns, as a batch of one. @throws DataError for a column that is not there. */
  async oneItem(row: TableRow): Promise<{ x: [Tensor, Tensor] }> {
    return rowItem(this.encoder, row, this.trainDl.device)
  }

  /** What `oneItem` does, as data. */
  describeItem(): ItemDescription {
    return { kind: 'row', table: this.encoder.description }
  }

  override get skipped(): SkippedItem[] {
    return [...this.#skippedRows, ...super.skipped]
  }

  override toString(): string {
    const { categorical, continuous } = this.encoder.description
    const parts = [`${this.trainDs.length} training rows`, `${this.validDs?.length ?? 0} for validation`]
    if (this.testDs) parts.push(`${this.testDs.length} for test`)
    const target = this.classes ? `${this.classes.length} classes` : 'regression'
    return `TabularDataBunch(${parts.join(', ')}; ${categorical.length} columns of categories, ${continuous.length} of numbers; ${target}; batch size ${this.batchSize})`
  }
}

/** `TabularDataBunch.fromTable`. */
export function fromTable(file: string, options: FromTableOptions): Promise<TabularDataBunch> {
  return TabularDataBunch.fromTable(file, options)
}

/** @internal A row as a batch of one: categories `[1, K]` and numbers `[1, M]`. */
export function rowItem(encoder: TableEncoder, row: TableRow, device?: string): { x: [Tensor, Tensor] } {
  const { categories, numbers } = encoder.encodeRow(row)
  const on = device === undefined ? {} : { device }
  return {
    x: [
      tensor(categories, { shape: [1, categories.length], ...on }),
      tensor(numbers, { shape: [1, numbers.length], ...on }),
    ],
  }
}

/** @internal Makes items of rows from what was saved with a model. */
export function rowMaker(description: TableDescription): (row: TableRow) => Promise<{ x: [Tensor, Tensor] }> {
  const encoder = new TableEncoder(description)
  return async (row) => rowItem(encoder, row)
}

/** @throws ConfigError for data that are no tables, and for options that `encodeAs` settles */
function encoderOf(data: EncodedData, options: FromTableOptions): TableEncoder {
  const item = data.describeItem?.()
  if (item?.kind !== 'row') {
    throw new ConfigError(
      'fromTable: encodeAs takes data made by fromTable, or the `data` of a Learner that was trained on such',
    )
  }
  const twice = ENCODING_NAMES.filter((name) => options[name] !== undefined)
  if (twice.length > 0)
    throw new ConfigError(
      `fromTable: encodeAs settles what is an input, and how: leave out ${twice.join(', ')}`,
    )
  return new TableEncoder(item.table)
}

/** @throws ConfigError for a column that is an input, and said to be none */
function checkInputs(
  inputs: readonly string[],
  { target, ignore = [], validColumn, encodeAs }: FromTableOptions,
): void {
  const others = { target: [target], ignore, validColumn: validColumn === undefined ? [] : [validColumn] }
  for (const [option, columns] of Object.entries(others)) {
    const both = columns.find((column) => inputs.includes(column))
    if (both === undefined) continue
    throw new ConfigError(
      `fromTable: the column '${both}' is named as an input${encodeAs ? ' by encodeAs' : ''} and also in ${option}: take it out of one of them`,
    )
  }
}

function allRows(table: Table): number[] {
  return Array.from(table.rows, (_, row) => row)
}

function splitRows(table: Table, { valid, validColumn, validPct = 0.2 }: FromTableOptions, seed: number) {
  const all = allRows(table)
  if (valid !== undefined) return { train: all, valid: [] }
  if (validColumn === undefined) return randomSplit(all.length, validPct, seed)
  const at = columnIndex(table, validColumn)
  const isValid = (row: number) => /^(true|1|yes)$/i.test(table.rows[row]![at]!.trim())
  const parts = { train: all.filter((row) => !isValid(row)), valid: all.filter(isValid) }
  if (parts.train.length > 0 && parts.valid.length > 0) return parts
  throw new DataError(
    `${table.name}: the column '${validColumn}' keeps ${parts.valid.length} of ${all.length} rows for validation; both sides need some (true, 1 or yes means validation)`,
  )
}
