import { ConfigError } from '../src/engine/errors.ts'
import type { TrainBeginContext } from '../src/learner/events.ts'
import { type LearningRate, slice } from '../src/learner/lrRange.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { type AnnealingCurve, annealingCosine } from '../src/optim/annealing.ts'
import {
  ScheduleCallback,
  type SchedulePlan,
  type SchedulePoint,
  type ScheduleSpan,
} from './ScheduleCallback.ts'

export interface FlatCosineOptions extends ScheduleSpan {
  /** Rate of the flat part: a number, a slice, or one for each layer group. Default `slice(3e-3)`. */
  lr?: LearningRate
  /** Share of the batches in the flat part. Default 0.72. */
  startPct?: number
  /** Momentum (beta1 of Adam) in the flat part, and in the falling one. Default [0.95, 0.85]. */
  moms?: readonly [number, number]
  /** Along which the rate falls to 0. Default `optim.annealingCosine`. */
  curve?: AnnealingCurve
}

/**
 * The rate stays flat, then falls to 0 along half a cosine: fastai's `fit_fc`. A pure function of the batch's number.
 *
 * @param steps training batches of the whole schedule
 * @param lr rate of each layer group
 */
export function flatCosine(
  steps: number,
  lr: readonly number[],
  { startPct = 0.72, moms = [0.95, 0.85], curve = annealingCosine }: FlatCosineOptions = {},
): (iteration: number) => SchedulePoint {
  if (!(startPct >= 0 && startPct <= 1))
    throw new ConfigError(`startPct must be from 0 to 1, got ${startPct}`)
  if (moms.length !== 2 || !moms.every((value) => value >= 0 && value < 1)) {
    throw new ConfigError(`moms must be two momenta of at least 0 and below 1, got [${moms.join(', ')}]`)
  }
  const flat = Math.trunc(steps * startPct)
  const falling = Math.max(1, steps - flat)
  return (iteration) => {
    // As in fastai, the batch in which the fall begins has the flat part's values yet.
    if (iteration <= flat && flat > 0) return { lr, momentum: moms[0] }
    const fraction = Math.min(iteration - flat, falling) / falling
    return { lr: lr.map((rate) => curve(rate, 0, fraction)), momentum: moms[1] }
  }
}

/** Steers rates and momentum along {@link flatCosine}. */
export class FlatCosineScheduler extends ScheduleCallback {
  readonly options: FlatCosineOptions

  constructor(options: FlatCosineOptions = {}) {
    rejectUnknownOptions('FlatCosineScheduler', options, [
      'lr',
      'startPct',
      'moms',
      'curve',
      'totalEpochs',
      'startEpoch',
    ])
    const { startEpoch, totalEpochs } = options
    super({
      ...(startEpoch !== undefined && { startEpoch }),
      ...(totalEpochs !== undefined && { totalEpochs }),
    })
    flatCosine(1, [], options) // checks them now
    this.options = options
  }

  protected override plan({ learner }: TrainBeginContext, batches: number): SchedulePlan {
    const { lr = slice(3e-3), startPct, moms, curve } = this.options
    const rates = learner.lrRange(lr)
    return {
      at: flatCosine(batches, rates, this.options),
      shape: { lr: rates, startPct, moms, curve: curve?.name },
    }
  }
}
