import { hostname } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { ConfigError } from '../src/engine/errors.ts'
import { AppendFile } from '../src/io/AppendFile.ts'
import type { SummaryValue } from '../src/io/tensorBoardEvent.ts'
import { tfRecord } from '../src/io/tfRecord.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type {
  BatchBeginContext,
  BatchEndContext,
  EpochBeginContext,
  EpochEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { count, fields, must } from '../src/learner/stateChecks.ts'

/** The format, which is loaded where it is written. */
const format = () => import('../src/io/tensorBoardEvent.ts')

export interface TensorBoardLoggerOptions {
  /** Folder below the Learner's path for all runs: `tensorboard --logdir` takes it. Default 'runs'. */
  folder?: string
  /** Folder of this run within it. Default: date and time of the first fit, as `2025-03-01_14-07-30`. */
  name?: string
  /** Training losses, rates and momenta every so many training batches. Default 25. */
  every?: number
  /** Also the distribution of each parameter, when each epoch ends. Default false. */
  histograms?: boolean
}

/**
 * Writes event files for TensorBoard: `loss/train`, `loss/trainSmooth`, `lr` (of each layer group, if there are several) and `momentum`
 * by training batch; `loss/valid`, `metrics/…` and, if asked, `parameters/…` when each epoch ends. Steps are training batches, counted
 * on over the fits of an instance. A fit that resumes goes on with the file as it was at the checkpoint, or, if it had no such logger then, begins one.
 */
export class TensorBoardLogger extends Callback {
  override order = 90
  override readonly runsInLrFind = false
  readonly folder: string
  readonly every: number
  readonly histograms: boolean
  /** The event file of the latest fit. */
  file: string | undefined
  #path = '.'
  #name: string | undefined
  readonly #givenName: string | undefined
  #events: AppendFile | undefined
  /** Training batches of earlier fits, and up to now. */
  #before = 0
  #step = 0
  #rates: SummaryValue[] = []

  constructor(options: TensorBoardLoggerOptions = {}) {
    super()
    rejectUnknownOptions('TensorBoardLogger', options, ['folder', 'name', 'every', 'histograms'])
    const { folder = 'runs', name, every = 25, histograms = false } = options
    checkCount('TensorBoardLogger', 'every', every, 1)
    if (!folder || name === '') {
      throw new ConfigError('TensorBoardLogger: folder and name must not be empty')
    }
    if (typeof histograms !== 'boolean') {
      throw new ConfigError(`TensorBoardLogger: histograms must be true or false, got ${String(histograms)}`)
    }
    this.folder = folder
    this.every = every
    this.histograms = histograms
    this.#name = this.#givenName = name
  }

  override async onTrainBegin({ learner, resuming }: TrainBeginContext): Promise<void> {
    this.#path = learner.path
    this.#before = this.#step
    // A fit that resumes is told its file later, if it had one.
    if (!resuming) await this.#open(eventFileName(), false)
  }

  override async onEpochBegin(_context: EpochBeginContext): Promise<void> {
    if (!this.#events) await this.#open(eventFileName(), false)
  }

  override stateDict(): CallbackState {
    return {
      name: this.#name,
      file: this.file === undefined ? undefined : basename(this.file),
      bytes: this.#events?.bytes ?? 0,
      before: this.#before,
      step: this.#step,
    }
  }

  /** What came after the checkpoint is done again: its events go. */
  override async loadStateDict(state: {
    name: string
    file: string
    bytes: number
    before: number
    step: number
  }): Promise<void> {
    // They become a path below the folder.
    const name = must(
      (value) => value === this.#givenName || (this.#givenName === undefined && isTimestamp(value)),
      this.#givenName === undefined ? 'the time at which the run began' : `"${this.#givenName}"`,
    )
    const file = must(isEventFileName, 'the name of an event file')
    fields({ name, file, bytes: count(), before: count(), step: count() })(state, 'TensorBoardLogger')
    this.#name = state.name
    if (!this.#events) await this.#open(state.file, true)
    await this.#events!.truncate(state.bytes)
    this.#before = state.before
    this.#step = state.step
  }

  /** Before schedules set those of the next batch. */
  override onBatchBegin({ train, learner: { optimizer } }: BatchBeginContext): void {
    if (!train || !this.#events) return
    const { lrs, momentum } = optimizer
    const rates = lrs.map((value, group) => ({ tag: lrs.length > 1 ? `lr/group${group}` : 'lr', value }))
    this.#rates = momentum === undefined ? rates : [...rates, { tag: 'momentum', value: momentum }]
  }

  override async onBatchEnd(context: BatchEndContext): Promise<void> {
    const { train, iteration, lossValue, smoothLoss, cancelled } = context
    if (!train || !this.#events) return
    this.#step = this.#before + iteration + 1
    if (cancelled || (iteration + 1) % this.every !== 0) return
    const losses = [
      { tag: 'loss/train', value: lossValue },
      { tag: 'loss/trainSmooth', value: smoothLoss },
    ]
    await this.#write([...losses, ...this.#rates], false)
  }

  override async onEpochEnd({ learner, lastMetrics, meanLoss }: EpochEndContext): Promise<void> {
    const values: SummaryValue[] = Number.isNaN(meanLoss) ? [] : [{ tag: 'loss/trainMean', value: meanLoss }]
    for (const [name, value] of Object.entries(lastMetrics)) {
      if (value === null || name === 'trainLoss') continue
      values.push({ tag: name === 'validLoss' ? 'loss/valid' : `metrics/${name}`, value })
    }
    if (this.histograms) {
      const { histogramOf } = await format()
      for (const [name, parameter] of learner.model.namedParameters()) {
        const numbers = Array.from(await parameter.data(), Number)
        values.push({ tag: `parameters/${name}`, value: histogramOf(numbers) })
      }
    }
    await this.#write(values)
  }

  override async onTrainEnd(_context: TrainEndContext): Promise<void> {
    await this.#events?.close()
    this.#events = undefined
  }

  async #open(file: string, keep: boolean): Promise<void> {
    this.#name ??= timestamp(new Date())
    this.file = join(resolve(this.#path, this.folder, this.#name), file)
    this.#events = await AppendFile.open('TensorBoardLogger', this.file, { keep })
    if (this.#events.bytes > 0) return
    const { encodeEvent } = await format()
    await this.#events.append(
      tfRecord(encodeEvent({ wallTime: Date.now() / 1000, fileVersion: 'brain.Event:2' })),
    )
  }

  async #write(values: readonly SummaryValue[], sync = true): Promise<void> {
    if (values.length === 0) return
    const { encodeEvent } = await format()
    const event = { wallTime: Date.now() / 1000, step: this.#step, values }
    await this.#events!.append(tfRecord(encodeEvent(event)), { sync })
  }
}

let files = 0

/** TensorBoard takes files with `tfevents` in their names, and reads those of a folder in the order of their names. */
function eventFileName(): string {
  const seconds = String(Math.floor(Date.now() / 1000)).padStart(10, '0')
  return `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${String(files++).padStart(4, '0')}`
}

function isEventFileName(value: unknown): boolean {
  return typeof value === 'string' && /^events\.out\.tfevents\.[^/\\\0]+$/.test(value)
}

function isTimestamp(value: unknown): boolean {
  return typeof value === 'string' && /^\d{4,}-\d\d-\d\d_\d\d-\d\d-\d\d$/.test(value)
}

function timestamp(date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  return `${day}_${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join('-')}`
}
