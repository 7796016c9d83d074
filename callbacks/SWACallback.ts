import { ConfigError } from '../src/engine/errors.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type {
  BatchBeginContext,
  BatchEndContext,
  EpochBeginContext,
  EpochEndContext,
  TrainBeginContext,
} from '../src/learner/events.ts'
import type { LearningRate } from '../src/learner/lrRange.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { count, truth } from '../src/learner/stateChecks.ts'
import { WeightAverageCallback, type WeightAverageOptions } from './WeightAverageCallback.ts'

export interface SWAOptions extends WeightAverageOptions {
  /** First epoch whose weights count. Default: three quarters of the epochs have passed. */
  startEpoch?: number
  /** Rate from that epoch on, high enough to go on exploring. Default: whatever rate or schedule the fit has. */
  lr?: LearningRate
  /** Statistics of batch norm are computed anew by a pass over the training data, or averaged too. Default 'recompute'. */
  batchNorm?: 'average' | 'recompute'
}

/**
 * Stochastic weight averaging (Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018): the mean
 * of the weights at the ends of the last epochs. See {@link WeightAverageCallback} for where it stands when. With batch norm, each
 * validation takes a pass over the training data more; `validate: false` leaves it at one, at the end.
 */
export class SWACallback extends WeightAverageCallback {
  readonly startEpoch: number | undefined
  readonly lr: LearningRate | undefined
  protected override readonly recomputes: boolean
  /** Epochs whose weights are in the average. */
  epochs = 0
  #first = 0
  #rates: number[] | undefined
  /** Whether the running epoch is in the average. */
  #counted = false

  constructor(options: SWAOptions = {}) {
    rejectUnknownOptions('SWACallback', options, ['startEpoch', 'lr', 'batchNorm', 'validate'])
    const { startEpoch, lr, batchNorm = 'recompute', validate = true } = options
    super(validate)
    if (startEpoch !== undefined) checkCount('SWACallback', 'startEpoch', startEpoch, 0)
    if (batchNorm !== 'average' && batchNorm !== 'recompute') {
      throw new ConfigError(
        `SWACallback: batchNorm must be 'average' or 'recompute', got ${String(batchNorm)}`,
      )
    }
    this.startEpoch = startEpoch
    this.lr = lr
    this.recomputes = batchNorm === 'recompute'
  }

  override onTrainBegin(context: TrainBeginContext): void {
    super.onTrainBegin(context)
    this.#first = this.startEpoch ?? Math.floor(0.75 * context.epochs)
    if (this.#first >= context.epochs) {
      throw new ConfigError(
        `SWACallback: startEpoch ${this.#first} is never reached in ${context.epochs} epoch(s), counted from 0`,
      )
    }
    this.#rates = this.lr === undefined ? undefined : context.learner.lrRange(this.lr)
    this.epochs = 0
    this.#counted = false
  }

  override steering(): CallbackState {
    return { ...super.steering(), startEpoch: this.#first, lr: this.#rates }
  }

  override stateDict(): CallbackState {
    return { ...super.stateDict(), epochs: this.epochs, counted: this.#counted }
  }

  override loadStateDict(
    state: Parameters<WeightAverageCallback['loadStateDict']>[0] & { epochs: number; counted: boolean },
  ) {
    count()(state.epochs, 'SWACallback.epochs')
    truth(state.counted, 'SWACallback.counted')
    super.loadStateDict(state)
    this.epochs = state.epochs
    this.#counted = state.counted
  }

  override onEpochBegin(context: EpochBeginContext): void {
    super.onEpochBegin(context)
    this.#counted = false
    this.#setRate(context)
  }

  /** After schedules have set their rate for the next batch. */
  override onBatchEnd(context: BatchEndContext): void {
    if (context.train) this.#setRate(context)
  }

  override async onBatchBegin(context: BatchBeginContext): Promise<void> {
    // The fit's own validation comes once the epoch is trained; others may validate in the middle of it.
    if (!context.train && context.epochs > 0) this.#count(context.epoch)
    await super.onBatchBegin(context)
  }

  override async onEpochEnd(context: EpochEndContext): Promise<void> {
    this.#count(context.epoch)
    await super.onEpochEnd(context)
  }

  #count(epoch: number): void {
    if (this.#counted || epoch < this.#first) return
    this.#counted = true
    this.epochs++
    this.average(1 / this.epochs)
  }

  #setRate({ epoch, learner }: TrainBeginContext): void {
    if (this.#rates && epoch >= this.#first) learner.optimizer.lr = this.#rates
  }
}
