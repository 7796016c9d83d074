import { requireNumber, requireOptions, show } from '../../engine/check.ts'
import { CheckpointError, ConfigError } from '../../engine/errors.ts'
import type { Optimizer, OptimizerOptions, ParamGroup } from '../Optimizer.ts'

/** What a scheduler saves: its position, and the rates that it started from. */
export interface SchedulerState {
  stepCount: number
  baseLrs: number[]
}

/**
 * Base of the schedulers for hand-written loops: each sets the learning rates of an optimizer's groups, first when it is made, then
 * at every {@link step}. (A `Learner` schedules through callbacks instead.)
 *
 * @example
 * const scheduler = new optim.StepLR(optimizer, { stepSize: 30 })
 * for (let epoch = 0; epoch < 90; epoch++) { … optimizer.step() …; scheduler.step() }
 */
export abstract class Scheduler {
  readonly optimizer: Optimizer
  /** The groups' rates when the scheduler was made. */
  baseLrs: number[]
  /** Number of calls of {@link step}. */
  stepCount = 0

  constructor(optimizer: Optimizer) {
    requireOptimizer(this.constructor.name, optimizer)
    this.optimizer = optimizer
    this.baseLrs = optimizer.paramGroups.map(({ lr }) => lr)
  }

  /** The rate of one group after `stepCount` steps. */
  protected abstract lrOf(baseLr: number, group: number): number

  /** Moves on by one step (an epoch or a batch, whatever the schedule counts) and sets the rates. */
  step(): void {
    this.stepCount++
    this.apply()
  }

  /** Sets the rates that belong to the present position. Constructors call it last. */
  protected apply(): void {
    this.optimizer.paramGroups.forEach((group, i) => {
      group.lr = this.lrOf(this.baseLrs[i] ?? group.lr, i)
    })
  }

  /** The rates of the groups as they are now. */
  lastLrs(): number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr)
  }

  /** Where the schedule stands, as plain data. */
  stateDict(): SchedulerState {
    return { stepCount: this.stepCount, baseLrs: [...this.baseLrs] }
  }

  /** Goes on from a saved position and sets its rates. */
  loadStateDict(state: SchedulerState): void {
    if (!Array.isArray(state?.baseLrs) || typeof state.stepCount !== 'number') {
      throw new CheckpointError(
        `${this.constructor.name}: a saved schedule is { stepCount, baseLrs }, got ${show(state)}`,
      )
    }
    if (state.baseLrs.length !== this.optimizer.paramGroups.length) {
      throw new CheckpointError(
        `${this.constructor.name}: the saved schedule has ${state.baseLrs.length} parameter groups, ` +
          `the optimizer ${this.optimizer.paramGroups.length}`,
      )
    }
    this.stepCount = state.stepCount
    this.baseLrs = [...state.baseLrs]
    this.apply()
  }
}

/** Throws a ConfigError unless `optimizer` has groups of parameters. */
export function requireOptimizer(owner: string, optimizer: Optimizer): void {
  if (!Array.isArray(optimizer?.paramGroups)) {
    throw new ConfigError(`${owner}: the first argument must be an optimizer, got ${show(optimizer)}`)
  }
}

/** One value for each group, from one for all or a list. */
export function perGroup(
  owner: string,
  name: string,
  value: number | readonly number[],
  groups: number,
): number[] {
  if (typeof value === 'number') return Array.from({ length: groups }, () => value)
  if (!Array.isArray(value)) {
    throw new ConfigError(`${owner}: ${name} must be a number or a list of numbers, got ${show(value)}`)
  }
  if (value.length === groups) return [...value]
  throw new ConfigError(`${owner}: ${value.length} values of ${name} for ${groups} parameter groups`)
}

/** Throws a ConfigError that names the options that are not known. */
export function rejectUnknown(owner: string, options: object, known: readonly string[]): void {
  requireOptions(owner, options)
  const unknown = Object.keys(options).filter((key) => !known.includes(key))
  if (unknown.length > 0) {
    throw new ConfigError(
      `${owner}: unknown option ${unknown.join(', ')}; the options are ${known.join(', ')}`,
    )
  }
}

/** Throws a ConfigError unless each of the options is a number or left out. */
export function checkNumbers(owner: string, options: Record<string, number | undefined>): void {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) requireNumber(owner, name, value)
  }
}

/** Throws a ConfigError unless `value` is a positive integer. */
export function checkSteps(owner: string, name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new ConfigError(`${owner}: ${name} must be a positive integer, got ${show(value)}`)
  }
}

type MomentumGroup = ParamGroup<OptimizerOptions> & { momentum?: number; betas?: readonly [number, number] }

/** Sets what an optimizer calls momentum: SGD's and RMSprop's `momentum`, the first of Adam's `betas`. */
export function setMomentum(group: ParamGroup<OptimizerOptions>, value: number): void {
  const target: MomentumGroup = group
  if (target.betas) target.betas = [value, target.betas[1]]
  else target.momentum = value
}

/** Throws a ConfigError when the optimizer has no momentum to schedule. */
export function checkMomentum(owner: string, optimizer: Optimizer): void {
  const defaults: OptimizerOptions & { momentum?: number; betas?: readonly number[] } = optimizer.defaults
  if (defaults.momentum !== undefined || defaults.betas !== undefined) return
  throw new ConfigError(
    `${owner}: ${optimizer.constructor.name} has no momentum to cycle; pass { cycleMomentum: false }`,
  )
}
