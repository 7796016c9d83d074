import { requireNumber, requireOptions, show } from '../../engine/check.ts'
import { CheckpointError, ConfigError } from '../../engine/errors.ts'
import { initialLrs } from '../initialLrs.ts'
import type { Optimizer, OptimizerOptions, ParamGroup } from '../Optimizer.ts'

/** What a scheduler saves: its position, and the rates. */
export interface SchedulerState {
  stepCount: number
  /** One for each group that the scheduler was made for. */
  baseLrs: number[]
  /** What the groups' rates were. Without it, loading sets those that the schedule alone would have come to. */
  lrs?: number[]
}

/**
 * Base of the schedulers for hand-written loops: each sets the learning rates of an optimizer's groups, first when it is made, then
 * at every {@link step}. (A `Learner` schedules through callbacks instead.) As in PyTorch, StepLR, MultiStepLR, ExponentialLR and
 * CosineAnnealingLR change the rate that they find: that of another scheduler, one written into the group, or that of a group which
 * was added to the optimizer later. LambdaLR, CyclicLR and OneCycleLR put their own in its place.
 *
 * @example
 * const scheduler = new optim.StepLR(optimizer, { stepSize: 30 })
 * for (let epoch = 0; epoch < 90; epoch++) { … optimizer.step() …; scheduler.step() }
 */
export abstract class Scheduler {
  readonly optimizer: Optimizer
  /** The rates that the groups had when the first scheduler of the optimizer was made, or that a cycle begins with. */
  baseLrs: number[]
  /** Number of calls of {@link step}. */
  stepCount = 0
  readonly #madeFor: number
  /** Groups that no scheduler had touched before. */
  readonly #fresh: readonly object[]

  constructor(optimizer: Optimizer) {
    requireOptimizer(this.constructor.name, optimizer)
    this.optimizer = optimizer
    this.#fresh = optimizer.paramGroups.filter((group) => !initialLrs.has(group))
    this.baseLrs = optimizer.paramGroups.map((group) => initialLrs.get(group) ?? group.lr)
    this.#madeFor = this.baseLrs.length
    optimizer.paramGroups.forEach((group, i) => {
      initialLrs.set(group, this.baseLrs[i]!)
    })
  }

  /** The rate of one group after `stepCount` steps, had nothing else changed it. */
  protected abstract lrOf(baseLr: number, group: number): number

  /** Moves on by one step (an epoch or a batch, whatever the schedule counts) and sets the rates. */
  step(): void {
    this.stepCount++
    this.apply()
  }

  /**
   * Begins with rates of the scheduler's own. Schedulers that are made later start from them too: of groups that none had touched
   * before, or with `always` of all, as in PyTorch, where CyclicLR does the one and OneCycleLR the other.
   */
  protected beginAt(lrs: number[], always: boolean): void {
    this.baseLrs = lrs
    this.optimizer.paramGroups.forEach((group, i) => {
      if (always || this.#fresh.includes(group)) initialLrs.set(group, lrs[i]!)
    })
  }

  /** Sets the rates that belong to the present position. Constructors call it last. */
  protected apply(): void {
    this.scheduledGroups().forEach((group, i) => {
      group.lr = this.lrOf(this.baseLrs[i]!, i)
    })
  }

  /** The groups that the scheduler has base rates of: not those that were added later. */
  protected scheduledGroups(): ParamGroup<OptimizerOptions>[] {
    return this.optimizer.paramGroups.slice(0, this.baseLrs.length)
  }

  /** The rates of the groups as they are now. */
  lastLrs(): number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr)
  }

  /** Where the schedule stands, as plain data. */
  stateDict(): SchedulerState {
    return { stepCount: this.stepCount, baseLrs: [...this.baseLrs], lrs: this.lastLrs() }
  }

  /**
   * Goes on from a saved position and sets its rates. Groups that were added after the scheduler was made may have been added
   * before it here.
   * @throws CheckpointError for a state of other groups
   */
  loadStateDict(state: SchedulerState): void {
    const name = this.constructor.name
    if (!areNumbers(state?.baseLrs) || typeof state.stepCount !== 'number' || !areNumbers(state.lrs ?? [])) {
      throw new CheckpointError(
        `${name}: a saved schedule is { stepCount, baseLrs, lrs }, got ${show(state)}`,
      )
    }
    const { stepCount, baseLrs, lrs } = state
    const groups = this.optimizer.paramGroups
    const saved = (lrs ?? baseLrs).length
    if (saved !== groups.length) {
      throw new CheckpointError(
        `${name}: the saved schedule has ${saved} parameter groups, the optimizer ${groups.length}`,
      )
    }
    if (baseLrs.length > this.#madeFor) {
      throw new CheckpointError(
        `${name}: the saved schedule was made for ${baseLrs.length} parameter groups, this one for ${this.#madeFor}; ` +
          'make it after addParamGroup',
      )
    }
    this.stepCount = stepCount
    this.baseLrs = [...baseLrs]
    this.apply()
    lrs?.forEach((lr, i) => {
      groups[i]!.lr = lr
    })
  }
}

/**
 * A scheduler whose steps change the rates that they find: those that another scheduler has set, those written into a group, and
 * those of groups that were added later. The numbers are PyTorch's, which calls such schedulers chainable.
 */
export abstract class ChainableScheduler extends Scheduler {
  /** The rate after a step to `stepCount` that found `lr`. A group that was added later has no base rate. */
  protected abstract nextLr(lr: number, baseLr: number | undefined): number

  override step(): void {
    this.stepCount++
    this.optimizer.paramGroups.forEach((group, i) => {
      group.lr = this.nextLr(group.lr, this.baseLrs[i])
    })
  }
}

function areNumbers(values: unknown): boolean {
  return Array.isArray(values) && values.every((value) => typeof value === 'number')
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
