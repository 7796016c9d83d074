import { formatDuration } from './epochTable.ts'

/** Where progress is written. `process.stdout` is one. */
export interface ProgressStream {
  write(text: string): unknown
  /** Whether it is a terminal. */
  readonly isTTY?: boolean
  /** Width of the terminal. */
  readonly columns?: number
}

export interface ProgressBarOptions {
  /** Default `process.stdout`. */
  stream?: ProgressStream
  /** Least time between two drawings, in milliseconds. Default 100. */
  interval?: number
  /** The clock, in milliseconds. Default `performance.now`. */
  now?: () => number
}

const barWidth = 24
const clearLine = '\r\x1b[K'

/** A bar for a pass over batches, with batches a second and the time left, redrawn in place. It draws as batches end and needs no timer. */
export class ProgressBar {
  readonly #stream: ProgressStream
  readonly #interval: number
  readonly #now: () => number
  #last = 0
  #began = 0
  #doneBefore = 0
  #drawn = Number.NEGATIVE_INFINITY
  #shown = false

  constructor({
    stream = process.stdout,
    interval = 100,
    now = () => performance.now(),
  }: ProgressBarOptions) {
    this.#stream = stream
    this.#interval = interval
    this.#now = now
  }

  /** The clock starts; returns the time. */
  start(): number {
    this.#last = this.#now()
    return this.#last
  }

  /** A pass begins in which so many batches are done already. */
  begin(doneBefore: number): void {
    this.#began = this.#last
    this.#doneBefore = doneBefore
  }

  /** A batch has ended. */
  update(done: number, total: number, title: string, figures: string): void {
    this.#last = this.#now()
    if (this.#last - this.#drawn < this.#interval) return
    this.#drawn = this.#last
    const seconds = Math.max((this.#last - this.#began) / 1000, 1e-9)
    const perSecond = (done - this.#doneBefore) / seconds
    const filled = Math.round((barWidth * done) / total)
    const text = [
      title,
      `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`,
      `${done}/${total}`,
      `${perSecond.toFixed(1)} batches/s`,
      `${formatDuration((total - done) / perSecond)} left`,
      figures,
    ].join('  ')
    this.#stream.write(`${clearLine}${text.slice(0, (this.#stream.columns ?? 120) - 1)}`)
    this.#shown = true
  }

  /** Takes the bar away, if it is there. */
  erase(): void {
    if (this.#shown) this.#stream.write(clearLine)
    this.#shown = false
  }
}
