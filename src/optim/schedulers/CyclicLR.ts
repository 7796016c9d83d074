import { type CyclicMode, checkCyclicMode, cyclicHeight } from '../cycles.ts'
import type { Optimizer } from '../Optimizer.ts'
import {
  checkMomentum,
  checkNumbers,
  checkSteps,
  perGroup,
  rejectUnknown,
  Scheduler,
  setMomentum,
} from './Scheduler.ts'

export interface CyclicLROptions {
  /** Lowest rate: one, or one for each group. */
  baseLr: number | readonly number[]
  /** Highest rate: one, or one for each group. */
  maxLr: number | readonly number[]
  /** Steps of the rise. Default 2000. */
  stepSizeUp?: number
  /** Steps of the fall. Default: as the rise. */
  stepSizeDown?: number
  /** Default 'triangular'. */
  mode?: CyclicMode
  /** Base of the decay of 'exp_range'. Default 1. */
  gamma?: number
  /** Moves the momentum against the rate. Default true. */
  cycleMomentum?: boolean
  /** Lowest momentum. Default 0.8. */
  baseMomentum?: number
  /** Highest momentum. Default 0.9. */
  maxMomentum?: number
}

const optionNames = [
  'baseLr',
  'maxLr',
  'stepSizeUp',
  'stepSizeDown',
  'mode',
  'gamma',
  'cycleMomentum',
  'baseMomentum',
  'maxMomentum',
]

/**
 * Rates that rise and fall between two bounds (Smith 2017). Counts batches, not epochs. A group that is added later keeps its rate
 * and its momentum.
 */
export class CyclicLR extends Scheduler {
  readonly #options: Required<Omit<CyclicLROptions, 'maxLr'>>
  readonly #maxLrs: readonly number[]

  constructor(optimizer: Optimizer, options: CyclicLROptions) {
    super(optimizer)
    rejectUnknown('CyclicLR', options, optionNames)
    const groups = optimizer.paramGroups.length
    const baseLrs = perGroup('CyclicLR', 'baseLr', options.baseLr, groups)
    this.#maxLrs = perGroup('CyclicLR', 'maxLr', options.maxLr, groups)
    const { stepSizeUp = 2000, mode = 'triangular' } = options
    const { stepSizeDown = stepSizeUp, cycleMomentum = true } = options
    checkSteps('CyclicLR', 'stepSizeUp', stepSizeUp)
    checkSteps('CyclicLR', 'stepSizeDown', stepSizeDown)
    checkCyclicMode('CyclicLR', mode)
    checkNumbers('CyclicLR', { gamma: options.gamma })
    if (cycleMomentum) checkMomentum('CyclicLR', optimizer)
    this.#options = {
      baseLr: options.baseLr,
      stepSizeUp,
      stepSizeDown,
      mode,
      cycleMomentum,
      gamma: options.gamma ?? 1,
      baseMomentum: options.baseMomentum ?? 0.8,
      maxMomentum: options.maxMomentum ?? 0.9,
    }
    this.beginAt(baseLrs, false)
    this.apply()
  }

  protected override lrOf(baseLr: number, group: number): number {
    return baseLr + (this.#maxLrs[group]! - baseLr) * this.#height()
  }

  protected override apply(): void {
    super.apply()
    const { cycleMomentum, baseMomentum, maxMomentum } = this.#options
    if (!cycleMomentum) return
    const momentum = maxMomentum - (maxMomentum - baseMomentum) * this.#height()
    for (const group of this.scheduledGroups()) setMomentum(group, momentum)
  }

  /** Between 0 (base) and 1 (top), shrunk by the mode. */
  #height(): number {
    return cyclicHeight(this.stepCount, this.#options)
  }
}
