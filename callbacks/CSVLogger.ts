import { resolve } from 'node:path'
import { ConfigError } from '../src/engine/errors.ts'
import { AppendFile } from '../src/io/AppendFile.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import { columnsOf, csvLine, formatDuration, formatValue } from '../src/learner/epochTable.ts'
import type {
  EpochBeginContext,
  EpochEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'

export interface CSVLoggerOptions {
  /** File below the Learner's path; `.csv` is added if it has no extension. Default 'history'. */
  filename?: string
  /** Go on with a file that is there, instead of writing it anew for each fit. Default false. */
  append?: boolean
}

/**
 * Writes a line for each epoch (epoch, trainLoss, validLoss, metrics, time) to a CSV file, and syncs it to the disk. A fit that resumes
 * goes on with the lines that were there at the checkpoint.
 */
export class CSVLogger extends Callback {
  override order = 90
  override readonly runsInLrFind = false
  readonly filename: string
  readonly append: boolean
  /** The file of the latest fit. */
  file: string | undefined
  #lines: AppendFile | undefined
  #monitors: readonly string[] = []
  #began = 0

  constructor(options: CSVLoggerOptions = {}) {
    super()
    rejectUnknownOptions('CSVLogger', options, ['filename', 'append'])
    const { filename = 'history', append = false } = options
    if (!filename) throw new ConfigError('CSVLogger: filename must not be empty')
    this.filename = /\.[^/\\]+$/.test(filename) ? filename : `${filename}.csv`
    this.append = append
  }

  override async onTrainBegin({ learner, monitors, resuming }: TrainBeginContext): Promise<void> {
    this.#monitors = monitors
    this.file = resolve(learner.path, this.filename)
    this.#lines = await AppendFile.open('CSVLogger', this.file, { keep: this.append || resuming })
    const header = csvLine(columnsOf(monitors))
    const found = await this.#lines.firstLine()
    if (found === undefined) return this.#lines.append(header)
    if (`${found}\n` === header) return
    await this.onTrainEnd()
    throw new ConfigError(
      `CSVLogger cannot go on with ${this.file}: its columns are ${found}, those of this fit ${header.trim()}. Choose another file`,
    )
  }

  override stateDict(): CallbackState {
    return { bytes: this.#lines?.bytes ?? 0 }
  }

  /** Epochs after the checkpoint are done again: their lines go. */
  override async loadStateDict({ bytes }: { bytes: number }): Promise<void> {
    await this.#lines!.truncate(bytes)
  }

  override onEpochBegin(_context: EpochBeginContext): void {
    this.#began = performance.now()
  }

  override async onEpochEnd({ epoch, lastMetrics }: EpochEndContext): Promise<void> {
    const values = this.#monitors.map((name) => formatValue(lastMetrics[name]))
    const time = formatDuration((performance.now() - this.#began) / 1000)
    await this.#lines!.append(csvLine([String(epoch), ...values, time]))
  }

  override async onTrainEnd(_context?: TrainEndContext): Promise<void> {
    await this.#lines?.close()
    this.#lines = undefined
  }
}
