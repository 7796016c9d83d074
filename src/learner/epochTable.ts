/** How an epoch's values are written, in the printed table and in CSV files: as fastai does. */

/** Six decimals for fractions, whole numbers as they are, '#na#' for what is not there. */
export function formatValue(value: number | null | undefined): string {
  if (value === null || value === undefined) return '#na#'
  return Number.isInteger(value) ? String(value) : value.toFixed(6)
}

export { formatDuration } from '../io/duration.ts'

/** Titles of the columns: epoch, the monitors of the fit, time. */
export function columnsOf(monitors: readonly string[]): string[] {
  return ['epoch', ...monitors, 'time']
}

/** A line of a CSV file. Cells with a comma, a quote or a line end in them stand in quotes (RFC 4180). */
export function csvLine(cells: readonly string[]): string {
  const quoted = cells.map((cell) => (/[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell))
  return `${quoted.join(',')}\n`
}
