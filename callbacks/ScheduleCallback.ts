import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import { type CallbackState, requireSame } from '../src/learner/callbackState.ts'
import type { BatchEndContext, EpochBeginContext, TrainBeginContext } from '../src/learner/events.ts'
import type { ScheduledValue } from '../src/learner/Scheduler.ts'

/** Which epochs of a longer run a fit is. */
export interface ScheduleSpan {
  /** Epochs that the whole schedule spans, when this fit is a part of it. Default: the fit's epochs. */
  totalEpochs?: number
  /** Epoch (absolute) at which this fit takes the schedule up. Default 0. */
  startEpoch?: number
}

/** Hyper-parameters at a batch: one value for all layer groups or one for each. What is left out stays as it is. */
export interface SchedulePoint {
  readonly lr?: readonly number[]
  readonly momentum?: ScheduledValue
  /** Adam's beta2, RMSprop's alpha. */
  readonly beta?: ScheduledValue
  readonly wd?: ScheduledValue
}

/** A schedule that knows its fit. */
export interface SchedulePlan {
  /** A pure function of the batch's number, counted from the beginning of the whole run. */
  at(iteration: number): SchedulePoint
  /** Training ends after so many batches. Default: when the epochs are over. */
  readonly batches?: number
  /** What the schedule follows from: a fit that resumes must have the same. */
  readonly shape: CallbackState
}

/**
 * Base of callbacks that set rates, momenta and the like before each training batch, from its number alone: a fit that takes a
 * schedule up in the middle goes on with the same bits.
 */
export abstract class ScheduleCallback extends Callback {
  override readonly runsInLrFind = false
  readonly span: ScheduleSpan
  #plan: SchedulePlan | undefined

  constructor(span: ScheduleSpan = {}) {
    super()
    const { startEpoch = 0, totalEpochs } = span
    if (!Number.isInteger(startEpoch) || startEpoch < 0) {
      throw new ConfigError(`startEpoch must be a whole number of at least 0, got ${startEpoch}`)
    }
    if (totalEpochs !== undefined && !(Number.isInteger(totalEpochs) && totalEpochs > 0)) {
      throw new ConfigError(`totalEpochs must be a whole number above 0, got ${totalEpochs}`)
    }
    this.span = { startEpoch, ...(totalEpochs !== undefined && { totalEpochs }) }
  }

  /** The schedule for a fit whose whole run has `batches` training batches. */
  protected abstract plan(context: TrainBeginContext, batches: number): SchedulePlan

  override onTrainBegin(context: TrainBeginContext) {
    const { epochs, batchesPerEpoch } = context
    const { startEpoch = 0, totalEpochs = epochs } = this.span
    if (startEpoch >= epochs) {
      throw new ConfigError(
        `startEpoch ${startEpoch} is not below the ${epochs} epoch(s) asked for. Epochs are counted from the beginning of the ` +
          `whole run: to train ${epochs} more, ask for ${startEpoch + epochs}`,
      )
    }
    if (totalEpochs < epochs) {
      throw new ConfigError(`totalEpochs (${totalEpochs}) must be at least the ${epochs} epoch(s) asked for`)
    }
    const plan = this.plan(context, totalEpochs * batchesPerEpoch)
    this.#plan = { ...plan, shape: { totalEpochs, batchesPerEpoch, ...plan.shape } }
    return startEpoch > 0 ? { epoch: startEpoch } : undefined
  }

  override stateDict(): CallbackState {
    return this.#plan?.shape ?? {}
  }

  /** @throws CheckpointError if the schedule's options are others now */
  override loadStateDict(state: CallbackState): void {
    requireSame(this.constructor.name, state, this.#plan!.shape)
  }

  override onEpochBegin(context: EpochBeginContext): void {
    this.#set(context, context.iteration)
  }

  override onBatchEnd(context: BatchEndContext) {
    if (!context.train) return undefined
    const done = context.iteration + 1
    this.#set(context, done)
    const ends = this.#plan?.batches !== undefined && done >= this.#plan.batches
    return ends ? { stopEpoch: true, stopTraining: true } : undefined
  }

  #set({ learner: { optimizer } }: TrainBeginContext, iteration: number): void {
    const { lr, momentum, beta, wd } = this.#plan!.at(iteration)
    if (lr !== undefined) optimizer.lr = lr
    if (momentum !== undefined) optimizer.momentum = momentum
    if (beta !== undefined) optimizer.beta = beta
    if (wd !== undefined) optimizer.wd = wd
  }
}
