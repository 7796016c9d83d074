import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import { columnsOf, formatDuration, formatValue } from '../src/learner/epochTable.ts'
import type {
  BatchEndContext,
  EpochBeginContext,
  EpochEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'

/** Where progress is written. `process.stdout` is one. */
export interface ProgressStream {
  write(text: string): unknown
  /** Whether it is a terminal. */
  readonly isTTY?: boolean
  /** Width of the terminal. */
  readonly columns?: number
}

export interface ProgressOptions {
  /** Default `process.stdout`. */
  stream?: ProgressStream
  /** Draw a bar. Default: if the stream is a terminal. */
  bar?: boolean
  /** Least time between two drawings of the bar, in milliseconds. Default 100. */
  interval?: number
  /** The clock, in milliseconds. Default `performance.now`. */
  now?: () => number
}

const barWidth = 24
const clearLine = '\r\x1b[K'

/**
 * A line for each epoch: epoch, trainLoss, validLoss, metrics, time. On a terminal also a bar that is redrawn in place, with
 * batches a second, the time left of the pass, and the loss. It draws as batches end and needs no timer.
 */
export class ProgressCallback extends Callback {
  override order = 100
  override readonly runsInLrFind = false
  readonly #stream: ProgressStream
  readonly #bar: boolean
  readonly #interval: number
  readonly #now: () => number
  #monitors: readonly string[] = []
  #widths: readonly number[] = []
  #epochBegan = 0
  #passBegan = 0
  #lastEnd = 0
  #drawn = Number.NEGATIVE_INFINITY
  #barShown = false

  constructor(options: ProgressOptions = {}) {
    super()
    rejectUnknownOptions('ProgressCallback', options, ['stream', 'bar', 'interval', 'now'])
    const { stream = process.stdout, interval = 100, now = () => performance.now() } = options
    if (!(interval >= 0))
      throw new ConfigError(`ProgressCallback: interval must be at least 0 ms, got ${String(interval)}`)
    this.#stream = stream
    this.#bar = options.bar ?? stream.isTTY === true
    this.#interval = interval
    this.#now = now
  }

  override onTrainBegin({ monitors }: TrainBeginContext): void {
    const columns = columnsOf(monitors)
    this.#monitors = monitors
    this.#widths = columns.map((title, i) => (i === 0 ? 5 : Math.max(title.length, 9)))
    this.#row(columns)
  }

  override onEpochBegin(_context: EpochBeginContext): void {
    this.#epochBegan = this.#lastEnd = this.#now()
  }

  override onBatchEnd(context: BatchEndContext): void {
    if (!this.#bar) return
    if (context.numBatch === 0) this.#passBegan = this.#lastEnd
    this.#lastEnd = this.#now()
    if (this.#lastEnd - this.#drawn < this.#interval) return
    this.#drawn = this.#lastEnd
    this.#draw(context)
  }

  override onEpochEnd({ epoch, lastMetrics }: EpochEndContext): void {
    this.#erase()
    const values = this.#monitors.map((name) => formatValue(lastMetrics[name]))
    this.#row([String(epoch), ...values, formatDuration((this.#now() - this.#epochBegan) / 1000)])
  }

  override onTrainEnd(_context: TrainEndContext): void {
    this.#erase()
  }

  #row(cells: readonly string[]): void {
    const padded = cells.map((cell, i) => cell.padEnd(this.#widths[i]!))
    this.#stream.write(`${padded.join('  ').trimEnd()}\n`)
  }

  #draw({ learner, epoch, epochs, train, numBatch, batchesPerEpoch, smoothLoss }: BatchEndContext): void {
    const done = numBatch + 1
    const total = Math.max(done, train ? batchesPerEpoch : (learner.data.validDl?.length ?? done))
    const seconds = Math.max((this.#lastEnd - this.#passBegan) / 1000, 1e-9)
    const filled = Math.round((barWidth * done) / total)
    const text = [
      `epoch ${epoch} (${epoch + 1} of ${epochs}) ${train ? 'train' : 'valid'}`,
      `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`,
      `${done}/${total}`,
      `${(done / seconds).toFixed(1)} batches/s`,
      `${formatDuration((seconds / done) * (total - done))} left`,
      `loss ${smoothLoss.toFixed(4)}`,
    ].join('  ')
    this.#stream.write(`${clearLine}${text.slice(0, (this.#stream.columns ?? 120) - 1)}`)
    this.#barShown = true
  }

  #erase(): void {
    if (this.#barShown) this.#stream.write(clearLine)
    this.#barShown = false
  }
}
