import { requireNumber, show } from '../../engine/check.ts'
import { CheckpointError, ConfigError } from '../../engine/errors.ts'
import type { Optimizer } from '../Optimizer.ts'
import { checkNumbers, perGroup, rejectUnknown, requireOptimizer } from './Scheduler.ts'

export interface ReduceLROnPlateauOptions {
  /** Whether the metric should fall or rise. Default 'min'. */
  mode?: 'min' | 'max'
  /** What the rates are multiplied by, below 1. Default 0.1. */
  factor?: number
  /** Steps without improvement that are put up with. Default 10. */
  patience?: number
  /** What counts as improvement. Default 1e-4. */
  threshold?: number
  /** 'rel': by a share of the best, 'abs': by an amount. Default 'rel'. */
  thresholdMode?: 'rel' | 'abs'
  /** Steps after a reduction in which nothing is counted. Default 0. */
  cooldown?: number
  /** Lower bound of the rates: one, also of groups that are added later, or one for each group. Default 0. */
  minLr?: number | readonly number[]
  /** Reductions smaller than this are left out. Default 1e-8. */
  eps?: number
}

/** What {@link ReduceLROnPlateau} saves. */
export interface ReduceLROnPlateauState {
  best: number
  badSteps: number
  cooldownLeft: number
  lrs: number[]
}

const optionNames = ['mode', 'factor', 'patience', 'threshold', 'thresholdMode', 'cooldown', 'minLr', 'eps']

/** Multiplies the rates by `factor` once a metric has not improved for more than `patience` steps. */
export class ReduceLROnPlateau {
  readonly optimizer: Optimizer
  /** The best value seen. */
  best: number
  /** Steps since the best value. */
  badSteps = 0
  #cooldownLeft = 0
  readonly #options: Required<Omit<ReduceLROnPlateauOptions, 'minLr'>>
  readonly #minLr: number | readonly number[]

  constructor(optimizer: Optimizer, options: ReduceLROnPlateauOptions = {}) {
    rejectUnknown('ReduceLROnPlateau', options, optionNames)
    requireOptimizer('ReduceLROnPlateau', optimizer)
    this.optimizer = optimizer
    const { mode = 'min', factor = 0.1, patience = 10, threshold = 1e-4, thresholdMode = 'rel' } = options
    if (!(typeof factor === 'number' && factor > 0 && factor < 1)) {
      throw new ConfigError(`ReduceLROnPlateau: factor must lie between 0 and 1, got ${show(factor)}`)
    }
    if (mode !== 'min' && mode !== 'max') {
      throw new ConfigError(`ReduceLROnPlateau: unknown mode ${show(mode)}; choose min or max`)
    }
    if (thresholdMode !== 'rel' && thresholdMode !== 'abs') {
      throw new ConfigError(
        `ReduceLROnPlateau: unknown thresholdMode ${show(thresholdMode)}; choose rel or abs`,
      )
    }
    checkNumbers('ReduceLROnPlateau', {
      factor,
      patience,
      threshold,
      cooldown: options.cooldown,
      eps: options.eps,
    })
    this.#options = {
      mode,
      factor,
      patience,
      threshold,
      thresholdMode,
      cooldown: options.cooldown ?? 0,
      eps: options.eps ?? 1e-8,
    }
    const { minLr = 0 } = options
    const minLrs = perGroup('ReduceLROnPlateau', 'minLr', minLr, optimizer.paramGroups.length)
    this.#minLr = typeof minLr === 'number' ? minLr : minLrs
    this.best = mode === 'min' ? Infinity : -Infinity
  }

  /**
   * Takes the newest value of the metric; NaN counts as no improvement. Returns whether the rates were reduced.
   * @throws ConfigError when a group has been added of which the list `minLr` has no bound
   */
  step(metric: number): boolean {
    const { patience, cooldown } = this.#options
    requireNumber('ReduceLROnPlateau', 'metric', metric)
    const minLrs = perGroup('ReduceLROnPlateau', 'minLr', this.#minLr, this.optimizer.paramGroups.length)
    if (this.#improves(metric)) {
      this.best = metric
      this.badSteps = 0
    } else {
      this.badSteps++
    }
    if (this.#cooldownLeft > 0) {
      this.#cooldownLeft--
      this.badSteps = 0
    }
    if (this.badSteps <= patience) return false
    this.#reduce(minLrs)
    this.#cooldownLeft = cooldown
    this.badSteps = 0
    return true
  }

  /** The rates of the groups as they are now. */
  lastLrs(): number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr)
  }

  /** Where the schedule stands, as plain data. */
  stateDict(): ReduceLROnPlateauState {
    return { best: this.best, badSteps: this.badSteps, cooldownLeft: this.#cooldownLeft, lrs: this.lastLrs() }
  }

  /** Goes on from a saved position and sets its rates. */
  loadStateDict(state: ReduceLROnPlateauState): void {
    const groups = this.optimizer.paramGroups
    if (!Array.isArray(state?.lrs)) {
      throw new CheckpointError(
        `ReduceLROnPlateau: a saved schedule is { best, badSteps, cooldownLeft, lrs }, got ${show(state)}`,
      )
    }
    if (state.lrs.length !== groups.length) {
      throw new CheckpointError(
        `ReduceLROnPlateau: the saved schedule has ${state.lrs.length} parameter groups, the optimizer ${groups.length}`,
      )
    }
    this.best = state.best
    this.badSteps = state.badSteps
    this.#cooldownLeft = state.cooldownLeft
    groups.forEach((group, i) => {
      group.lr = state.lrs[i]!
    })
  }

  #improves(metric: number): boolean {
    const { mode, threshold, thresholdMode } = this.#options
    if (mode === 'min') {
      return metric < (thresholdMode === 'rel' ? this.best * (1 - threshold) : this.best - threshold)
    }
    return metric > (thresholdMode === 'rel' ? this.best * (1 + threshold) : this.best + threshold)
  }

  #reduce(minLrs: readonly number[]): void {
    this.optimizer.paramGroups.forEach((group, i) => {
      const lr = Math.max(group.lr * this.#options.factor, minLrs[i]!)
      if (group.lr - lr > this.#options.eps) group.lr = lr
    })
  }
}
