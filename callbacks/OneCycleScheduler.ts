import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import { type CallbackState, requireSame } from '../src/learner/callbackState.ts'
import type { BatchEndContext, EpochBeginContext, TrainBeginContext } from '../src/learner/events.ts'
import { type LearningRate, slice } from '../src/learner/lrRange.ts'
import { Scheduler } from '../src/learner/Scheduler.ts'
import { annealingCosine } from '../src/optim/annealing.ts'

export interface OneCycleOptions {
  /** Highest learning rate: a number, a slice, or one for each layer group. Default `slice(3e-3)`. */
  maxLr?: LearningRate
  /** Momentum (beta1 of Adam) at the ends, and at the highest rate. Default [0.95, 0.85]. */
  moms?: readonly [number, number]
  /** The first rate is `maxLr / divFactor`. Default 25. */
  divFactor?: number
  /** Share of the batches in which the rate rises. Default 0.3. */
  pctStart?: number
  /** The last rate is `maxLr / finalDiv`. Default `divFactor * 1e4`. */
  finalDiv?: number
  /** Epochs that the whole schedule spans, when this fit is a part of it. Default: the fit's epochs. */
  totalEpochs?: number
  /** Epoch (absolute) at which this fit takes the schedule up. Default 0. */
  startEpoch?: number
}

/** Rates (one for each layer group) and momentum at a batch. */
export interface OneCyclePoint {
  lr: number[]
  momentum: number
}

/**
 * Leslie Smith's one-cycle policy ("A disciplined approach to neural network hyper-parameters", 2018) as in fastai v1: the rate
 * rises from `maxLr / divFactor` to `maxLr` and falls to `maxLr / finalDiv`, each along half a cosine, while momentum goes the
 * other way. A pure function of the batch's number: past the last one it stays at the end values.
 *
 * @param steps training batches of the whole schedule
 * @param maxLr highest rate of each layer group
 */
export function oneCycle(
  steps: number,
  maxLr: readonly number[],
  { moms = [0.95, 0.85], divFactor = 25, pctStart = 0.3, finalDiv = divFactor * 1e4 }: OneCycleOptions = {},
): (iteration: number) => OneCyclePoint {
  if (!(pctStart >= 0 && pctStart <= 1))
    throw new ConfigError(`pctStart must be from 0 to 1, got ${pctStart}`)
  if (!(divFactor > 0 && finalDiv > 0)) {
    throw new ConfigError(`divFactor and finalDiv must be above 0, got ${divFactor} and ${finalDiv}`)
  }
  if (moms.length !== 2 || !moms.every((value) => value >= 0 && value < 1)) {
    throw new ConfigError(`moms must be two momenta of at least 0 and below 1, got [${moms.join(', ')}]`)
  }
  const rising = Math.max(1, Math.trunc(steps * pctStart))
  const falling = Math.max(1, steps - rising)
  const low = maxLr.map((lr) => lr / divFactor)
  const final = maxLr.map((lr) => lr / finalDiv)
  const lrUp = new Scheduler({ start: low, end: maxLr }, rising, annealingCosine)
  const lrDown = new Scheduler({ start: maxLr, end: final }, falling, annealingCosine)
  const momentumUp = new Scheduler({ start: moms[0], end: moms[1] }, rising, annealingCosine)
  const momentumDown = new Scheduler({ start: moms[1], end: moms[0] }, falling, annealingCosine)
  return (iteration) => {
    if (iteration >= steps) return { lr: final, momentum: moms[0] }
    if (iteration < rising) return { lr: [...lrUp.at(iteration)], momentum: momentumUp.at(iteration) }
    return { lr: [...lrDown.at(iteration - rising)], momentum: momentumDown.at(iteration - rising) }
  }
}

/** Steers rates and momentum along {@link oneCycle}. `learner.fitOneCycle` adds it. */
export class OneCycleScheduler extends Callback {
  override readonly runsInLrFind = false
  readonly options: OneCycleOptions
  #at: ((iteration: number) => OneCyclePoint) | undefined
  #steps = 0
  #totalEpochs = 0
  #shape: CallbackState = {}

  constructor(options: OneCycleOptions = {}) {
    super()
    const { startEpoch = 0, totalEpochs } = options
    if (!Number.isInteger(startEpoch) || startEpoch < 0) {
      throw new ConfigError(`startEpoch must be a whole number of at least 0, got ${startEpoch}`)
    }
    if (totalEpochs !== undefined && !(Number.isInteger(totalEpochs) && totalEpochs > 0)) {
      throw new ConfigError(`totalEpochs must be a whole number above 0, got ${totalEpochs}`)
    }
    this.options = options
  }

  override onTrainBegin({ learner, epochs, batchesPerEpoch }: TrainBeginContext) {
    const { maxLr = slice(3e-3), startEpoch = 0, totalEpochs = epochs } = this.options
    if (startEpoch >= epochs) {
      throw new ConfigError(
        `startEpoch ${startEpoch} is not below the ${epochs} epoch(s) asked for. Epochs are counted from the beginning of the ` +
          `whole run: to train ${epochs} more, ask for ${startEpoch + epochs}`,
      )
    }
    if (totalEpochs < epochs) {
      throw new ConfigError(`totalEpochs (${totalEpochs}) must be at least the ${epochs} epoch(s) asked for`)
    }
    this.#totalEpochs = totalEpochs
    this.#steps = totalEpochs * batchesPerEpoch
    const rates = learner.lrRange(maxLr)
    this.#at = oneCycle(this.#steps, rates, this.options)
    const { moms, divFactor, pctStart, finalDiv } = this.options
    this.#shape = { totalEpochs, batchesPerEpoch, maxLr: rates, moms, divFactor, pctStart, finalDiv }
    return startEpoch > 0 ? { epoch: startEpoch } : undefined
  }

  override stateDict(): CallbackState {
    return this.#shape
  }

  /** The schedule follows from the options and the batch's number. @throws CheckpointError if the options are others now */
  override loadStateDict(state: CallbackState): void {
    requireSame('OneCycleScheduler', state, this.#shape)
  }

  override onEpochBegin(context: EpochBeginContext) {
    this.#set(context, context.iteration)
  }

  override onBatchEnd(context: BatchEndContext) {
    if (!context.train) return undefined
    if (context.iteration >= this.#steps) return { stopEpoch: true, stopTraining: true }
    this.#set(context, context.iteration + 1)
    return undefined
  }

  override onEpochEnd({ epoch }: { epoch: number }) {
    return epoch >= this.#totalEpochs ? { stopTraining: true } : undefined
  }

  #set({ learner }: TrainBeginContext, iteration: number): void {
    const { lr, momentum } = this.#at!(iteration)
    learner.optimizer.lr = lr
    learner.optimizer.momentum = momentum
  }
}
