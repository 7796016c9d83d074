import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { CsvError } from 'csv-parse/sync'
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
 * Reads a CSV file (RFC 4180 in UTF-8; a byte order mark and empty lines do not count). Values stay texts.
 * @throws DataError for a file that cannot be read, is empty or not UTF-8, a column named twice, and, with its line, a row that has
 * more or fewer fields than the header, or a misplaced quote; whatever `onError` says, for a quote that does not end in its line and
 * does not end its field later.
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
export async function parseCsv(text: Buffer, name: string, options: ReadCsvOptions): Promise<Table> {
  const { separator = ',', header = true, onError = 'throw' } = options
  checkText(text, name)
  const skipped: SkippedItem[] = []
  const parsed = await parseRows(text, name, { separator, header, onError }, skipped)
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

async function parseRows(
  text: Buffer,
  name: string,
  { separator, header, onError }: Required<ReadCsvOptions>,
  skipped: SkippedItem[],
): Promise<Row[]> {
  // csv-parse: maintained since 2010, no dependencies of its own; it tells the line of a bad record, which d3-dsv and Papa Parse do
  // not. Its ten files are loaded where there is something to parse.
  const { CsvError, parse } = await import('csv-parse/sync')
  const rows: Row[] = []
  const refuse = (line: number, reason: string) => {
    const message = `${name}, line ${line}: ${reason}. Repair or remove the row${orLeaveOut('rows')}`
    if (onError === 'throw') throw new DataError(message)
    if (skipped.length === MAX_SKIPPED) {
      throw new DataError(
        `${name}: more than ${MAX_SKIPPED} rows cannot be read, the last in line ${line} (${reason}). Is it separated by '${separator}'?`,
      )
    }
    // Of all rows but that which names the columns.
    const index = rows.length + skipped.length - (header ? 1 : 0)
    skipped.push({ index, item: `${name}, line ${line}`, reason: message })
  }
  let at = text.subarray(0, BOM.length).equals(BOM) ? BOM.length : 0 // where the last record ended
  let line = 1
  /** Goes on to where a record ends, and says in which lines it lies. The parser counts line breaks of Windows within quotes twice. */
  const advance = (end: number) => {
    let from = at
    while (from < end && isBreak(text[from])) from++ // empty lines
    const first = line + breaksIn(text, at, from)
    line += breaksIn(text, at, end)
    at = end
    return { first, last: isBreak(text[end - 1]) ? line - 1 : line }
  }
  const take = (record: string[], end: number) => {
    const { first, last } = advance(end)
    const expected = rows[0]?.record.length ?? record.length
    if (record.length === expected) {
      rows.push({ record, line: last })
      return
    }
    const whole = last > first ? `, which ends in line ${last},` : ''
    refuse(first, `the row${whole} has ${record.length} fields, but the header names ${expected} columns`)
  }
  let begun = 0 // where the parser began
  while (begun < text.length) {
    try {
      parse(text.subarray(begun), {
        bom: begun === 0,
        record_delimiter: ['\r\n', '\n', '\r'],
        delimiter: separator,
        skip_empty_lines: true,
        relax_column_count: true,
        // What the parser would collect itself takes ten times the memory of the rows.
        on_record: (record: string[], { bytes }) => {
          take(record, begun + bytes)
          return null
        },
      })
      break
    } catch (error) {
      if (!(error instanceof CsvError)) throw error
      const { open, bad, reason } = badQuote(error, text, begun, name)
      if (bad === undefined || breaksIn(text, open, bad) > 0) {
        // It has taken up rows, and nobody knows how many: to leave them out as one would be to lose them in silence.
        const here = line + breaksIn(text, at, open)
        throw new DataError(
          `${name}, line ${here}: a quote is opened here that does not end${bad === undefined ? '' : ` where the next one stands, in line ${here + breaksIn(text, open, bad)}`}. Close it, or remove it, since the rows after it cannot be told apart`,
          { cause: error },
        )
      }
      const { first } = advance(lineEnd(text, bad))
      if (rows.length === 0) throw new DataError(`${name}, line ${first}: ${reason}`, { cause: error })
      refuse(first, reason)
      begun = at
    }
  }
  return rows
}

/** Where the quote is that the parser stumbled over, and the one that opens its field; the former is undefined if there is none. */
function badQuote(error: CsvError, text: Buffer, begun: number, name: string) {
  const { code, bytes } = error as unknown as { code: string; bytes: number }
  // The last field that is complete ended at `bytes`.
  const open = text.indexOf('"', begun + bytes)
  if (code === 'CSV_QUOTE_NOT_CLOSED') return { open, bad: undefined, reason: '' }
  if (code === 'INVALID_OPENING_QUOTE') {
    const reason =
      'a quote stands within a field; such a field stands in quotes itself, and its own are doubled'
    return { open, bad: open, reason }
  }
  if (code !== 'CSV_INVALID_CLOSING_QUOTE') throw new DataError(`${name}: ${error.message}`, { cause: error })
  let bad = text.indexOf('"', open + 1)
  while (text[bad + 1] === QUOTE) bad = text.indexOf('"', bad + 2)
  return { open, bad, reason: 'a quote ends before its field does; quotes within a field are doubled' }
}

const BOM = Buffer.from([0xef, 0xbb, 0xbf])
const [LF, CR, QUOTE] = [10, 13, 34]
const isBreak = (byte: number | undefined) => byte === LF || byte === CR

/** Line breaks of any kind from one place up to another. */
function breaksIn(text: Buffer, from: number, to: number): number {
  let count = 0
  for (let at = from; at < to; at++) {
    if (text[at] === LF || (text[at] === CR && text[at + 1] !== LF)) count++
  }
  return count
}

/** Where the next line begins. */
function lineEnd(text: Buffer, from: number): number {
  let at = from
  while (at < text.length && !isBreak(text[at])) at++
  return Math.min(text.length, text[at] === CR && text[at + 1] === LF ? at + 2 : at + 1)
}

/** @throws DataError for bytes that are no UTF-8, which would become the same character, whatever they were */
function checkText(text: Buffer, name: string): void {
  const advice = 'Save it as UTF-8 (spreadsheets call it CSV UTF-8)'
  if (text.length > 1 && [0xfffe, 0xfeff].includes(text.readUInt16BE(0)))
    throw new DataError(`${name}: the file is UTF-16. ${advice}`)
  if (text.includes(0)) throw new DataError(`${name}: this is no CSV file: it holds bytes that are no text`)
  if (isUtf8(text)) return
  let [line, from] = [1, 0]
  for (let to = lineEnd(text, 0); isUtf8(text.subarray(from, to)); to = lineEnd(text, from)) {
    from = to
    line++
  }
  throw new DataError(
    `${name}, line ${line}: this is no UTF-8, but another encoding, perhaps Windows-1252 or Latin-1. ${advice}`,
  )
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
