import { CheckpointError, ConfigError } from '../src/engine/errors.ts'
import { noGrad, stack, Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type {
  BatchBeginContext,
  BatchEndContext,
  EpochEndContext,
  LossBeginContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import type { AnyModule } from '../src/learner/layerGroups.ts'
import { checkCount, checkNotNegative, rejectUnknownOptions } from '../src/learner/options.ts'
import { bulk, count, fields, listOf, type StateCheck, tensorOf, text } from '../src/learner/stateChecks.ts'
import { addForwardHook, type HookHandle } from '../src/nn/hooks.ts'
import type { Module } from '../src/nn/Module.ts'
import { activationsChart, type Figure } from '../src/plot/index.ts'

/** What came out of one layer, batch by batch. */
export interface LayerStats {
  /** Its name within the model. */
  readonly name: string
  /** Training batches that the others are of, counted over the fits of the callback. */
  readonly batches: number[]
  readonly means: number[]
  readonly stds: number[]
  /** Share of the values that are no further from zero than `nearZero`. */
  readonly nearZero: number[]
}

export interface ActivationStatsOptions {
  /** Layers to watch. Default: all without children that have parameters, as in fastai. */
  modules?: readonly AnyModule[]
  /** Look at every so many training batches. Default 1. */
  every?: number
  /** What counts as near zero. Default 0.05. */
  nearZero?: number
}

/**
 * Mean, standard deviation and share near zero of what layers give, while they train: a net that trains well keeps its means near 0 and
 * its deviations near 1, and few of its values at zero. Figures are computed on the device, and read when an epoch ends. Under
 * `learner.compile()` the batches that it looks at run without recordings: with `every` the others remain fast.
 */
export class ActivationStats extends Callback {
  override readonly runsInLrFind = false
  readonly every: number
  readonly nearZero: number
  /** In the model's order. Complete after each epoch. */
  readonly layers: LayerStats[] = []
  readonly #modules: readonly AnyModule[] | undefined
  /** What is watched in the running fit. */
  #watched: { module: Module; layer: LayerStats }[] = []
  /** Only while the model answers a batch that is looked at: a compiled Learner repeats no batch that hooks listen to. */
  readonly #handles: HookHandle[] = []
  /** This batch's figures, one tensor for each layer that has answered. */
  #current = new Map<LayerStats, Tensor>()
  #unread: { batch: number; layers: LayerStats[]; values: Tensor }[] = []
  #batches = 0

  constructor(options: ActivationStatsOptions = {}) {
    super()
    rejectUnknownOptions('ActivationStats', options, ['modules', 'every', 'nearZero'])
    const { modules, every = 1, nearZero = 0.05 } = options
    checkCount('ActivationStats', 'every', every, 1)
    checkNotNegative('ActivationStats', 'nearZero', nearZero)
    this.every = every
    this.nearZero = nearZero
    this.#modules = modules
  }

  /** @throws ConfigError for a module that is not in the model */
  override onTrainBegin({ learner }: TrainBeginContext): void {
    const named = learner.model.namedModules()
    const chosen = this.#modules
      ? this.#modules.map((module) => nameOf(module, named))
      : named.filter(([, module]) => module.children().length === 0 && module.parameters().length > 0)
    for (const [name, module] of chosen) {
      let layer = this.layers.find((one) => one.name === name)
      if (!layer) {
        layer = { name, batches: [], means: [], stds: [], nearZero: [] }
        this.layers.push(layer)
      }
      this.#watched.push({ module, layer })
    }
  }

  override stateDict(): CallbackState {
    return {
      batches: this.#batches,
      layers: this.layers.map(({ name, ...figures }) => ({ name, ...asArrays(figures) })),
      unread: this.#unread.map(({ batch, layers, values }) => ({
        batch,
        layers: layers.map(({ name }) => name),
        values,
      })),
    }
  }

  override loadStateDict(state: {
    batches: number
    layers: {
      name: string
      batches: Float64Array
      means: Float64Array
      stds: Float64Array
      nearZero: Float64Array
    }[]
    unread: { batch: number; layers: string[]; values: Tensor }[]
  }): void {
    checkState(state, new Set(this.layers.map(({ name }) => name)))
    this.#forget()
    this.#batches = state.batches
    for (const layer of this.layers) {
      const saved = state.layers.find(({ name }) => name === layer.name)
      for (const key of ['batches', 'means', 'stds', 'nearZero'] as const) {
        layer[key].length = 0
        for (const value of saved?.[key] ?? []) layer[key].push(value)
      }
    }
    this.#unread = state.unread.map(({ batch, layers, values }) => ({
      batch,
      layers: layers.map((name) => this.layers.find((layer) => layer.name === name)!),
      values: values.detach().clone().keep(),
    }))
  }

  override onBatchBegin({ train }: BatchBeginContext): void {
    this.#stopLooking()
    if (!train || this.#batches % this.every !== 0) return
    for (const { module, layer } of this.#watched) {
      this.#handles.push(addForwardHook(module, (_module, _inputs, output) => this.#look(layer, output)))
    }
  }

  /** The model has answered: what it is asked later, as in a validation between batches, is not of this batch. */
  override onLossBegin({ train }: LossBeginContext): void {
    if (train && this.#current.size > 0) {
      const values = noGrad(() => stack([...this.#current.values()]).keep())
      this.#unread.push({ batch: this.#batches, layers: [...this.#current.keys()], values })
    }
    this.#stopLooking()
  }

  override onBatchEnd({ train }: BatchEndContext): void {
    this.#stopLooking()
    if (train && this.#watched.length > 0) this.#batches++
  }

  override async onEpochEnd(_context: EpochEndContext): Promise<void> {
    await this.#read()
  }

  override async onTrainEnd(_context: TrainEndContext): Promise<void> {
    this.#stopLooking()
    this.#watched = []
    await this.#read()
  }

  /**
   * Means, deviations and shares near zero by training batch, a line for each layer.
   * @throws ConfigError before the first fit
   */
  plot(): Figure {
    if (this.layers.every(({ batches }) => batches.length === 0)) {
      throw new ConfigError('there are no activations to plot: give this callback to a fit, and await it')
    }
    return activationsChart(this.layers, { nearZero: this.nearZero })
  }

  #look(layer: LayerStats, output: unknown): undefined {
    if (!(output instanceof Tensor)) return undefined
    const figures = noGrad(() => {
      const values = output.detach().to('float32')
      const isNear = values.abs().le(this.nearZero).to('float32')
      return stack([values.mean(), values.std(), isNear.mean()])
    })
    this.#current.set(layer, figures)
    return undefined
  }

  #stopLooking(): void {
    for (const handle of this.#handles.splice(0)) handle.remove()
    this.#current.clear()
  }

  async #read(): Promise<void> {
    for (const { batch, layers, values } of this.#unread.splice(0)) {
      const figures = Array.from(await values.data(), Number)
      values.dispose()
      for (const [i, layer] of layers.entries()) {
        layer.batches.push(batch)
        layer.means.push(figures[3 * i]!)
        layer.stds.push(figures[3 * i + 1]!)
        layer.nearZero.push(figures[3 * i + 2]!)
      }
    }
  }

  #forget(): void {
    for (const { values } of this.#unread.splice(0)) values.dispose()
  }
}

function checkState(state: CallbackState, known: ReadonlySet<string>): void {
  const figures = Object.fromEntries(
    ['batches', 'means', 'stds', 'nearZero'].map((key) => [key, bulk(Float64Array)]),
  )
  const watched: StateCheck = (name, where) => {
    text(name, where)
    if (!known.has(name as string)) throw new CheckpointError(`${where} is ${name}, which is not watched`)
  }
  const values: StateCheck = (unread, where) => {
    const { layers, values } = unread as { layers: string[]; values: unknown }
    tensorOf([layers.length, 3])(values, `${where}.values`)
  }
  const batch = fields({ batch: count(), layers: listOf(watched), values: tensorOf() })
  fields({
    batches: count(),
    layers: listOf(fields({ name: text, ...figures })),
    unread: listOf((unread, where) => {
      batch(unread, where)
      values(unread, where)
    }),
  })(state, 'ActivationStats')
}

function nameOf(module: AnyModule, named: [string, Module][]): [string, Module] {
  const found = named.find(([, one]) => one === module)
  if (!found)
    throw new ConfigError(`ActivationStats: a ${module?.constructor?.name} to watch is not in the model`)
  return found
}

function asArrays(figures: Readonly<Record<string, readonly number[]>>): Record<string, Float64Array> {
  return Object.fromEntries(Object.entries(figures).map(([key, list]) => [key, Float64Array.from(list)]))
}
