import { resolve } from 'node:path'
import { ConfigError } from '../src/engine/errors.ts'
import { AppendFile } from '../src/io/AppendFile.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type {
  BatchEndContext,
  EpochBeginContext,
  EpochEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'

export interface JSONLoggerOptions {
  /** File below the Learner's path; `.jsonl` is added if it has no extension. Default 'history'. */
  filename?: string
  /** Go on with a file that is there, instead of writing it anew for each fit. Default false. */
  append?: boolean
  /** Also a line for every so many training batches. Default: for none. */
  batches?: number
}

/**
 * Writes JSON lines: an object for each epoch, and for batches if asked.
 *
 *     {"type":"batch","iteration":9,"epoch":0,"batch":9,"loss":1.93,"smoothLoss":2.01,"lr":0.003,"momentum":0.95}
 *     {"type":"epoch","epoch":0,"trainLoss":1.62,"meanLoss":1.71,"validLoss":1.5,"accuracy":0.44,"seconds":3.2}
 *
 * What is not there is null. JSON has no numbers for NaN and infinities: they are the texts "NaN", "Infinity" and "-Infinity". A fit
 * that resumes goes on with the lines that were there at the checkpoint. Each epoch's end is synced to the disk.
 */
export class JSONLogger extends Callback {
  override order = 90
  override readonly runsInLrFind = false
  readonly filename: string
  readonly append: boolean
  readonly batches: number | undefined
  /** The file of the latest fit. */
  file: string | undefined
  #lines: AppendFile | undefined
  #monitors: readonly string[] = []
  #rates: { lr: number; momentum: number | null } | undefined
  #began = 0

  constructor(options: JSONLoggerOptions = {}) {
    super()
    rejectUnknownOptions('JSONLogger', options, ['filename', 'append', 'batches'])
    const { filename = 'history', append = false, batches } = options
    if (!filename) throw new ConfigError('JSONLogger: filename must not be empty')
    if (batches !== undefined) checkCount('JSONLogger', 'batches', batches, 1)
    this.filename = /\.[^/\\]+$/.test(filename) ? filename : `${filename}.jsonl`
    this.append = append
    this.batches = batches
  }

  override async onTrainBegin({ learner, monitors, resuming }: TrainBeginContext): Promise<void> {
    this.#monitors = monitors
    this.file = resolve(learner.path, this.filename)
    this.#lines = await AppendFile.open('JSONLogger', this.file, { keep: this.append || resuming })
  }

  override stateDict(): CallbackState {
    return { bytes: this.#lines?.bytes ?? 0 }
  }

  /** What came after the checkpoint is done again: its lines go. */
  override async loadStateDict({ bytes }: { bytes: number }): Promise<void> {
    await this.#lines!.truncate(bytes)
  }

  override onEpochBegin(_context: EpochBeginContext): void {
    this.#began = performance.now()
  }

  /** Before schedules set those of the next batch. */
  override onBatchBegin({ train, learner: { optimizer } }: { train: boolean } & TrainBeginContext): void {
    if (train && this.batches !== undefined && this.#lines)
      this.#rates = { lr: optimizer.lr, momentum: optimizer.momentum ?? null }
  }

  override async onBatchEnd(context: BatchEndContext): Promise<void> {
    const { train, iteration, epoch, numBatch, lossValue, smoothLoss } = context
    if (!train || !this.#lines || this.batches === undefined || (iteration + 1) % this.batches !== 0) return
    const losses = { loss: lossValue, smoothLoss }
    const record = { type: 'batch', iteration, epoch, batch: numBatch, ...losses, ...this.#rates }
    await this.#write(record, false)
  }

  override async onEpochEnd({ epoch, lastMetrics, meanLoss }: EpochEndContext): Promise<void> {
    const { trainLoss = null, ...values } = Object.fromEntries(
      this.#monitors.map((name) => [name, lastMetrics[name] ?? null]),
    )
    const seconds = Math.round(performance.now() - this.#began) / 1000
    await this.#write({ type: 'epoch', epoch, trainLoss, meanLoss, ...values, seconds })
  }

  override async onTrainEnd(_context: TrainEndContext): Promise<void> {
    await this.#lines?.close()
    this.#lines = undefined
  }

  async #write(record: Readonly<Record<string, string | number | null>>, sync = true): Promise<void> {
    const json = JSON.stringify(record, (_name, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
    )
    await this.#lines!.append(`${json}\n`, { sync })
  }
}
