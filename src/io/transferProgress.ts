import { formatDuration } from './duration.ts'

/** Where progress is written. `process.stderr` is one. */
export interface ProgressSink {
  write(text: string): unknown
  /** Whether it is a terminal. */
  readonly isTTY?: boolean
  /** Width of the terminal. */
  readonly columns?: number
}

const barWidth = 24
const interval = 100
const clearLine = '\r\x1b[K'

/** Bytes in the unit that suits them: `44.7 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

/** Shows how a download goes on: a bar that is redrawn in place on a terminal, a line at its begin and end elsewhere. */
export class TransferProgress {
  readonly #sink: ProgressSink
  readonly #title: string
  #total: number | undefined
  #start = 0
  #began = 0
  #drawn = Number.NEGATIVE_INFINITY
  #shown = false

  constructor(title: string, sink: ProgressSink) {
    this.#title = title
    this.#sink = sink
  }

  /** @param start bytes that were here before @param total bytes in all, if known */
  begin(start: number, total: number | undefined): void {
    this.#start = start
    this.#total = total
    this.#began = performance.now()
    if (this.#sink.isTTY) return
    const size = total === undefined ? '' : ` (${formatBytes(total)})`
    this.line(`Downloading ${this.#title}${size}${start > 0 ? `, going on at ${formatBytes(start)}` : ''}`)
  }

  update(done: number): void {
    const now = performance.now()
    if (!this.#sink.isTTY || now - this.#drawn < interval) return
    this.#drawn = now
    const seconds = Math.max((now - this.#began) / 1000, 1e-3)
    const rate = (done - this.#start) / seconds
    const parts = [this.#title]
    if (this.#total === undefined) {
      parts.push(formatBytes(done))
    } else {
      const filled = Math.min(barWidth, Math.round((barWidth * done) / Math.max(this.#total, 1)))
      parts.push(`${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`)
      parts.push(`${formatBytes(done)} of ${formatBytes(this.#total)}`)
    }
    parts.push(`${formatBytes(rate)}/s`)
    if (this.#total !== undefined && rate > 0) {
      parts.push(`${formatDuration((this.#total - done) / rate)} left`)
    }
    this.#sink.write(`${clearLine}${parts.join('  ').slice(0, (this.#sink.columns ?? 120) - 1)}`)
    this.#shown = true
  }

  /** A line of its own, above the bar. */
  line(text: string): void {
    this.erase()
    this.#sink.write(`${text}\n`)
  }

  erase(): void {
    if (this.#shown) this.#sink.write(clearLine)
    this.#shown = false
  }
}
