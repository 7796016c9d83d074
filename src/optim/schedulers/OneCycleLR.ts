import { show } from '../../engine/check.ts'
import { ConfigError } from '../../engine/errors.ts'
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

export interface OneCycleLROptions {
  /** Highest rate: one, or one for each group. */
  maxLr: number | readonly number[]
  /** Length of the cycle. Or give `epochs` and `stepsPerEpoch`. */
  totalSteps?: number
  epochs?: number
  stepsPerEpoch?: number
  /** Share of the cycle in which the rate rises. Default 0.3. */
  pctStart?: number
  /** Default 'cos'. */
  annealStrategy?: 'cos' | 'linear'
  /** Moves the momentum against the rate. Default true. */
  cycleMomentum?: boolean
  /** Lowest momentum. Default 0.85. */
  baseMomentum?: number
  /** Highest momentum. Default 0.95. */
  maxMomentum?: number
  /** The first rate is maxLr / divFactor. Default 25. */
  divFactor?: number
  /** The last rate is the first / finalDivFactor. Default 1e4. */
  finalDivFactor?: number
  /** Falls as it rose before it goes to the last rate. Default false. */
  threePhase?: boolean
}

interface Phase {
  end: number
  lrs: readonly [number[], number[]]
  momentums: readonly [number, number]
}

const optionNames = [
  'maxLr',
  'totalSteps',
  'epochs',
  'stepsPerEpoch',
  'pctStart',
  'annealStrategy',
  'cycleMomentum',
  'baseMomentum',
  'maxMomentum',
  'divFactor',
  'finalDivFactor',
  'threePhase',
]

/**
 * One rise and one fall of the rate over the whole training, momentum against it (Smith and Topin 2019). Counts batches. Groups are
 * to be complete before: one that is added later has no place in the cycle.
 */
export class OneCycleLR extends Scheduler {
  readonly totalSteps: number
  readonly #phases: readonly Phase[]
  readonly #cycleMomentum: boolean
  readonly #linear: boolean

  constructor(optimizer: Optimizer, options: OneCycleLROptions) {
    super(optimizer)
    rejectUnknown('OneCycleLR', options, optionNames)
    this.totalSteps = totalSteps(options)
    const { pctStart = 0.3, annealStrategy = 'cos', threePhase = false } = options
    const { divFactor = 25, finalDivFactor = 1e4, baseMomentum = 0.85, maxMomentum = 0.95 } = options
    checkNumbers('OneCycleLR', { divFactor, finalDivFactor })
    if (!(typeof pctStart === 'number' && pctStart >= 0 && pctStart <= 1)) {
      throw new ConfigError(`OneCycleLR: pctStart must lie between 0 and 1, got ${show(pctStart)}`)
    }
    if (annealStrategy !== 'cos' && annealStrategy !== 'linear') {
      throw new ConfigError(
        `OneCycleLR: unknown annealStrategy ${show(annealStrategy)}; choose cos or linear`,
      )
    }
    this.#linear = annealStrategy === 'linear'
    this.#cycleMomentum = options.cycleMomentum ?? true
    if (this.#cycleMomentum) checkMomentum('OneCycleLR', optimizer)

    const maxLrs = perGroup('OneCycleLR', 'maxLr', options.maxLr, optimizer.paramGroups.length)
    const first = maxLrs.map((lr) => lr / divFactor)
    const last = first.map((lr) => lr / finalDivFactor)
    const rise = pctStart * this.totalSteps - 1
    const up: Phase = { end: rise, lrs: [first, maxLrs], momentums: [maxMomentum, baseMomentum] }
    const end = this.totalSteps - 1
    this.#phases = threePhase
      ? [
          up,
          {
            end: 2 * pctStart * this.totalSteps - 2,
            lrs: [maxLrs, first],
            momentums: [baseMomentum, maxMomentum],
          },
          { end, lrs: [first, last], momentums: [maxMomentum, maxMomentum] },
        ]
      : [up, { end, lrs: [maxLrs, last], momentums: [baseMomentum, maxMomentum] }]
    this.beginAt(first, true)
    this.apply()
  }

  /** @throws ConfigError past the end of the cycle, or when a group has been added; nothing has changed then */
  override step(): void {
    const [groups, known] = [this.optimizer.paramGroups.length, this.baseLrs.length]
    if (groups > known) {
      throw new ConfigError(
        `OneCycleLR: the cycle was made for ${known} parameter groups, the optimizer now has ${groups}; ` +
          'make a new one, or add the group before',
      )
    }
    if (this.stepCount >= this.totalSteps) {
      throw new ConfigError(`OneCycleLR: step ${this.stepCount + 1} of a cycle of ${this.totalSteps} steps`)
    }
    super.step()
  }

  protected override lrOf(_baseLr: number, group: number): number {
    return this.#value(({ lrs: [from, to] }) => [from[group]!, to[group]!])
  }

  protected override apply(): void {
    super.apply()
    if (!this.#cycleMomentum) return
    const momentum = this.#value(({ momentums }) => momentums)
    for (const group of this.scheduledGroups()) setMomentum(group, momentum)
  }

  #value(ends: (phase: Phase) => readonly [number, number]): number {
    let start = 0
    for (const [i, phase] of this.#phases.entries()) {
      if (this.stepCount <= phase.end || i === this.#phases.length - 1) {
        const [from, to] = ends(phase)
        const fraction = phase.end === start ? 1 : (this.stepCount - start) / (phase.end - start)
        return this.#linear
          ? from + (to - from) * fraction
          : to + ((from - to) / 2) * (1 + Math.cos(Math.PI * fraction))
      }
      start = phase.end
    }
    return 0
  }
}

function totalSteps({ totalSteps, epochs, stepsPerEpoch }: OneCycleLROptions): number {
  if (totalSteps !== undefined) {
    checkSteps('OneCycleLR', 'totalSteps', totalSteps)
    return totalSteps
  }
  if (epochs === undefined || stepsPerEpoch === undefined) {
    throw new ConfigError('OneCycleLR: needs totalSteps, or epochs and stepsPerEpoch')
  }
  checkSteps('OneCycleLR', 'epochs', epochs)
  checkSteps('OneCycleLR', 'stepsPerEpoch', stepsPerEpoch)
  return epochs * stepsPerEpoch
}
