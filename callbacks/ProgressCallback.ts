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
import { ProgressBar, type ProgressBarOptions, type ProgressStream } from '../src/learner/ProgressBar.ts'

export type { ProgressStream }

export interface ProgressOptions extends ProgressBarOptions {
  /** Draw a bar. Default: if the stream is a terminal. */
  bar?: boolean
}

/**
 * A line for each epoch: epoch, trainLoss, validLoss, metrics, time. On a terminal also a bar that is redrawn in place, with
 * batches a second, the time left of the pass, and the loss. It draws as batches end and needs no timer.
 */
export class ProgressCallback extends Callback {
  override order = 100
  override readonly runsInLrFind = false
  readonly #stream: ProgressStream
  readonly #bar: ProgressBar
  readonly #hasBar: boolean
  readonly #now: () => number
  #monitors: readonly string[] = []
  #widths: readonly number[] = []
  #epochBegan = 0
  #isFirst = true

  constructor(options: ProgressOptions = {}) {
    super()
    rejectUnknownOptions('ProgressCallback', options, ['stream', 'bar', 'interval', 'now'])
    const { stream = process.stdout, interval = 100, now = () => performance.now() } = options
    if (!(interval >= 0))
      throw new ConfigError(`ProgressCallback: interval must be at least 0 ms, got ${String(interval)}`)
    this.#stream = stream
    this.#bar = new ProgressBar({ stream, interval, now })
    this.#hasBar = options.bar ?? stream.isTTY === true
    this.#now = now
  }

  override onTrainBegin({ monitors }: TrainBeginContext): void {
    const columns = columnsOf(monitors)
    this.#monitors = monitors
    this.#widths = columns.map((title, i) => (i === 0 ? 5 : Math.max(title.length, 9)))
    this.#row(columns)
  }

  override onEpochBegin(_context: EpochBeginContext): void {
    this.#epochBegan = this.#bar.start()
    this.#isFirst = true
  }

  override onBatchEnd(context: BatchEndContext): void {
    const { learner, epoch, epochs, train, numBatch, batchesPerEpoch, smoothLoss } = context
    if (!this.#hasBar) return
    // A fit that resumes has batches behind it.
    if (numBatch === 0 || this.#isFirst) this.#bar.begin(numBatch)
    this.#isFirst = false
    const done = numBatch + 1
    const total = Math.max(done, train ? batchesPerEpoch : (learner.data.validDl?.length ?? done))
    const title = `epoch ${epoch} (${epoch + 1} of ${epochs}) ${train ? 'train' : 'valid'}`
    this.#bar.update(done, total, title, `loss ${smoothLoss.toFixed(4)}`)
  }

  override onEpochEnd({ epoch, lastMetrics }: EpochEndContext): void {
    this.#bar.erase()
    const values = this.#monitors.map((name) => formatValue(lastMetrics[name]))
    this.#row([String(epoch), ...values, formatDuration((this.#now() - this.#epochBegan) / 1000)])
  }

  override onTrainEnd(_context: TrainEndContext): void {
    this.#bar.erase()
  }

  #row(cells: readonly string[]): void {
    const padded = cells.map((cell, i) => cell.padEnd(this.#widths[i]!))
    this.#stream.write(`${padded.join('  ').trimEnd()}\n`)
  }
}
