import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import { noGrad, type Tensor } from '../engine/index.ts'
import type * as nn from '../nn/index.ts'
import { Optimizer, type ParamState } from '../optim/Optimizer.ts'
import { partNormAndBias } from './layerGroups.ts'
import { lrRange } from './lrRange.ts'
import { checkNotNegative } from './options.ts'

/** A parameter group of the optimizer inside, with the hyper-parameters that the Learner steers where it has them. */
export interface SteeredGroup {
  params: Tensor[]
  lr: number
  weightDecay?: number
  decoupledWeightDecay?: boolean
  momentum?: number
  betas?: readonly [number, number]
  alpha?: number
}

/** What an {@link OptimizerWrapper} is set to. */
export type HyperParameters = {
  groups: Omit<SteeredGroup, 'params'>[]
  wds: number[]
}

/** What the Learner needs of an optimizer. Those of `optim` have it. */
export interface SteerableOptimizer {
  readonly paramGroups: SteeredGroup[]
  readonly state: Map<Tensor, ParamState>
  step(): void
  zeroGrad(): void
}

/** What the Learner makes an optimizer with. */
export interface OptimizerFactoryOptions {
  /** Learning rate at first; the Learner sets it anew for each fit and group. */
  lr: number
}

/** Groups of parameters in, optimizer out. */
export type OptimizerFactory = (
  params: { params: Tensor[] }[],
  options: OptimizerFactoryOptions,
) => SteerableOptimizer

/** An optimizer's class, as `optim.Adam`, or a function that makes an optimizer. */
export type OptimizerOption =
  | OptimizerFactory
  | (new (
      params: { params: Tensor[] }[],
      options: OptimizerFactoryOptions,
    ) => SteerableOptimizer)

export interface OptimizerWrapperOptions {
  /** Decoupled weight decay: parameters shrink by `wd * lr` before each step, apart from the gradient. */
  trueWd: boolean
  /** Whether batch and layer norm, and the biases of linear and convolution layers, decay too. */
  bnWd: boolean
}

/**
 * An optimizer over layer groups, as fastai's OptimWrapper: each group is two of the optimizer's own (normalisation and biases
 * apart), with one rate, momentum and decay. Reading `lr`, `momentum`, `beta` or `wd` gives the last group's; setting one
 * number sets all groups, setting a list sets each.
 *
 * With `trueWd` weight decay is decoupled from the gradient (Loshchilov & Hutter, "Decoupled weight decay regularization",
 * 2019): p becomes p * (1 - wd * lr), then the optimizer steps, itself without decay.
 */
export class OptimizerWrapper {
  readonly trueWd: boolean
  readonly bnWd: boolean
  readonly #factory: OptimizerOption
  #inner: SteerableOptimizer
  #wds: number[]
  readonly #initial: { momentum: number | undefined; beta: number | undefined }

  constructor(factory: OptimizerOption, groups: readonly nn.Sequential[], options: OptimizerWrapperOptions) {
    this.#factory = factory
    this.trueWd = options.trueWd
    this.bnWd = options.bnWd
    this.#inner = make(factory, groups)
    this.#wds = groups.map(() => 0)
    this.wd = 0
    this.#initial = { momentum: this.momentum, beta: this.beta }
  }

  /** The optimizer inside: one of `optim`, or what the factory gave. */
  get inner(): SteerableOptimizer {
    return this.#inner
  }

  get groupCount(): number {
    return this.#wds.length
  }

  get lr(): number {
    return this.#last.lr
  }
  set lr(value: number | readonly number[]) {
    this.#each(lrRange(value, this.groupCount), (group, lr) => {
      group.lr = lr
    })
  }

  /** Learning rates of all layer groups. */
  get lrs(): number[] {
    return this.#inner.paramGroups.filter((_, i) => i % 2 === 1).map(({ lr }) => lr)
  }

  /** SGD's and RMSprop's momentum, or Adam's beta1; undefined if the optimizer has neither, and setting does nothing then. */
  get momentum(): number | undefined {
    const { momentum, betas } = this.#last
    return momentum ?? betas?.[0]
  }
  set momentum(value: number | readonly number[]) {
    this.#each(this.#values('momentum', value), (group, momentum) => {
      if (group.momentum !== undefined) group.momentum = momentum
      else if (group.betas) group.betas = [momentum, group.betas[1]]
    })
  }

  /** Adam's beta2 or RMSprop's alpha; undefined if the optimizer has neither, and setting does nothing then. */
  get beta(): number | undefined {
    const { betas, alpha } = this.#last
    return betas?.[1] ?? alpha
  }
  set beta(value: number | readonly number[]) {
    this.#each(this.#values('beta', value), (group, beta) => {
      if (group.betas) group.betas = [group.betas[0], beta]
      else if (group.alpha !== undefined) group.alpha = beta
    })
  }

  /** Weight decay. */
  get wd(): number {
    return this.#wds.at(-1)!
  }
  set wd(value: number | readonly number[]) {
    const wds = this.#values('wd', value)
    this.#wds = wds
    this.#each(wds, (group, wd, isNormAndBias) => {
      const exempt = isNormAndBias && !this.bnWd
      // An optimizer that can decouple decay itself does so in the same pass over the weights as its step.
      const decouples = this.trueWd && group.decoupledWeightDecay !== undefined
      if (decouples) group.decoupledWeightDecay = true
      const inside = exempt || (this.trueWd && !decouples) ? 0 : wd
      if (group.weightDecay !== undefined) group.weightDecay = inside
      else if (inside !== 0) {
        throw new ConfigError(
          'trueWd is false, but the optimizer has no weightDecay of its own; use trueWd: true, or wd: 0',
        )
      }
    })
  }

  /** All hyper-parameters, for a checkpoint: of each of the optimizer's own groups, and the decay of each layer group. */
  get hyperParameters(): HyperParameters {
    return {
      groups: this.#inner.paramGroups.map(({ params, ...options }) => options),
      wds: [...this.#wds],
    }
  }
  set hyperParameters({ groups, wds }: HyperParameters) {
    for (const [i, group] of this.#inner.paramGroups.entries()) Object.assign(group, groups[i])
    this.#wds = [...wds]
  }

  /** Momentum and beta as the optimizer was made with. A fit begins so, whatever a schedule before it left. */
  resetMomentum(): void {
    if (this.#initial.momentum !== undefined) this.momentum = this.#initial.momentum
    if (this.#initial.beta !== undefined) this.beta = this.#initial.beta
  }

  step(): void {
    if (this.trueWd) noGrad(() => this.#decay())
    this.#inner.step()
  }

  zeroGrad(): void {
    this.#inner.zeroGrad()
  }

  /**
   * Takes up the parameters of `groups` that are trainable now. What the optimizer remembers of those that it had before is
   * kept; what it remembers of others, and their gradients, go.
   */
  regroup(groups: readonly nn.Sequential[]): void {
    const before = this.#inner
    const { lrs, momentum, beta } = this
    const wds = this.#wds
    this.#inner = make(this.#factory, groups)
    this.#wds = groups.map((_, i) => (groups.length === wds.length ? wds[i]! : wds.at(-1)!))
    this.lr = groups.length === lrs.length ? lrs : lrs.at(-1)!
    this.wd = this.#wds
    if (momentum !== undefined) this.momentum = momentum
    if (beta !== undefined) this.beta = beta
    const trained = new Set(this.parameters())
    for (const [parameter, state] of before.state) {
      if (trained.has(parameter)) this.#inner.state.set(parameter, state)
      else free(state)
    }
    for (const { params } of before.paramGroups) {
      for (const parameter of params) if (!trained.has(parameter)) parameter.grad = null
    }
  }

  /** All parameters that are trained. */
  parameters(): Tensor[] {
    return this.#inner.paramGroups.flatMap(({ params }) => params)
  }

  /** Forgets what was remembered of past steps. */
  clear(): void {
    for (const state of this.#inner.state.values()) free(state)
    this.#inner.state.clear()
  }

  /** A value for each layer group. */
  #values(name: string, value: number | readonly number[]): number[] {
    const values = typeof value === 'number' ? this.#wds.map(() => value) : [...value]
    if (values.length !== this.groupCount) {
      throw new ConfigError(`got ${values.length} values of ${name} for ${this.groupCount} layer group(s)`)
    }
    for (const each of values) checkNotNegative('optimizer', name, each)
    return values
  }

  get #last(): SteeredGroup {
    return this.#inner.paramGroups.at(-1)!
  }

  /** Both of the optimizer's groups of a layer group get its value. */
  #each(
    values: readonly number[],
    set: (group: SteeredGroup, value: number, isNormAndBias: boolean) => void,
  ): void {
    for (const [i, group] of this.#inner.paramGroups.entries()) set(group, values[i >> 1]!, i % 2 === 1)
  }

  #decay(): void {
    this.#each(this.#wds, (group, wd, isNormAndBias) => {
      const factor = 1 - wd * group.lr
      if (factor === 1 || group.decoupledWeightDecay || (isNormAndBias && !this.bnWd)) return
      // Reading `grad` would leave the gradient to the collector; `accumulated` only looks.
      for (const parameter of group.params) if (parameter.accumulated) parameter.mul_(factor)
    })
  }
}

function free(state: ParamState): void {
  for (const value of Object.values(state)) if (typeof value !== 'number') value.dispose()
}

function make(factory: OptimizerOption, groups: readonly nn.Sequential[]): SteerableOptimizer {
  const taken = new Set<nn.Parameter>()
  const params = groups.flatMap((group) => partNormAndBias(group, taken).map((part) => ({ params: part })))
  const options: OptimizerFactoryOptions = { lr: 3e-3 }
  checkOptimizerOption(factory)
  const made = isClass(factory) ? new factory(params, options) : factory(params, options)
  return checked(made, params.length)
}

/** @throws ConfigError for what cannot make an optimizer: the name of one, or an optimizer itself */
export function checkOptimizerOption(factory: unknown): void {
  if (typeof factory !== 'function') throw unusable(`got ${show(factory)}`)
}

function isClass(factory: OptimizerOption): factory is Exclude<OptimizerOption, OptimizerFactory> {
  return factory.prototype instanceof Optimizer || /^class\b/.test(Function.prototype.toString.call(factory))
}

function checked(optimizer: SteerableOptimizer, groups: number): SteerableOptimizer {
  const usable =
    Array.isArray(optimizer?.paramGroups) &&
    optimizer.state instanceof Map &&
    typeof optimizer.step === 'function' &&
    typeof optimizer.zeroGrad === 'function'
  if (!usable) {
    const made =
      typeof optimizer === 'object' && optimizer !== null
        ? 'an object without paramGroups, state, step or zeroGrad'
        : String(optimizer)
    throw unusable(`it gave ${made}`)
  }
  if (optimizer.paramGroups.length !== groups) {
    throw new ConfigError(
      `the optimizer has ${optimizer.paramGroups.length} parameter groups, but was given ${groups}: pass the params on as they came`,
    )
  }
  return optimizer
}

function unusable(what: string): ConfigError {
  return new ConfigError(
    `the optimizer option must be an optimizer class, as optim.Adam, or a function (params, options) => optimizer; ${what}`,
  )
}
