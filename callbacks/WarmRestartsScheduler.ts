import { ConfigError } from '../src/engine/errors.ts'
import type { TrainBeginContext } from '../src/learner/events.ts'
import { type LearningRate, slice } from '../src/learner/lrRange.ts'
import { checkCount, checkNotNegative, rejectUnknownOptions } from '../src/learner/options.ts'
import { annealingCosine } from '../src/optim/annealing.ts'
import { restartFraction } from '../src/optim/cycles.ts'
import { ScheduleCallback, type SchedulePlan, type ScheduleSpan } from './ScheduleCallback.ts'

export interface WarmRestartsOptions extends ScheduleSpan {
  /** Rate after each restart: a number, a slice, or one for each layer group. Default `slice(3e-3)`. */
  maxLr?: LearningRate
  /** Rate towards which each period falls. Default 0. */
  minLr?: number
  /** Epochs of the first period. Default 1. */
  cycleLength?: number
  /** By which each period is longer than the one before. Default 1. */
  cycleFactor?: number
}

/**
 * Stochastic gradient descent with warm restarts (Loshchilov & Hutter, "SGDR", 2017): in each period the rate falls along half a
 * cosine, and then begins anew at the top. The numbers are PyTorch's CosineAnnealingWarmRestarts, stepped every batch.
 */
export class WarmRestartsScheduler extends ScheduleCallback {
  readonly options: WarmRestartsOptions

  constructor(options: WarmRestartsOptions = {}) {
    rejectUnknownOptions('WarmRestartsScheduler', options, [
      'maxLr',
      'minLr',
      'cycleLength',
      'cycleFactor',
      'totalEpochs',
      'startEpoch',
    ])
    const { startEpoch, totalEpochs, minLr, cycleLength, cycleFactor } = options
    super({
      ...(startEpoch !== undefined && { startEpoch }),
      ...(totalEpochs !== undefined && { totalEpochs }),
    })
    if (minLr !== undefined) checkNotNegative('WarmRestartsScheduler', 'minLr', minLr)
    if (cycleLength !== undefined) checkCount('WarmRestartsScheduler', 'cycleLength', cycleLength, 1)
    if (cycleFactor !== undefined && !(Number.isFinite(cycleFactor) && cycleFactor >= 1)) {
      throw new ConfigError(
        `WarmRestartsScheduler: cycleFactor must be a finite number of at least 1, got ${String(cycleFactor)}`,
      )
    }
    this.options = options
  }

  protected override plan({ learner, batchesPerEpoch }: TrainBeginContext): SchedulePlan {
    const { maxLr = slice(3e-3), minLr = 0, cycleLength = 1, cycleFactor = 1 } = this.options
    const rates = learner.lrRange(maxLr)
    const period = cycleLength * batchesPerEpoch
    return {
      at(iteration) {
        const fraction = restartFraction(iteration, period, cycleFactor)
        return { lr: rates.map((lr) => annealingCosine(lr, minLr, fraction)) }
      },
      shape: { maxLr: rates, minLr, cycleLength, cycleFactor },
    }
  }
}
