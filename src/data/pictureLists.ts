import { isAbsolute, join, resolve } from 'node:path'
import { ConfigError, DataError } from '../engine/errors.ts'
import { extensionSet, imageExtensions } from './image/extensions.ts'
import { checkFolder } from './image/ImageFolder.ts'
import {
  addSkipped,
  listPictures,
  noneSkipped,
  type PicturePath,
  type SkippedFiles,
} from './image/listPictures.ts'
import { readableName } from './image/pictureError.ts'
import type { Label, LabelledPictures } from './labelledPictures.ts'
import { orLeaveOut } from './skipAdvice.ts'
import { areWholeNumbers } from './sortedLabels.ts'
import { columnIndex, describeRow, readCsv, type Table } from './table/readCsv.ts'

/** Which files: those of a list, relative to `dir`, or all pictures below it. */
export function filesOf(
  dir: string,
  names: readonly string[] | undefined,
  extensions: readonly string[] = imageExtensions,
): { files: readonly PicturePath[]; skipped: SkippedFiles } {
  const skipped = noneSkipped()
  if (names) return { files: names.map((name) => within(dir, name)), skipped }
  checkFolder(dir)
  const listing = listPictures(dir, extensionSet(extensions))
  addSkipped(skipped, listing.skipped)
  if (listing.files.length === 0)
    throw new DataError(`${resolve(dir)}: the folder holds no pictures (${extensions.join(', ')})`)
  return { files: listing.files, skipped }
}

/** Labels by a function of the path. @throws DataError for a picture that it gives none */
export function labelsByFunction(files: readonly PicturePath[], labelOf: (path: string) => Label): Label[] {
  return files.map((file) => {
    const label = labelOf(file.toString())
    const good = (value: unknown) => typeof value === 'string' || typeof value === 'number'
    if (Array.isArray(label) ? label.every(good) : good(label)) return label
    throw new DataError(
      `${readableName(file)}: the function gives the label ${String(label)}; a label is a text or a number, or a list of them`,
    )
  })
}

/** The label is what the first group of the pattern finds in the path, its separators being '/'. */
export function labelsByPattern(files: readonly PicturePath[], pattern: RegExp | string): string[] {
  const regex = new RegExp(
    typeof pattern === 'string' ? pattern : pattern.source,
    typeof pattern === 'string' ? '' : pattern.flags.replace(/[gy]/g, ''),
  )
  return files.map((file) => {
    const found = regex.exec(file.toString().replaceAll('\\', '/'))?.[1]
    if (found !== undefined) return found
    throw new DataError(
      `${readableName(file)}: the pattern ${regex} finds no label in this path. Its first group, in parentheses, must match the label`,
    )
  })
}

export interface CsvOptions {
  csv: string
  folder: string
  suffix: string
  fileColumn: string | number
  labelColumn: string | number
  labelDelimiter: string | undefined
  validColumn: string | number | undefined
  separator: string | undefined
  header: boolean
  onError: 'throw' | 'skip'
}

/** Pictures and labels of a CSV file. @throws DataError that names file and line */
export async function picturesOfCsv(dir: string, options: CsvOptions) {
  const { folder, suffix, separator, header, labelDelimiter, onError } = options
  if (labelDelimiter === '')
    throw new ConfigError("labelDelimiter is what stands between the labels of a picture, ' ' for example")
  const table = await readCsv(within(dir, options.csv), {
    onError,
    header,
    ...(separator !== undefined && { separator }),
  })
  const [file, label] = [columnIndex(table, options.fileColumn), columnIndex(table, options.labelColumn)]
  const valid = options.validColumn === undefined ? undefined : columnIndex(table, options.validColumn)
  const skipped = [...table.skipped]
  const numbers = rowNumbers(table)
  const kept: number[] = []
  for (const [row, cells] of table.rows.entries()) {
    const lacking =
      cells[file]!.trim() === ''
        ? 'file'
        : cells[label]!.trim() === '' && labelDelimiter === undefined
          ? 'label'
          : undefined
    if (lacking === undefined) {
      kept.push(row)
      continue
    }
    const item = describeRow(table, row)
    const reason = `${item}: the row has no ${lacking}. Repair or remove it${orLeaveOut('rows')}`
    if (onError === 'throw') throw new DataError(reason)
    skipped.push({ index: numbers[row]!, item, reason })
  }
  const texts = kept.map((row) => table.rows[row]![label]!.trim())
  const pictures: LabelledPictures = {
    files: kept.map((row) => within(dir, join(folder, `${table.rows[row]![file]!.trim()}${suffix}`))),
    labels: texts.map((text) =>
      labelDelimiter === undefined ? text : text.split(labelDelimiter).filter((part) => part !== ''),
    ),
    byValue: labelDelimiter === undefined && areWholeNumbers(texts),
    notes: kept.map((row) => describeRow(table, row)),
    rows: { numbers: kept.map((row) => numbers[row]!), count: table.rows.length + table.skipped.length },
  }
  const validIndices =
    valid === undefined
      ? undefined
      : kept.flatMap((row) =>
          /^(true|1|yes)$/i.test(table.rows[row]![valid]!.trim()) ? [numbers[row]!] : [],
        )
  return { pictures, skipped, validIndices }
}

/** The numbers of the rows that could be read, in the file. */
function rowNumbers({ rows, skipped }: Table): number[] {
  const unreadable = new Set(skipped.map(({ index }) => index))
  const numbers: number[] = []
  for (let number = 0; numbers.length < rows.length; number++)
    if (!unreadable.has(number)) numbers.push(number)
  return numbers
}

function within(dir: string, name: string): string {
  return isAbsolute(name) ? name : join(dir, name)
}
