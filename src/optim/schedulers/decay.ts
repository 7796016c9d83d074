import { show } from '../../engine/check.ts'
import { ConfigError } from '../../engine/errors.ts'
import type { Optimizer } from '../Optimizer.ts'
import { ChainableScheduler, checkNumbers, checkSteps, rejectUnknown, Scheduler } from './Scheduler.ts'

export interface StepLROptions {
  /** Steps between two decays. */
  stepSize: number
  /** Factor of a decay. Default 0.1. */
  gamma?: number
}

/** Multiplies the rates by `gamma` every `stepSize` steps. */
export class StepLR extends ChainableScheduler {
  readonly stepSize: number
  readonly gamma: number

  constructor(optimizer: Optimizer, options: StepLROptions) {
    super(optimizer)
    rejectUnknown('StepLR', options, ['stepSize', 'gamma'])
    checkSteps('StepLR', 'stepSize', options.stepSize)
    this.stepSize = options.stepSize
    checkNumbers(this.constructor.name, { gamma: options.gamma })
    this.gamma = options.gamma ?? 0.1
  }

  protected override lrOf(baseLr: number): number {
    return baseLr * this.gamma ** Math.floor(this.stepCount / this.stepSize)
  }

  protected override nextLr(lr: number): number {
    return this.stepCount % this.stepSize === 0 ? lr * this.gamma : lr
  }
}

export interface MultiStepLROptions {
  /** The steps at which the rates decay. */
  milestones: readonly number[]
  /** Factor of a decay. Default 0.1. */
  gamma?: number
}

/** Multiplies the rates by `gamma` at each milestone. */
export class MultiStepLR extends ChainableScheduler {
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
  }

  protected override lrOf(baseLr: number): number {
    return baseLr * this.gamma ** this.milestones.filter((milestone) => milestone <= this.stepCount).length
  }

  protected override nextLr(lr: number): number {
    return lr * this.gamma ** this.milestones.filter((milestone) => milestone === this.stepCount).length
  }
}

export interface ExponentialLROptions {
  /** Factor of every step. */
  gamma: number
}

/** Multiplies the rates by `gamma` at every step. */
export class ExponentialLR extends ChainableScheduler {
  readonly gamma: number

  constructor(optimizer: Optimizer, options: ExponentialLROptions) {
    super(optimizer)
    rejectUnknown('ExponentialLR', options, ['gamma'])
    if (!Number.isFinite(options.gamma)) throw new ConfigError(`ExponentialLR: gamma must be a number`)
    this.gamma = options.gamma
  }

  protected override lrOf(baseLr: number): number {
    return baseLr * this.gamma ** this.stepCount
  }

  protected override nextLr(lr: number): number {
    return lr * this.gamma
  }
}

export interface CosineAnnealingLROptions {
  /** Steps from the highest rate to the lowest. */
  tMax: number
  /** The lowest rate. Default 0. */
  etaMin?: number
}

/**
 * Half a cosine from the base rates to `etaMin` in `tMax` steps, and back (Loshchilov and Hutter 2017, without restarts). A group
 * that is added later goes down from its own rate with the others, and stays down, as in PyTorch.
 */
export class CosineAnnealingLR extends ChainableScheduler {
  readonly tMax: number
  readonly etaMin: number

  constructor(optimizer: Optimizer, options: CosineAnnealingLROptions) {
    super(optimizer)
    rejectUnknown('CosineAnnealingLR', options, ['tMax', 'etaMin'])
    checkSteps('CosineAnnealingLR', 'tMax', options.tMax)
    this.tMax = options.tMax
    checkNumbers('CosineAnnealingLR', { etaMin: options.etaMin })
    this.etaMin = options.etaMin ?? 0
  }

  protected override lrOf(baseLr: number): number {
    return this.etaMin + ((baseLr - this.etaMin) * this.#height(this.stepCount)) / 2
  }

  protected override nextLr(lr: number, baseLr: number | undefined): number {
    const { stepCount, tMax, etaMin } = this
    if ((stepCount - 1 - tMax) % (2 * tMax) !== 0) {
      return (this.#height(stepCount) / this.#height(stepCount - 1)) * (lr - etaMin) + etaMin
    }
    // At the bottom nothing is left to multiply.
    return baseLr === undefined ? lr : lr + ((baseLr - etaMin) * (1 - Math.cos(Math.PI / tMax))) / 2
  }

  /** Twice how high the curve stands, between 0 and 2. */
  #height(step: number): number {
    return 1 + Math.cos((Math.PI * step) / this.tMax)
  }
}

export interface LambdaLROptions {
  /** Factor on the base rate after so many steps; one function for all groups or one for each. */
  lrLambda: ((step: number) => number) | readonly ((step: number) => number)[]
}

/** Multiplies the base rates by what a function of the step count returns. A group that is added later keeps its rate. */
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
    return baseLr * this.#factors[group]!(this.stepCount)
  }
}
