import { ConfigError } from '../src/engine/errors.ts'
import { writeFileAtomic } from '../src/io/atomicFile.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import { columnsOf, csvLine, formatDuration, formatValue } from '../src/learner/epochTable.ts'
import type {
  BatchBeginContext,
  BatchEndContext,
  EpochBeginContext,
  EpochEndContext,
  EpochMetrics,
  TrainBeginContext,
} from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import {
  anyNumber,
  bulk,
  count,
  fields,
  listOf,
  mapOf,
  nullable,
  optional,
  text,
} from '../src/learner/stateChecks.ts'
import { type Figure, lossesChart, lrFindChart, metricsChart, scheduleChart } from '../src/plot/index.ts'
import type { LrFindResult } from './LRFinder.ts'

/** One epoch of the history. */
export interface EpochRecord {
  /** Number of the fit, counted from 0. */
  readonly fit: number
  /** Number of the epoch within its fit, counted from 0. */
  readonly epoch: number
  /** `trainLoss` (smoothed), `validLoss` and the metrics; null where there was no validation. */
  readonly values: EpochMetrics
  /** Mean training loss over the epoch's samples. */
  readonly meanLoss: number
  /** Training batches recorded up to the end of the epoch, over all fits. */
  readonly batches: number
  readonly seconds: number
}

export interface RecorderPlotOptions {
  /** Values left out at the beginning. */
  skipStart?: number
  /** Values left out at the end. */
  skipEnd?: number
}

interface RecorderState {
  lrs: Float64Array
  momentums: Float64Array
  losses: Float64Array
  rawLosses: Float64Array
  epochs: readonly EpochRecord[]
  metricNames: readonly string[]
  lastSweep?: Recorder['lastSweep']
  fit: number
  /** Time that the running epoch has taken so far. */
  seconds: number
}

const list = bulk(Float64Array)
const numbers = listOf(anyNumber)
const epoch = fields({
  fit: count(),
  epoch: count(),
  values: mapOf(nullable(anyNumber)),
  meanLoss: anyNumber,
  batches: count(),
  seconds: anyNumber,
})
const sweep = fields({
  lrs: numbers,
  losses: numbers,
  suggestions: mapOf(nullable(anyNumber)),
  numIt: count(),
})
const recorded = fields({
  lrs: list,
  momentums: list,
  losses: list,
  rawLosses: list,
  epochs: listOf(epoch),
  metricNames: listOf(text),
  lastSweep: optional(sweep),
  fit: count(),
  seconds: anyNumber,
})

/**
 * The history of all fits of a Learner, one after another; `learner.recorder` is always there. Sweeps of the learning-rate
 * finder, validation and prediction leave it alone.
 */
export class Recorder extends Callback {
  override order = -10
  override readonly runsInLrFind = false

  /** Learning rate of each training batch (the last layer group's). */
  readonly lrs: number[] = []
  /** Momentum of each training batch (Adam's beta1); NaN for optimizers without. */
  readonly momentums: number[] = []
  /** Smoothed training loss after each batch. */
  readonly losses: number[] = []
  /** Training loss of each batch. */
  readonly rawLosses: number[] = []
  /** What each epoch ended with. */
  readonly epochs: EpochRecord[] = []
  /** Names of the metrics of the latest fit. */
  metricNames: readonly string[] = []
  /** The latest sweep of the learning-rate finder. */
  lastSweep: (LrFindResult & { numIt: number }) | undefined

  /** Those that the running batch began with. */
  #rates: { lr: number; momentum: number } | undefined
  #fit = -1
  #began = 0

  /** Validation loss of each epoch that had one. */
  get validLosses(): number[] {
    return this.#validated.map(({ values }) => values.validLoss!)
  }

  /** Metrics of each epoch that was validated or has any without, in the order of `metricNames`. */
  get metrics(): (number | null)[][] {
    return this.epochs.flatMap(({ values }) => {
      const row = this.metricNames.map((name) => values[name] ?? null)
      return isNumber(values.validLoss) || row.some(isNumber) ? [row] : []
    })
  }

  override onTrainBegin({ metricNames }: TrainBeginContext): void {
    this.#fit++
    this.metricNames = metricNames
  }

  override onEpochBegin(_context: EpochBeginContext): void {
    this.#began = performance.now()
  }

  override onBatchBegin({ train, learner }: BatchBeginContext): void {
    if (!train) return
    const { lr, momentum = Number.NaN } = learner.optimizer
    this.#rates = { lr, momentum }
  }

  override onBatchEnd({ train, lossValue, smoothLoss }: BatchEndContext): void {
    if (!train || !this.#rates) return
    // All lists grow together, so that they stay in step when a batch fails.
    this.lrs.push(this.#rates.lr)
    this.momentums.push(this.#rates.momentum)
    this.rawLosses.push(lossValue)
    this.losses.push(smoothLoss)
  }

  override onEpochEnd({ epoch, lastMetrics, meanLoss }: EpochEndContext): void {
    this.epochs.push({
      fit: this.#fit,
      epoch,
      values: lastMetrics,
      meanLoss,
      batches: this.losses.length,
      seconds: (performance.now() - this.#began) / 1000,
    })
  }

  override stateDict(): CallbackState {
    const { lrs, momentums, losses, rawLosses, epochs, metricNames } = this
    const batches = { lrs, momentums, losses, rawLosses }
    return {
      ...Object.fromEntries(Object.entries(batches).map(([name, list]) => [name, Float64Array.from(list)])),
      epochs: epochs.map((epoch) => ({ ...epoch })),
      metricNames,
      lastSweep: this.lastSweep && { ...this.lastSweep, suggestions: { ...this.lastSweep.suggestions } },
      fit: this.#fit,
      seconds: (performance.now() - this.#began) / 1000,
    }
  }

  override loadStateDict(state: RecorderState): void {
    recorded(state, 'Recorder')
    for (const name of ['lrs', 'momentums', 'losses', 'rawLosses'] as const) {
      this[name].length = 0
      for (const value of state[name]) this[name].push(value)
    }
    this.epochs.splice(0, this.epochs.length, ...state.epochs)
    this.metricNames = state.metricNames
    this.lastSweep = state.lastSweep
    this.#fit = state.fit
    this.#began = performance.now() - 1000 * state.seconds
  }

  // Figures ----------------------------------------------------------------------------------------------------------

  /**
   * The latest sweep of the learning-rate finder, with its suggestions marked. Left out are, unless told otherwise, the first
   * tenth of the sweep but no more than 10 batches, and the last 5, where the loss has diverged.
   * @throws ConfigError before the first `lrFind`
   */
  plot(options: RecorderPlotOptions & { suggestions?: boolean } = {}): Figure {
    rejectUnknownOptions('plot', options, ['skipStart', 'skipEnd', 'suggestions'])
    const { skipStart, skipEnd = 5, suggestions = true } = options
    if (skipStart !== undefined) checkCount('plot', 'skipStart', skipStart, 0)
    checkCount('plot', 'skipEnd', skipEnd, 0)
    if (!this.lastSweep) throw new ConfigError('there is no sweep to plot: await learner.lrFind() first')
    const { lrs, losses, suggestions: found, numIt } = this.lastSweep
    const first = skipStart ?? Math.min(10, Math.floor(numIt / 10))
    const end = losses.length - skipEnd
    const [from, to] = end - first > 1 ? [first, end] : [0, losses.length]
    return lrFindChart(lrs.slice(from, to), losses.slice(from, to), suggestions ? { ...found } : {})
  }

  /** Training loss by batch, smoothed and (with `raw`) as it was, and validation loss by epoch, over all fits. */
  plotLosses(options: RecorderPlotOptions & { raw?: boolean } = {}): Figure {
    rejectUnknownOptions('plotLosses', options, ['skipStart', 'skipEnd', 'raw'])
    const { skipStart = 0, skipEnd = 0, raw = true } = options
    checkCount('plotLosses', 'skipStart', skipStart, 0)
    checkCount('plotLosses', 'skipEnd', skipEnd, 0)
    this.#needBatches()
    const end = this.losses.length - skipEnd
    if (end <= skipStart) {
      throw new ConfigError(
        `plotLosses: skipStart ${skipStart} and skipEnd ${skipEnd} leave nothing of ${this.losses.length} batches`,
      )
    }
    const shown = this.#validated.filter(({ batches }) => batches > skipStart && batches <= end)
    return lossesChart(
      this.losses.slice(skipStart, end),
      shown.map(({ values }) => values.validLoss!),
      shown.map(({ batches }) => batches),
      { firstBatch: skipStart, ...(raw && { rawLosses: this.rawLosses.slice(skipStart, end) }) },
    )
  }

  /** Learning rate and, beside it, momentum by batch. */
  plotLr({ showMomentum = true }: { showMomentum?: boolean } = {}): Figure {
    this.#needBatches()
    const hasMomentum = showMomentum && this.momentums.some(Number.isFinite)
    return scheduleChart(this.lrs, hasMomentum ? this.momentums : undefined)
  }

  /** Each metric by epoch, counted over all fits, of the epochs that have it. */
  plotMetrics(): Figure {
    const column = (name: string) => this.epochs.map(({ values }) => values[name] ?? null)
    return metricsChart(Object.fromEntries(this.metricNames.map((name) => [name, column(name)])))
  }

  // Text -------------------------------------------------------------------------------------------------------------

  /** The history as CSV: epoch (counted over all fits), trainLoss, validLoss, metrics, time. */
  toCsv(): string {
    const names = [...new Set(this.epochs.flatMap(({ values }) => Object.keys(values)))]
    const rows = this.epochs.map(({ values, seconds }, i) => [
      String(i),
      ...names.map((name) => formatValue(values[name])),
      formatDuration(seconds),
    ])
    return [columnsOf(names), ...rows].map(csvLine).join('')
  }

  /** Writes {@link toCsv} to a file, whole or not at all; its folder is made when missing. Returns the path. */
  async saveHistory(path: string): Promise<string> {
    await writeFileAtomic(path, this.toCsv(), { error: ConfigError })
    return path
  }

  get #validated(): readonly EpochRecord[] {
    return this.epochs.filter(({ values }) => isNumber(values.validLoss))
  }

  #needBatches(): void {
    if (this.losses.length === 0)
      throw new ConfigError('there is no training to plot: await learner.fit(…) first')
  }
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number'
}
