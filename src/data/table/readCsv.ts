import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
// csv-parse: maintained since 2010, no dependencies of its own; it tells the line of a bad record, which d3-dsv and Papa Parse do not.
import { CsvError, parse } from 'csv-parse/sync'
import { DataError } from '../../engine/errors.ts'
import type { SkippedItem } from '../BatchIterator.ts'
import { readableName } from '../image/pictureError.ts'
import { rejectUnknownOptions } from '../options.ts'
import { orLeaveOut } from '../skipAdvice.ts'

export interface ReadCsvOptions {
  /** What stands between the fields. Default ','. */
  separator?: string
  /** The first line names the columns. Default true; without, they are called '0', '1', '2' … */
  header?: boolean
  /**
   * What to do with a row that cannot be read: 'throw' (default) names file and line, 'skip' leaves it out and lists it, up to
   * 100,000 of them.
   */
  onError?: 'throw' | 'skip'
}

/** A table of texts, as a CSV file holds it. */
export interface Table {
  /** The file, for error messages. */
  readonly name: string
  readonly columns: readonly string[]
  /** Each as long as `columns`. */
  readonly rows: readonly (readonly string[])[]
  /** Line of the file in which each row ends. */
  readonly lines: readonly number[]
  /** Rows that were left out, each with its number in the file: from 0, whether rows can be read or not. */
  readonly skipped: readonly SkippedItem[]
}

/** A file in which more rows than this cannot be read is of another kind. */
const MAX_SKIPPED = 100_000

interface Row {
  record: string[]
  line: number
}

/**
 * Reads a CSV file (RFC 4180; a byte order mark and empty lines do not count). Values stay texts.
 * @throws DataError for a file that cannot be read or is empty, a column named twice, and, with its line, a row that has
 * more or fewer fields than the header, or a quote that does not end.
 */
export async function readCsv(file: string, options: ReadCsvOptions = {}): Promise<Table> {
  rejectUnknownOptions('readCsv', options, ['separator', 'header', 'onError'])
  const name = readableName(resolve(file))
  const text = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    const reason = cause.code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${cause.message})`
    throw new DataError(`${name}: ${reason}`, { cause })
  })
  return parseCsv(text, name, options)
}

/** The table in the bytes of a file that is called `name`. */
export function parseCsv(text: Buffer, name: string, options: ReadCsvOptions): Table {
  const { separator = ',', header = true, onError = 'throw' } = options
  if (text.includes(0)) throw new DataError(`${name}: this is no CSV file: it holds bytes that are no text`)
  const skipped: SkippedItem[] = []
  const parsed = parseRows(text, name, { separator, header, onError }, skipped)
  const first = parsed[0]
  if (!first) throw new DataError(`${name}: the file is empty; the first line names the columns`)
  const columns = header
    ? first.record.map((column) => column.trim())
    : first.record.map((_, at) => String(at))
  const seen = new Set<string>()
  const twice = columns.find((column) => seen.size === seen.add(column).size)
  if (twice !== undefined)
    throw new DataError(`${name}: two columns are named '${twice}'; give them different names`)
  const body = header ? parsed.slice(1) : parsed
  return {
    name,
    columns,
    rows: body.map(({ record }) => record),
    lines: body.map(({ line }) => line),
    skipped,
  }
}

function parseRows(
  text: Buffer,
  name: string,
  { separator, header, onError }: Required<ReadCsvOptions>,
  skipped: SkippedItem[],
): Row[] {
  const messageOf = (line: unknown, reason: string) =>
    `${name}, line ${String(line)}: ${reason}. Repair or remove the row${orLeaveOut('rows')}`
  // Of the next row; what names the columns is none.
  let number = header ? -1 : 0
  const skip = (line: unknown, reason: string) => {
    if (skipped.length === MAX_SKIPPED) {
      throw new DataError(
        `${name}: more than ${MAX_SKIPPED} rows cannot be read, the last in line ${String(line)} (${reason}). Is it separated by '${separator}'?`,
      )
    }
    skipped.push({ index: number, item: `${name}, line ${String(line)}`, reason: messageOf(line, reason) })
    if (number >= 0) number++
  }
  try {
    const rows: Row[] = []
    parse(text, {
      bom: true,
      record_delimiter: ['\r\n', '\n', '\r'],
      delimiter: separator,
      skip_empty_lines: true,
      skip_records_with_error: onError === 'skip',
      on_skip: (error) => {
        if (error) skip((error as CsvError).lines, reasonOf(error as CsvError))
      },
      // What the parser would collect itself takes ten times the memory of the rows.
      on_record: (record: string[], { lines }) => {
        rows.push({ record, line: lines })
        number++
        return null
      },
    })
    return rows
  } catch (error) {
    if (error instanceof CsvError)
      throw new DataError(messageOf(error.lines, reasonOf(error)), { cause: error })
    throw error
  }
}

function reasonOf(error: CsvError): string {
  const { code, record } = error as { code: string; record?: unknown[] }
  if (code === 'CSV_RECORD_INCONSISTENT_FIELDS_LENGTH') {
    const expected = /expect (\d+)/.exec(error.message)?.[1]
    return `the row has ${record?.length ?? 'another number of'} fields, but the header names ${expected ?? 'another number of'} columns`
  }
  if (code === 'CSV_QUOTE_NOT_CLOSED') return 'a quote is opened here that does not end'
  return error.message.split('\n')[0]!
}

/** Where a column is. @throws DataError that lists the columns there are. */
export function columnIndex(table: Table, column: string | number): number {
  const at = typeof column === 'number' ? column : table.columns.indexOf(column)
  if (Number.isInteger(at) && at >= 0 && at < table.columns.length) return at
  throw new DataError(
    `${table.name}: there is no column ${typeof column === 'number' ? `number ${column}` : `'${column}'`}; the columns are '${table.columns.join("', '")}'`,
  )
}

/** How people find a row. */
export function describeRow(table: Table, row: number): string {
  return `${table.name}, line ${table.lines[row]}`
}
