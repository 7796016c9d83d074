import { show } from '../../engine/check.ts'
import { ConfigError } from '../../engine/errors.ts'
import type { Optimizer } from '../Optimizer.ts'
import { checkNumbers, checkSteps, rejectUnknown, Scheduler } from './Scheduler.ts'

export interface StepLROptions {
  /** Steps between two decays. */
  stepSize: number
  /** Factor of a decay. Default 0.1. */
  gamma?: number
}

/** Multiplies the rates by `gamma` every `stepSize` steps. */
export class StepLR extends Scheduler {
  readonly stepSize: number
  readonly gamma: number

  constructor(optimizer: Optimizer, options: StepLROptions) {
    super(optimizer)
    rejectUnknown('StepLR', options, ['stepSize', 'gamma'])
    checkSteps('StepLR', 'stepSize', options.stepSize)
    this.stepSize = options.stepSize
    checkNumbers(this.constructor.name, { gamma: options.gamma })
    this.gamma = options.gamma ?? 0.1
    this.apply()
  }

  protected override lrOf(baseLr: number): number {
    return baseLr * this.gamma ** Math.floor(this.stepCount / this.stepSize)
  }
}

export interface MultiStepLROptions {
  /** The steps at which the rates decay. */
  milestones: readonly number[]
  /** Factor of a decay. Default 0.1. */
  gamma?: number
}

/** Multiplies the rates by `gamma` at each milestone. */
export class MultiStepLR extends Scheduler {
  readonly milestones: readonly number[]
  readonly gamma: number

  constructor(optimizer: Optimizer, options: MultiStepLROptions) {
    super(optimizer)
    rejectUnknown('MultiStepLR', options, ['milestones', 'gamma'])
    if (!Array.isArray(options.milestones)) {
      throw new ConfigError(
        `MultiStepLR: milestones must be a list of steps, got ${show(options.milestones)}`,
      )
    }
    for (const milestone of options.milestones) checkSteps('MultiStepLR', 'a milestone', milestone)
    this.milestones = [...options.milestones]
    checkNumbers(this.constructor.name, { gamma: options.gamma })
    this.gamma = options.gamma ?? 0.1
    this.apply()
  }

  protected override lrOf(baseLr: number): number {
    return baseLr * this.gamma ** this.milestones.filter((milestone) => milestone <= this.stepCount).length
  }
}

export interface ExponentialLROptions {
  /** Factor of every step. */
  gamma: number
}

/** Multiplies the rates by `gamma` at every step. */
export class ExponentialLR extends Scheduler {
  readonly gamma: number

  constructor(optimizer: Optimizer, options: ExponentialLROptions) {
    super(optimizer)
    rejectUnknown('ExponentialLR', options, ['gamma'])
    if (!Number.isFinite(options.gamma)) throw new ConfigError(`ExponentialLR: gamma must be a number`)
    this.gamma = options.gamma
    this.apply()
  }

  protected override lrOf(baseLr: number): number {
    return baseLr * this.gamma ** this.stepCount
  }
}

export interface CosineAnnealingLROptions {
  /** Steps from the highest rate to the lowest. */
  tMax: number
  /** The lowest rate. Default 0. */
  etaMin?: number
}

/** Half a cosine from the base rates to `etaMin` in `tMax` steps, and back (Loshchilov and Hutter 2017, without restarts). */
export class CosineAnnealingLR extends Scheduler {
  readonly tMax: number
  readonly etaMin: number

  constructor(optimizer: Optimizer, options: CosineAnnealingLROptions) {
    super(optimizer)
    rejectUnknown('CosineAnnealingLR', options, ['tMax', 'etaMin'])
    checkSteps('CosineAnnealingLR', 'tMax', options.tMax)
    this.tMax = options.tMax
    checkNumbers('CosineAnnealingLR', { etaMin: options.etaMin })
    this.etaMin = options.etaMin ?? 0
    this.apply()
  }

  protected override lrOf(baseLr: number): number {
    return this.etaMin + ((baseLr - this.etaMin) * (1 + Math.cos((Math.PI * this.stepCount) / this.tMax))) / 2
  }
}

export interface LambdaLROptions {
  /** Factor on the base rate after so many steps; one function for all groups or one for each. */
  lrLambda: ((step: number) => number) | readonly ((step: number) => number)[]
}

/** Multiplies the base rates by what a function of the step count returns. */
export class LambdaLR extends Scheduler {
  readonly #factors: readonly ((step: number) => number)[]

  constructor(optimizer: Optimizer, options: LambdaLROptions) {
    super(optimizer)
    rejectUnknown('LambdaLR', options, ['lrLambda'])
    const { lrLambda } = options
    const groups = optimizer.paramGroups.length
    const factors = typeof lrLambda === 'function' ? optimizer.paramGroups.map(() => lrLambda) : lrLambda
    if (factors.length !== groups) {
      throw new ConfigError(`LambdaLR: ${factors.length} functions for ${groups} parameter groups`)
    }
    this.#factors = factors
    this.apply()
  }

  protected override lrOf(baseLr: number, group: number): number {
    const factor = this.#factors[group] ?? this.#factors.at(-1)!
    return baseLr * factor(this.stepCount)
  }
}
