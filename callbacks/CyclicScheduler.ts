import { ConfigError } from '../src/engine/errors.ts'
import type { TrainBeginContext } from '../src/learner/events.ts'
import type { LearningRate } from '../src/learner/lrRange.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { type CyclicMode, checkCyclicMode, cyclicHeight } from '../src/optim/cycles.ts'
import { ScheduleCallback, type SchedulePlan, type ScheduleSpan } from './ScheduleCallback.ts'

export interface CyclicSchedulerOptions extends ScheduleSpan {
  /** Lowest rate: a number, a slice, or one for each layer group. */
  baseLr: LearningRate
  /** Highest rate, alike. */
  maxLr: LearningRate
  /** Training batches of the rise. Default: two epochs. */
  stepSizeUp?: number
  /** Training batches of the fall. Default: as the rise. */
  stepSizeDown?: number
  /** 'triangular' keeps the height, 'triangular2' halves it each cycle, 'exp_range' multiplies it by gamma each batch. Default 'triangular'. */
  mode?: CyclicMode
  /** Base of the decay of 'exp_range'. Default 1. */
  gamma?: number
  /** Momentum (beta1 of Adam) at the lowest and at the highest rate; null leaves it alone. Default [0.95, 0.85]. */
  moms?: readonly [number, number] | null
}

/** Rates that rise and fall between two bounds, momentum the other way (Smith, "Cyclical learning rates", 2017). */
export class CyclicScheduler extends ScheduleCallback {
  readonly options: CyclicSchedulerOptions

  constructor(options: CyclicSchedulerOptions) {
    rejectUnknownOptions('CyclicScheduler', options ?? {}, [
      'baseLr',
      'maxLr',
      'stepSizeUp',
      'stepSizeDown',
      'mode',
      'gamma',
      'moms',
      'totalEpochs',
      'startEpoch',
    ])
    const { startEpoch, totalEpochs, stepSizeUp, stepSizeDown, mode, gamma, moms } = options
    super({
      ...(startEpoch !== undefined && { startEpoch }),
      ...(totalEpochs !== undefined && { totalEpochs }),
    })
    if (options.baseLr === undefined || options.maxLr === undefined) {
      throw new ConfigError('CyclicScheduler needs both bounds, as { baseLr: 1e-4, maxLr: 1e-2 }')
    }
    if (stepSizeUp !== undefined) checkCount('CyclicScheduler', 'stepSizeUp', stepSizeUp, 1)
    if (stepSizeDown !== undefined) checkCount('CyclicScheduler', 'stepSizeDown', stepSizeDown, 1)
    if (mode !== undefined) checkCyclicMode('CyclicScheduler', mode)
    if (gamma !== undefined && !(typeof gamma === 'number' && gamma > 0 && gamma <= 1)) {
      throw new ConfigError(`CyclicScheduler: gamma must be above 0 and at most 1, got ${String(gamma)}`)
    }
    if (moms && (moms.length !== 2 || !moms.every((value) => value >= 0 && value < 1))) {
      throw new ConfigError(
        `CyclicScheduler: moms must be two momenta of at least 0 and below 1, got [${moms.join(', ')}]`,
      )
    }
    this.options = options
  }

  protected override plan({ learner, batchesPerEpoch }: TrainBeginContext): SchedulePlan {
    const { baseLr, maxLr, mode, gamma, moms = [0.95, 0.85] } = this.options
    const [low, high] = [learner.lrRange(baseLr), learner.lrRange(maxLr)]
    if (!low.every((lr, group) => lr <= high[group]!)) {
      throw new ConfigError(
        `CyclicScheduler: baseLr [${low.join(', ')}] must not be above maxLr [${high.join(', ')}]`,
      )
    }
    const { stepSizeUp = 2 * batchesPerEpoch } = this.options
    const { stepSizeDown = stepSizeUp } = this.options
    const cycles = { stepSizeUp, stepSizeDown, ...(mode && { mode }), ...(gamma !== undefined && { gamma }) }
    return {
      at(iteration) {
        const height = cyclicHeight(iteration, cycles)
        return {
          lr: low.map((lr, group) => lr + (high[group]! - lr) * height),
          ...(moms && { momentum: moms[0] + (moms[1] - moms[0]) * height }),
        }
      },
      shape: { baseLr: low, maxLr: high, ...cycles, moms },
    }
  }
}
