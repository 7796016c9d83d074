import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import { columnsOf, formatDuration, formatValue } from '../src/learner/epochTable.ts'
import type {
  EpochBeginContext,
  EpochEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'

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
  #handle: FileHandle | undefined
  #monitors: readonly string[] = []
  #began = 0
  #bytes = 0

  constructor({ filename = 'history', append = false }: CSVLoggerOptions = {}) {
    super()
    if (!filename) throw new ConfigError('CSVLogger: filename must not be empty')
    this.filename = /\.[^/\\]+$/.test(filename) ? filename : `${filename}.csv`
    this.append = append
  }

  override async onTrainBegin({ learner, monitors, resuming }: TrainBeginContext): Promise<void> {
    this.#monitors = monitors
    this.file = resolve(learner.path, this.filename)
    await this.#attempt(async () => {
      await mkdir(dirname(this.file!), { recursive: true })
      this.#handle = await open(this.file!, this.append || resuming ? 'a' : 'w')
      this.#bytes = (await this.#handle.stat()).size
      if (this.#bytes === 0) await this.#write(columnsOf(monitors))
    })
  }

  override stateDict(): CallbackState {
    return { bytes: this.#bytes }
  }

  /** Epochs after the checkpoint are done again: their lines go. */
  override async loadStateDict({ bytes }: { bytes: number }): Promise<void> {
    await this.#attempt(async () => {
      if ((await this.#handle!.stat()).size > bytes) await this.#handle!.truncate(bytes)
      this.#bytes = bytes
    })
  }

  override onEpochBegin(_context: EpochBeginContext): void {
    this.#began = performance.now()
  }

  override async onEpochEnd({ epoch, lastMetrics }: EpochEndContext): Promise<void> {
    const values = this.#monitors.map((name) => formatValue(lastMetrics[name]))
    const time = formatDuration((performance.now() - this.#began) / 1000)
    await this.#attempt(() => this.#write([String(epoch), ...values, time]))
  }

  override async onTrainEnd(_context: TrainEndContext): Promise<void> {
    await this.#handle?.close()
    this.#handle = undefined
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (cause) {
      await this.#handle?.close()
      this.#handle = undefined
      throw new ConfigError(`CSVLogger cannot write ${this.file}: ${(cause as Error).message}`, { cause })
    }
  }

  async #write(cells: readonly string[]): Promise<void> {
    const line = Buffer.from(`${cells.join(',')}\n`)
    await this.#handle!.appendFile(line)
    await this.#handle!.sync()
    this.#bytes += line.length
  }
}
