import type { BatchBeginContext, BatchEndContext, EpochEndContext } from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { FileLogger, type FileLoggerOptions } from './FileLogger.ts'

/** The extension is `.jsonl`. */
export interface JSONLoggerOptions extends FileLoggerOptions {
  /** Also a line for every so many training batches. Default: for none. */
  batches?: number
}

/**
 * Writes JSON lines: an object for each epoch, and for batches if asked.
 *
 *     {"type":"batch","iteration":9,"epoch":0,"batch":9,"loss":1.93,"smoothLoss":2.01,"lr":0.003,"momentum":0.95}
 *     {"type":"epoch","epoch":0,"trainLoss":1.62,"meanLoss":1.71,"validLoss":1.5,"accuracy":0.44,"seconds":3.2}
 *
 * With several layer groups a batch also has the rates of all, as `lrs`. What is not there is null. JSON has no numbers for NaN and
 * infinities: they are the texts "NaN", "Infinity" and "-Infinity". A fit that resumes goes on with the lines that were there at the
 * checkpoint. Each epoch's end is synced to the disk.
 */
export class JSONLogger extends FileLogger {
  readonly batches: number | undefined
  #rates: { lr: number; lrs?: number[]; momentum: number | null } | undefined

  constructor(options: JSONLoggerOptions = {}) {
    rejectUnknownOptions('JSONLogger', options, ['filename', 'append', 'batches'])
    const { batches, ...file } = options
    super(file, '.jsonl')
    if (batches !== undefined) checkCount('JSONLogger', 'batches', batches, 1)
    this.batches = batches
  }

  /** Before schedules set those of the next batch. */
  override onBatchBegin({ train, learner: { optimizer } }: BatchBeginContext): void {
    if (!train || this.batches === undefined || !this.lines) return
    const { lr, lrs, momentum = null } = optimizer
    this.#rates = { lr, ...(lrs.length > 1 && { lrs }), momentum }
  }

  override async onBatchEnd(context: BatchEndContext): Promise<void> {
    const { train, iteration, epoch, numBatch, lossValue, smoothLoss, cancelled } = context
    if (!train || cancelled || !this.lines) return
    if (this.batches === undefined || (iteration + 1) % this.batches !== 0) return
    const losses = { loss: lossValue, smoothLoss }
    const record = { type: 'batch', iteration, epoch, batch: numBatch, ...losses, ...this.#rates }
    await this.#write(record, false)
  }

  override async onEpochEnd({ epoch, lastMetrics, meanLoss }: EpochEndContext): Promise<void> {
    const { trainLoss = null, ...values } = Object.fromEntries(
      this.monitors.map((name) => [name, lastMetrics[name] ?? null]),
    )
    const seconds = Math.round(1000 * this.seconds) / 1000
    await this.#write({ type: 'epoch', epoch, trainLoss, meanLoss, ...values, seconds })
  }

  async #write(
    record: Readonly<Record<string, string | number | null | readonly number[]>>,
    sync = true,
  ): Promise<void> {
    const json = JSON.stringify(record, (_name, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
    )
    await this.lines!.append(`${json}\n`, { sync })
  }
}
