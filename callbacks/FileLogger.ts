import { resolve } from 'node:path'
import { ConfigError } from '../src/engine/errors.ts'
import { AppendFile } from '../src/io/AppendFile.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { EpochBeginContext, TrainBeginContext, TrainEndContext } from '../src/learner/events.ts'
import { count } from '../src/learner/stateChecks.ts'

export interface FileLoggerOptions {
  /** File below the Learner's path; the logger's own extension is added if it has none. Default 'history'. */
  filename?: string
  /** Go on with a file that is there, instead of writing it anew for each fit. Default false. */
  append?: boolean
}

/**
 * Base of callbacks that write lines to a file as a fit goes on. A fit that resumes goes on with the lines that were there at the
 * checkpoint; a logger that was not there then begins as in a new fit.
 */
export abstract class FileLogger extends Callback {
  override order = 90
  override readonly runsInLrFind = false
  readonly filename: string
  readonly append: boolean
  /** The file of the latest fit. */
  file: string | undefined
  /** Open during a fit. */
  protected lines: AppendFile | undefined
  protected monitors: readonly string[] = []
  #began = 0

  constructor({ filename = 'history', append = false }: FileLoggerOptions, extension: `.${string}`) {
    super()
    if (!filename) throw new ConfigError(`${new.target.name}: filename must not be empty`)
    this.filename = /\.[^/\\]+$/.test(filename) ? filename : `${filename}${extension}`
    this.append = append
  }

  /** @throws AnnealError if the file cannot be written */
  override async onTrainBegin({ learner, monitors, resuming }: TrainBeginContext): Promise<void> {
    this.monitors = monitors
    this.file = resolve(learner.path, this.filename)
    // A fit that resumes is told later whether the file has lines of its own.
    if (!resuming) await this.open(this.append)
  }

  /** @param keep go on after what the file holds */
  protected async open(keep: boolean): Promise<void> {
    this.lines = await AppendFile.open(this.constructor.name, this.file!, { keep })
  }

  override stateDict(): CallbackState {
    return { bytes: this.lines?.bytes ?? 0 }
  }

  /** What came after the checkpoint is done again: its lines go. */
  override async loadStateDict({ bytes }: { bytes: number }): Promise<void> {
    count()(bytes, `${this.constructor.name}.bytes`)
    if (!this.lines) await this.open(true)
    await this.lines!.truncate(bytes)
  }

  override async onEpochBegin(_context: EpochBeginContext): Promise<void> {
    if (!this.lines) await this.open(this.append)
    this.#began = performance.now()
  }

  /** Since the epoch began. */
  protected get seconds(): number {
    return (performance.now() - this.#began) / 1000
  }

  override async onTrainEnd(_context?: TrainEndContext): Promise<void> {
    await this.lines?.close()
    this.lines = undefined
  }
}
