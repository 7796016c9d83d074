import { inspect } from 'node:util'
import { requireOptions, requireTensor, show } from '../engine/check.ts'
import { AnnealError, ConfigError } from '../engine/errors.ts'
import type { DType, Tensor } from '../engine/index.ts'
import { convertModule } from './convert.ts'
import {
  addForwardHook,
  addForwardPreHook,
  type ForwardHook,
  type ForwardPreHook,
  type HookHandle,
} from './hooks.ts'
import { Parameter } from './Parameter.ts'
import { moduleToString } from './repr.ts'
import { collectState, type LoadStateDictOptions, type LoadStateDictResult, loadState } from './stateDict.ts'
import { type ModuleSummary, type SummaryInput, type SummaryOptions, summarize } from './summary.ts'

/** Options of the methods that list what a module holds. */
export interface ListOptions {
  /** Put before every name. Default ''. */
  prefix?: string
  /** Also what the modules inside hold. Default true. */
  recurse?: boolean
}

/**
 * Base of every layer and model. Parameters, buffers and modules are found by looking at the object's own fields, in the order
 * in which the class declares them:
 *
 * - a {@link Parameter} is trained, saved and moved; a plain tensor in a field is none of these;
 * - a tensor registered with {@link registerBuffer} is saved and moved, not trained;
 * - a `Module` is searched in turn; lists of modules go into a `ModuleList` or `Sequential`.
 *
 * `#private` fields are not searched: keep there what only refers to a module that lives elsewhere.
 *
 * `Inputs` and `Output` type `forward`; a model of two inputs extends `Module<[Tensor, Tensor]>`.
 *
 * @example
 * class Net extends nn.Module {
 *   conv = new nn.Conv2d(3, 6, 5)
 *   forward(x: Tensor) { return F.relu(this.conv.forward(x)) }
 * }
 */
export class Module<Inputs extends readonly unknown[] = [x: Tensor], Output = Tensor> {
  /**
   * Names in the state dict of fields that are called otherwise there, as `{ runningMean: 'running_mean' }`: what makes
   * weights interchangeable with PyTorch. Fields not listed keep their name. A subclass inherits the table,
   * or spreads it into its own.
   */
  static readonly stateNames: Readonly<Record<string, string>> = {}

  /** True while training: dropout drops and batch norm uses the batch. Set by {@link train} and {@link eval}. */
  training = true
  readonly #buffers = new Map<string, { persistent: boolean }>()

  /** Computes the output. Every model and layer overrides it. */
  forward(..._inputs: Inputs): Output {
    throw new AnnealError(
      `${this.constructor.name} has no forward(): a module defines how it computes its output`,
    )
  }

  /** The same as {@link forward}: hooks run either way. */
  call(...inputs: Inputs): Output {
    return this.forward(...inputs)
  }

  // What the module holds ------------------------------------------------------------------------------------------

  /**
   * Makes `tensor` a buffer: a field that is saved and moved with the module but not trained, like batch norm's running mean.
   * `null` reserves the name. With `persistent: false` it is moved but not saved.
   */
  registerBuffer(name: string, tensor: Tensor | null, { persistent = true } = {}): void {
    if (tensor !== null) requireTensor(this.constructor.name, `buffer '${name}'`, tensor)
    const present = (this as Record<string, unknown>)[name]
    if (!this.#buffers.has(name) && present !== undefined && present !== null) {
      throw new ConfigError(`${this.constructor.name}: cannot register buffer '${name}', the name is taken`)
    }
    this.#buffers.set(name, { persistent })
    tensor?.keep()
    Object.defineProperty(this, name, { value: tensor, writable: true, enumerable: true, configurable: true })
  }

  /** Own parameters by their name in the state dict, in order of declaration; with `repeated`, all names of shared ones. */
  ownParameters(): [string, Parameter][] {
    return this.#own((value): value is Parameter => value instanceof Parameter)
  }

  /** Own buffers by their name in the state dict. */
  ownBuffers({ persistentOnly = false } = {}): [string, Tensor][] {
    const entries: [string, Tensor][] = []
    for (const [field, { persistent }] of this.#buffers) {
      const tensor = (this as Record<string, unknown>)[field] as Tensor | null
      if (tensor && (persistent || !persistentOnly)) entries.push([this.stateName(field), tensor])
    }
    return entries
  }

  /** The modules directly inside, with their names; one that stands under two names counts once unless `repeated`. */
  namedChildren({ repeated = false } = {}): [string, Module][] {
    const children = this.#own((value): value is Module => value instanceof Module)
    return repeated ? children : uniqueByValue(children)
  }

  /** The modules directly inside. */
  children(): Module[] {
    return this.namedChildren().map(([, child]) => child)
  }

  /** This module (named `prefix`) and all inside it, outermost first, each once, with dotted names. */
  namedModules({ prefix = '' }: { prefix?: string } = {}): [string, Module][] {
    const found = new Map<Module, string>()
    const visit = (module: Module, name: string): void => {
      if (found.has(module)) return
      found.set(module, name)
      for (const [child, inner] of module.namedChildren()) visit(inner, join(name, child))
    }
    visit(this as unknown as Module, prefix)
    return [...found].map(([module, name]) => [name, module])
  }

  /** This module and all inside it, outermost first, each once. */
  modules(): Module[] {
    return this.namedModules().map(([, module]) => module)
  }

  /** Parameters with their names in the state dict, in PyTorch's order; a shared one counts once, under its first name. */
  namedParameters(options: ListOptions = {}): [string, Parameter][] {
    const { prefix, recurse } = listOptions('namedParameters', options)
    return this.#collect((module) => module.ownParameters(), prefix, recurse)
  }

  /** All parameters, each once: what an optimizer takes. */
  parameters(options: { recurse?: boolean } = {}): Parameter[] {
    return this.namedParameters(options).map(([, parameter]) => parameter)
  }

  /** Buffers with their names in the state dict, those that are not saved included. */
  namedBuffers(options: ListOptions = {}): [string, Tensor][] {
    const { prefix, recurse } = listOptions('namedBuffers', options)
    return this.#collect((module) => module.ownBuffers(), prefix, recurse)
  }

  /** All buffers, each once. */
  buffers(options: { recurse?: boolean } = {}): Tensor[] {
    return this.namedBuffers(options).map(([, buffer]) => buffer)
  }

  // Doing something to all of it -----------------------------------------------------------------------------------

  /** Calls `fn` with every module inside, innermost first, then with this one. Returns this. */
  apply(fn: (module: Module) => void): this {
    for (const child of this.children()) child.apply(fn)
    fn(this as unknown as Module)
    return this
  }

  /** Puts this module and all inside it in training mode (or, with false, in evaluation mode). Returns this. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode
    return this
  }

  /** Puts everything in evaluation mode: dropout passes through, batch norm uses its running statistics. Returns this. */
  eval(): this {
    return this.train(false)
  }

  /**
   * Moves parameters and buffers to a device ('cpu', 'cuda', 'cuda:1') or converts the floating ones to a dtype. In place: the
   * same parameter objects, so an optimizer made before goes on working. Returns this.
   */
  to(target: DType | (string & {})): this {
    convertModule(this as unknown as Module, target)
    return this
  }

  /** {@link to}('float64'). */
  double(): this {
    return this.to('float64')
  }

  /** {@link to}('float32'). */
  float(): this {
    return this.to('float32')
  }

  /** Lets the parameters be trained, or (false) freezes them. Returns this. */
  requiresGrad_(requiresGrad = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad_(requiresGrad)
    return this
  }

  /** Forgets the gradients, or (with `setToNull` false) fills them with zeros. */
  zeroGrad(setToNull = true): void {
    for (const parameter of this.parameters()) {
      if (setToNull) parameter.clearGrad()
      else if (parameter.accumulated) parameter.accumulated.zero_()
    }
  }

  // State ----------------------------------------------------------------------------------------------------------

  /**
   * Parameters and saved buffers by PyTorch's names (`layer1.0.conv1.weight`, `bn1.running_mean`) and in its order. The tensors
   * share memory with the module's; they carry no gradient.
   */
  stateDict({ prefix = '' }: { prefix?: string } = {}): Record<string, Tensor> {
    return collectState(this as unknown as Module, prefix)
  }

  /**
   * Copies values into parameters and buffers. With `strict` (the default) every name must match; without it, names that are
   * missing or unexpected are only returned. Shapes must match either way.
   *
   * @throws CheckpointError that lists all mismatches at once; nothing has been copied then.
   */
  loadStateDict(
    state: Readonly<Record<string, Tensor>>,
    options: LoadStateDictOptions = {},
  ): LoadStateDictResult {
    return loadState(this as unknown as Module, state, options)
  }

  /** Names, without prefix, that a state dict may lack without harm: older PyTorch files have no `num_batches_tracked`. */
  optionalState(): readonly string[] {
    return []
  }

  /** The name in the state dict of a field. */
  stateName(field: string): string {
    const { stateNames } = this.constructor as typeof Module
    return Object.hasOwn(stateNames, field) ? stateNames[field]! : field
  }

  // Watching and showing -------------------------------------------------------------------------------------------

  /** Calls `hook` after every `forward` of this module; what it returns, if anything, replaces the output. */
  registerForwardHook(hook: ForwardHook<Inputs, Output>): HookHandle {
    return addForwardHook(this as unknown as Module, hook as ForwardHook)
  }

  /** Calls `hook` before every `forward` of this module; the array it returns, if any, replaces the inputs. */
  registerForwardPreHook(hook: ForwardPreHook<Inputs>): HookHandle {
    return addForwardPreHook(this as unknown as Module, hook as unknown as ForwardPreHook)
  }

  /**
   * Output shapes and parameter counts of every layer, found by one pass in evaluation mode, of zeros of a shape or of the tensors
   * themselves. The result prints as a table (`console.log(net.summary([1, 3, 32, 32]))`); several inputs are given as a list of
   * shapes, or of tensors where their dtypes differ.
   * @throws ConfigError for what is neither; whatever the model throws
   */
  summary(input: SummaryInput, options: SummaryOptions = {}): ModuleSummary {
    return summarize(this as unknown as Module, input, options)
  }

  /** What stands between the brackets when the module prints, as `in_features=4, out_features=2, bias=True`. */
  extraRepr(): string {
    return ''
  }

  /** The tree of modules, as PyTorch prints it. */
  toString(): string {
    return moduleToString(this as unknown as Module)
  }

  [inspect.custom](): string {
    return this.toString()
  }

  #own<Value>(wanted: (value: unknown) => value is Value): [string, Value][] {
    const entries: [string, Value][] = []
    for (const field of Object.keys(this)) {
      const value: unknown = (this as Record<string, unknown>)[field]
      if (value === null || typeof value !== 'object' || this.#buffers.has(field)) continue
      if (wanted(value)) entries.push([this.stateName(field), value])
      else if (Array.isArray(value)) refuseModulesInArray(this.constructor.name, field, value)
    }
    return entries
  }

  #collect<Value extends Tensor>(
    own: (module: Module) => [string, Value][],
    prefix: string,
    recurse: boolean,
  ): [string, Value][] {
    const modules: [string, Module][] = recurse
      ? this.namedModules({ prefix })
      : [[prefix, this as unknown as Module]]
    return uniqueByValue(
      modules.flatMap(([name, module]) =>
        own(module).map(([key, value]): [string, Value] => [join(name, key), value]),
      ),
    )
  }
}

function listOptions(owner: string, options: ListOptions): Required<ListOptions> {
  requireOptions(owner, options, ['prefix', 'recurse'])
  const { prefix = '', recurse = true } = options
  if (typeof prefix !== 'string')
    throw new ConfigError(`${owner}: the prefix must be a string, got ${show(prefix)}`)
  return { prefix, recurse }
}

function join(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`
}

/** Of entries with the same value, the first. */
export function uniqueByValue<Value>(entries: [string, Value][]): [string, Value][] {
  const seen = new Set<Value>()
  return entries.filter(([, value]) => !seen.has(value) && seen.add(value))
}

/** PyTorch overlooks a plain list of layers, and they never train. That costs people days, so it is an error here. */
function refuseModulesInArray(owner: string, field: string, values: readonly unknown[]): void {
  if (!values.some((value) => value instanceof Module || value instanceof Parameter)) return
  throw new ConfigError(
    `${owner}.${field} is a plain array of modules or parameters, which would be neither trained nor saved. ` +
      `Write \`${field} = new nn.ModuleList([…])\`, or keep mere references in a #private field.`,
  )
}
