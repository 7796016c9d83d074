import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { BatchEndContext, TrainBeginContext, TrainEndContext } from '../src/learner/events.ts'
import { type LearningRate, Slice } from '../src/learner/lrRange.ts'
import { type LrSuggestions, suggestLrs } from '../src/learner/lrSuggestions.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { Scheduler } from '../src/learner/Scheduler.ts'
import { type Snapshot, type SweepContext, takeSnapshot } from '../src/learner/snapshot.ts'
import { annealingExp } from '../src/optim/annealing.ts'

export interface LRFinderOptions {
  /** First rate; a slice or list gives each layer group its own. Default 1e-7. */
  startLr?: LearningRate
  /** Rate after `numIt` batches. Default 10. */
  endLr?: LearningRate
  /** Batches of a full sweep, at least 6. Default 100. */
  numIt?: number
  /** Stop when the smoothed loss exceeds four times its minimum, or is not finite. Default true. */
  stopDiv?: boolean
}

/** What a sweep found. */
export interface LrFindResult {
  /** Rate (of the last layer group) of each batch. */
  lrs: number[]
  /** Smoothed loss after each batch. */
  losses: number[]
  suggestions: LrSuggestions
}

/**
 * Raises the rate exponentially from batch to batch and watches the smoothed loss (Smith, "Cyclical learning rates", 2017; as in
 * fastai). It takes a snapshot in memory before and puts everything back at the end, errors or not. `learner.lrFind` runs it.
 */
export class LRFinder extends Callback {
  /** Its snapshot comes before anything that others do when a fit begins, such as drawing random numbers. */
  override order = -1000
  readonly startLr: LearningRate
  readonly endLr: LearningRate
  readonly numIt: number
  readonly stopDiv: boolean
  #schedule: Scheduler<readonly number[]> | undefined
  #snapshot: Snapshot | undefined
  #best = Number.POSITIVE_INFINITY
  readonly #lrs: number[] = []
  readonly #losses: number[] = []

  constructor(options: LRFinderOptions = {}) {
    super()
    rejectUnknownOptions('LRFinder', options, ['startLr', 'endLr', 'numIt', 'stopDiv'])
    const { startLr = 1e-7, endLr = 10, numIt = 100, stopDiv = true } = options
    if (typeof stopDiv !== 'boolean') {
      throw new ConfigError(`lrFind: stopDiv must be true or false, got ${String(stopDiv)}`)
    }
    if (!Number.isInteger(numIt) || numIt < 6) {
      throw new ConfigError(`lrFind: numIt must be a whole number of at least 6, got ${String(numIt)}`)
    }
    this.startLr = startLr
    this.endLr = endLr
    this.numIt = numIt
    this.stopDiv = stopDiv
  }

  get result(): LrFindResult {
    const lrs = [...this.#lrs]
    const losses = [...this.#losses]
    return { lrs, losses, suggestions: suggestLrs(lrs, losses, this.numIt) }
  }

  override async onTrainBegin({ learner }: TrainBeginContext) {
    const start = learner.lrRange(this.startLr)
    const end = learner.lrRange(this.endLr)
    if (!start.every((lr, group) => lr > 0 && lr < end[group]!)) {
      throw new ConfigError(
        `lrFind: startLr must be above 0 and below endLr, got ${show(this.startLr)} and ${show(this.endLr)}`,
      )
    }
    this.#snapshot = await takeSnapshot(learner)
    this.#schedule = new Scheduler<readonly number[]>({ start, end }, this.numIt, annealingExp)
    this.#best = Number.POSITIVE_INFINITY
    this.#lrs.length = this.#losses.length = 0
    learner.optimizer.lr = start
    return { skipValidate: true }
  }

  override onEpochBegin({ callbacks }: SweepContext): void {
    this.#snapshot?.takeStates(callbacks)
  }

  override onBatchEnd({ learner, smoothLoss, train, cancelled }: BatchEndContext) {
    if (!train || cancelled) return undefined
    this.#lrs.push(learner.optimizer.lr)
    this.#losses.push(smoothLoss)
    this.#best = Math.min(this.#best, smoothLoss)
    learner.optimizer.lr = this.#schedule!.step()
    // Four times the best; said so that it also holds for losses below zero, as critics have. NaN diverges too.
    const diverges = this.stopDiv && !(smoothLoss <= this.#best + 3 * Math.abs(this.#best))
    return this.#schedule!.isDone || diverges ? { stopEpoch: true, stopTraining: true } : undefined
  }

  override async onTrainEnd(_context: TrainEndContext): Promise<void> {
    await this.#snapshot?.restore()
    this.#snapshot = undefined
  }
}

const show = (lr: LearningRate) => (lr instanceof Slice ? lr.toString() : String(lr))
