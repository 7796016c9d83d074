import { requireOptions, show } from '../engine/check.ts'
import { CheckpointError, ConfigError } from '../engine/errors.ts'
import { Tensor, zerosLike } from '../engine/index.ts'
import { initialLrs } from './initialLrs.ts'

/** Options that every optimizer has. */
export interface OptimizerOptions {
  /** Learning rate. */
  lr?: number
  /** Strength of weight decay. */
  weightDecay?: number
}

/** Parameters with the hyper-parameters that they are trained with; change those at any time, `group.lr = 0.1`. */
export type ParamGroup<Options> = Required<Options> & { params: Tensor[] }

/** What a constructor takes for a group: parameters, and the options that differ from the optimizer's. */
export type ParamGroupInput<Options> = Partial<Options> & { params: Iterable<Tensor> | Tensor }

/** Parameters, or groups of them. */
export type ParamsInput<Options> = Iterable<Tensor> | Iterable<ParamGroupInput<Options>>

/** What an optimizer remembers of one parameter between steps: tensors of its shape, and counts. */
export type ParamState = Record<string, Tensor | number>

/** Plain data with tensors, as PyTorch lays it out: parameters are numbered through all groups. */
export interface OptimizerState<Options = Record<string, unknown>> {
  state: Record<string, ParamState>
  /** `initialLr` is there once a scheduler was made: those that are made after loading start from it too. */
  paramGroups: (Required<Options> & { params: number[]; initialLr?: number })[]
}

/**
 * Base of the optimizers. `Options` are the hyper-parameters, each of which a group may set for itself. A subclass gives the
 * defaults, checks values and implements {@link stepGroup}: one native call for all parameters of a group.
 */
export abstract class Optimizer<Options extends OptimizerOptions = OptimizerOptions> {
  /** Groups of parameters with their hyper-parameters. */
  readonly paramGroups: ParamGroup<Options>[] = []
  /** Hyper-parameters of groups that do not set them. */
  readonly defaults: Required<Options>
  /** What is remembered of each parameter. Empty before the first step. */
  readonly state = new Map<Tensor, ParamState>()
  /**
   * What {@link state} has of a parameter: counts of steps, and tensors of its shape, some of them only under some options. What is
   * loaded must have it; an optimizer that does not say takes anything.
   */
  protected readonly remembers?: Readonly<Record<string, 'count' | 'tensor' | 'tensor or none'>>

  /**
   * @throws ConfigError for no parameters, a parameter given twice, an unknown option or a value out of range
   */
  constructor(params: ParamsInput<Options>, options: Partial<Options>, defaults: Required<Options>) {
    requireOptions(this.constructor.name, defaults)
    if (typeof this.checkOptions !== 'function' || typeof this.stepGroup !== 'function') {
      throw new ConfigError(
        `${this.constructor.name}: an optimizer has methods checkOptions and stepGroup; take SGD, Adam, …`,
      )
    }
    this.defaults = this.#complete(options, defaults, [])
    const entries = toArray<Tensor | ParamGroupInput<Options>>(params)
    if (entries.length === 0) {
      throw new ConfigError(
        `${this.constructor.name}: got an empty list of parameters; pass model.parameters(), and see that some require a gradient`,
      )
    }
    if (entries.some((entry) => entry instanceof Tensor)) {
      this.addParamGroup({ params: entries } as unknown as ParamGroupInput<Options>)
    } else {
      for (const group of entries as ParamGroupInput<Options>[]) this.addParamGroup(group)
    }
  }

  /** Throws a ConfigError for a hyper-parameter out of its range. */
  protected abstract checkOptions(options: Required<Options>): void

  /** Updates the parameters of one group that have gradients, and their states. */
  protected abstract stepGroup(group: ParamGroup<Options>, params: Tensor[], grads: Tensor[]): void

  /** Updates every parameter that has a gradient; the others, and their state, stay as they are. */
  step(): void {
    for (const group of this.paramGroups) {
      this.checkOptions(group) // schedules write into groups
      // Not `grad`, which would hand the gradients to the collector: zeroGrad() frees those that nobody has seen at once.
      const params = group.params.filter((param) => param.accumulated !== null)
      if (params.length === 0) continue
      this.stepGroup(
        group,
        params,
        params.map((param) => param.accumulated!),
      )
      for (const param of params) param.versionCounter.value++
    }
  }

  /** Forgets the gradients, or (with `setToNull` false) fills them with zeros. */
  zeroGrad(setToNull = true): void {
    for (const { params } of this.paramGroups) {
      for (const param of params) {
        if (setToNull) param.clearGrad()
        else if (param.accumulated) param.accumulated.zero_()
      }
    }
  }

  /**
   * Adds parameters to train from now on, for example those of layers that were frozen. Schedulers made before go on with the rate
   * that the group has here, each in its way (see `Scheduler`).
   */
  addParamGroup(group: ParamGroupInput<Options>): void {
    const name = this.constructor.name
    if (group === null || typeof group !== 'object' || group.params === undefined) {
      throw new ConfigError(`${name}: a parameter group is { params, …options }, got ${show(group)}`)
    }
    const { params: given, ...options } = group
    const params = given instanceof Tensor ? [given] : toArray(given as Iterable<Tensor>)
    const known = new Set(this.paramGroups.flatMap(({ params }) => params))
    for (const param of params) {
      if (!(param instanceof Tensor)) throw new ConfigError(`${name}: optimizes tensors, got ${show(param)}`)
      if (known.has(param)) {
        throw new ConfigError(
          `${name}: a parameter of shape [${param.shape.join(', ')}] is given more than once`,
        )
      }
      if (!param.isLeaf) {
        throw new ConfigError(
          `${name}: a tensor of shape [${param.shape.join(', ')}] was computed from others; only leaf tensors can be optimized`,
        )
      }
      known.add(param)
    }
    const complete = this.#complete(options as unknown as Partial<Options>, this.defaults, ['params'])
    this.paramGroups.push({ params, ...complete })
  }

  /** The state of `param`, made by `create` at the first step. */
  protected stateOf<State extends ParamState>(param: Tensor, create: () => State): State {
    const known = this.state.get(param)
    if (known) return known as State
    const created = create()
    this.state.set(param, created)
    return created
  }

  /**
   * Compares what was saved of a parameter with what this optimizer remembers.
   * @param saved tensors, or anything that stands for them, and counts
   * @throws CheckpointError that names what is missing or of another kind
   */
  checkRemembered(parameter: string, saved: Readonly<Record<string, unknown>>): void {
    const { remembers } = this
    if (!remembers) return
    const wrong = (problem: string) =>
      new CheckpointError(
        `${this.constructor.name}: the saved state of ${parameter} ${problem}; it has ${Object.keys(remembers).join(', ')}`,
      )
    for (const [key, kind] of Object.entries(remembers)) {
      const value = Object.hasOwn(saved, key) ? saved[key] : undefined
      if (value === undefined && kind === 'tensor or none') continue
      if (kind === 'count' ? isCount(value) : isObject(value)) continue
      throw wrong(value === undefined ? `lacks ${key}` : `has ${show(value)} as ${key}`)
    }
  }

  /** Hyper-parameters and what is remembered of each parameter. The tensors are the optimizer's own, not copies. */
  stateDict(): OptimizerState<Options> {
    const numbers = new Map(this.paramGroups.flatMap(({ params }) => params).map((param, i) => [param, i]))
    const state: Record<string, ParamState> = {}
    for (const [param, remembered] of this.state) state[String(numbers.get(param)!)] = { ...remembered }
    const paramGroups = this.paramGroups.map((group) => {
      const { params, ...options } = group
      const initialLr = initialLrs.get(group)
      return {
        ...options,
        ...(initialLr !== undefined && { initialLr }),
        params: params.map((param) => numbers.get(param)!),
      }
    })
    return { state, paramGroups } as unknown as OptimizerState<Options>
  }

  /**
   * Takes over hyper-parameters and copies of what was remembered, for groups of the same sizes in the same order.
   * @throws CheckpointError when the groups do not match; nothing has changed then
   */
  loadStateDict(dict: OptimizerState<Options>): void {
    const name = this.constructor.name
    const listed = dict?.paramGroups
    if (
      !Array.isArray(listed) ||
      !listed.every((group) => Array.isArray(group?.params)) ||
      !isObject(dict.state)
    ) {
      throw new CheckpointError(`${name}: a saved state is { state, paramGroups }, got ${show(dict)}`)
    }
    const saved = dict.paramGroups
    const sizes = (groups: readonly { params: readonly unknown[] }[]) =>
      groups.map(({ params }) => params.length)
    if (sizes(saved).join() !== sizes(this.paramGroups).join()) {
      throw new CheckpointError(
        `${name}: the saved state has parameter groups of [${sizes(saved).join(', ')}] tensors, ` +
          `this optimizer has [${sizes(this.paramGroups).join(', ')}]`,
      )
    }
    const state = new Map<Tensor, ParamState>()
    this.paramGroups.forEach((group, i) => {
      group.params.forEach((param, j) => {
        const remembered = dict.state[String(saved[i]!.params[j])]
        if (!remembered) return
        this.checkRemembered(`parameter ${saved[i]!.params[j]}`, remembered)
        state.set(param, copyState(name, param, remembered))
      })
    })
    const options = saved.map(({ params, initialLr, ...rest }) => {
      if (initialLr !== undefined && typeof initialLr !== 'number') {
        throw new CheckpointError(`${name}: the saved initialLr of a group is ${show(initialLr)}, no number`)
      }
      return this.#complete(rest as unknown as Partial<Options>, this.defaults, [])
    })
    this.paramGroups.forEach((group, i) => {
      Object.assign(group, options[i])
      const { initialLr } = saved[i]!
      if (initialLr === undefined) initialLrs.delete(group)
      else initialLrs.set(group, initialLr)
    })
    this.state.clear()
    for (const [param, remembered] of state) this.state.set(param, remembered)
  }

  #complete(
    options: Partial<Options>,
    defaults: Required<Options>,
    reserved: readonly string[],
  ): Required<Options> {
    requireOptions(this.constructor.name, options)
    const unknown = Object.keys(options).filter((key) => !Object.hasOwn(defaults, key))
    if (unknown.length > 0) {
      throw new ConfigError(
        `${this.constructor.name}: unknown option ${unknown.join(', ')}; ` +
          `the options are ${[...reserved, ...Object.keys(defaults)].join(', ')}`,
      )
    }
    const given = Object.entries(options).filter(([, value]) => value !== undefined)
    const complete = { ...defaults, ...Object.fromEntries(given) } as Required<Options>
    this.checkOptions(complete)
    return complete
  }
}

/** Throws a ConfigError unless `min` <= `value` < `below`. */
export function checkRange(owner: string, name: string, value: number, min: number, below = Infinity): void {
  if (typeof value === 'number' && value >= min && value < below) return
  const range = below === Infinity ? `at least ${min}` : `in [${min}, ${below})`
  throw new ConfigError(`${owner}: ${name} must be ${range}, got ${show(value)}`)
}

/** Throws a ConfigError unless both rates lie in [0, 1). */
export function checkBetas(owner: string, betas: readonly number[]): void {
  if (!Array.isArray(betas) || betas.length !== 2) {
    throw new ConfigError(`${owner}: betas must be two numbers, got ${show(betas)}`)
  }
  for (const [i, beta] of betas.entries()) checkRange(owner, `betas[${i}]`, beta, 0, 1)
}

function toArray<Item>(items: Iterable<Item>): Item[] {
  if (
    items instanceof Tensor ||
    ArrayBuffer.isView(items) ||
    typeof (items as Iterable<Item> | undefined)?.[Symbol.iterator] !== 'function'
  ) {
    throw new ConfigError(
      'an optimizer takes a list of parameters (model.parameters()) or of groups { params, lr, … }',
    )
  }
  return [...items]
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function copyState(owner: string, param: Tensor, remembered: ParamState): ParamState {
  return Object.fromEntries(
    Object.entries(remembered).map(([key, value]) => {
      if (!(value instanceof Tensor)) return [key, value]
      if (value.shape.join() !== param.shape.join()) {
        throw new CheckpointError(
          `${owner}: the saved ${key} is [${value.shape.join(', ')}], its parameter [${param.shape.join(', ')}]`,
        )
      }
      return [key, zerosLike(param).copy_(value).keep()]
    }),
  )
}
