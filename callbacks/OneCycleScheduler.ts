import { ConfigError } from '../src/engine/errors.ts'
import type { TrainBeginContext } from '../src/learner/events.ts'
import { type LearningRate, slice } from '../src/learner/lrRange.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { Scheduler } from '../src/learner/Scheduler.ts'
import { annealingCosine } from '../src/optim/annealing.ts'
import { ScheduleCallback, type SchedulePlan, type ScheduleSpan } from './ScheduleCallback.ts'

export interface OneCycleOptions extends ScheduleSpan {
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
export class OneCycleScheduler extends ScheduleCallback {
  readonly options: OneCycleOptions

  constructor(options: OneCycleOptions = {}) {
    const { startEpoch, totalEpochs } = options
    super({
      ...(startEpoch !== undefined && { startEpoch }),
      ...(totalEpochs !== undefined && { totalEpochs }),
    })
    rejectUnknownOptions('OneCycleScheduler', options, [
      'maxLr',
      'moms',
      'divFactor',
      'pctStart',
      'finalDiv',
      'totalEpochs',
      'startEpoch',
    ])
    this.options = options
  }

  protected override plan({ learner }: TrainBeginContext, batches: number): SchedulePlan {
    const { maxLr = slice(3e-3), moms, divFactor, pctStart, finalDiv } = this.options
    const rates = learner.lrRange(maxLr)
    return {
      at: oneCycle(batches, rates, this.options),
      shape: { maxLr: rates, moms, divFactor, pctStart, finalDiv },
    }
  }
}
