import { requireFunction, requireOptions, requireTensor, show } from './check.ts'
import { dtypeCode } from './dtype.ts'
import { AutogradError, ShapeError } from './errors.ts'
import type { Edge } from './graph.ts'
import { edgeOf } from './graph.ts'
import { call, callOn } from './native.ts'
import { toDType } from './ops/convert.ts'
import { walkRecorded } from './recordedWalk.ts'
import { engineState, type TensorScope, withState } from './state.ts'
import { Tensor } from './tensor.ts'
import { type GradientHook, walk } from './walk.ts'

export interface BackwardOptions {
  /** The gradient of this tensor; needed unless it has one element. */
  gradient?: Tensor | null | undefined
  /** Keep what the graph needs, to walk it again. Default false. */
  retainGraph?: boolean | undefined
}

const BACKWARD_OPTIONS = ['gradient', 'retainGraph']

declare module './tensor.ts' {
  interface Tensor {
    /**
     * Computes the gradients of this tensor with respect to every leaf that requires one, and adds them to their `grad`.
     * @throws AutogradError when the tensor has no history, or its graph has been freed by an earlier backward.
     */
    backward(options?: BackwardOptions): void
    backward(gradient: Tensor | null, options?: Omit<BackwardOptions, 'gradient'>): void
    /** The same values without history; shares memory. */
    detach(): Tensor
    /** Cuts this tensor off from its history: it becomes a leaf that requires no gradient. In place. Not for views. */
    detach_(): this
    /**
     * Calls `hook` with this tensor's gradient in each backward pass, once all of it has arrived; a tensor that it returns, of the
     * same shape, dtype and device, replaces the gradient. What the hook wants to have afterwards it has to `keep()`. Returns
     * a remover.
     */
    registerHook(hook: GradientHook): () => void
    /** Keeps the gradient of an intermediate tensor in its `grad`. */
    retainGrad(): this
  }
}

function requireHistory(name: string, root: Tensor): void {
  if (!root.requiresGrad) {
    throw new AutogradError(
      `${name}: this tensor has no history: nothing it was computed from requires gradients, ` +
        'or it was computed inside noGrad or from detached values',
    )
  }
}

// The gradient that the walk starts from: owned by the walk, or (recorded) with its history.
function seedOf(name: string, root: Tensor, gradient: Tensor | null | undefined, recorded = false): Tensor {
  if (gradient === undefined || gradient === null) {
    if (root.numel === 1) return callOn(root, 'full', root.shape, 1, dtypeCode(root.dtype))
    throw new AutogradError(
      `${name}: only a tensor of one element has an implied gradient, this one has shape [${root.shape.join(', ')}]. ` +
        'Reduce it (mean, sum) or pass the gradient: backward(gradient)',
    )
  }
  if (!(gradient instanceof Tensor)) {
    throw new AutogradError(`${name}: the gradient must be a tensor, got ${show(gradient)}`)
  }
  if (gradient.shape.join() !== root.shape.join()) {
    throw new ShapeError(
      `${name}: the gradient has shape [${gradient.shape.join(', ')}], the tensor [${root.shape.join(', ')}]`,
    )
  }
  if (recorded) return toDType(gradient, root.dtype)
  return gradient.dtype === root.dtype
    ? call('alias', gradient)
    : call('to_dtype', gradient, dtypeCode(root.dtype))
}

// Runs `body` as the backward pass runs: everything made inside is owned there, and freed unless handed out.
function walking(body: (made: TensorScope, outer: TensorScope | null) => void): void {
  const state = engineState()
  const outer = { scope: state.scope, gradEnabled: state.gradEnabled, autocast: state.autocast }
  const made: TensorScope = { tensors: [] }
  state.scope = made
  state.gradEnabled = false
  state.autocast = null
  try {
    body(made, outer.scope)
  } finally {
    state.scope = outer.scope
    state.gradEnabled = outer.gradEnabled
    state.autocast = outer.autocast
    for (const tensor of made.tensors) {
      if (tensor.scope === made) tensor.free()
    }
  }
}

// Runs `body` while all is recorded, in the precision of what is there.
function recording(body: () => void): void {
  const state = engineState()
  const { gradEnabled, autocast } = state
  state.gradEnabled = true
  state.autocast = null
  try {
    body()
  } finally {
    state.gradEnabled = gradEnabled
    state.autocast = autocast
  }
}

/** See Tensor.backward. */
export function backward(
  root: Tensor,
  gradientOrOptions: Tensor | null | BackwardOptions = null,
  more: BackwardOptions = {},
): void {
  requireTensor('backward', 'first argument', root)
  const alone = gradientOrOptions === null || gradientOrOptions instanceof Tensor
  const options = alone ? { ...more, gradient: gradientOrOptions } : gradientOrOptions
  if (Array.isArray(gradientOrOptions)) {
    throw new AutogradError(
      `backward: the gradient must be a tensor, as in backward(gradient), got ${show(gradientOrOptions)}`,
    )
  }
  requireOptions('backward', more, BACKWARD_OPTIONS)
  requireOptions('backward', options, BACKWARD_OPTIONS)
  const { gradient, retainGraph = false } = options
  requireHistory('backward', root)
  walking((made) => {
    walk([{ edge: edgeOf(root), gradient: seedOf('backward', root, gradient) }], retainGraph, made, null)
  })
}

export interface GradOptions {
  /** The gradients of the outputs, one each (null where an output has one element). */
  gradOutputs?: readonly (Tensor | null)[] | undefined
  /** Keep what the graph needs, to walk it again. Default: as `createGraph`. */
  retainGraph?: boolean | undefined
  /** Give null for an input that the outputs do not depend on, instead of an error. Default false. */
  allowUnused?: boolean | undefined
  /**
   * Record how the gradients come about, so that they can be differentiated again, as gradient penalties need. An operation
   * without such a record is an error that names it. Default false.
   */
  createGraph?: boolean | undefined
}

/**
 * The gradients of the sum of `outputs` with respect to each of `inputs` (leaves or intermediates), without touching any
 * `grad`; torch.autograd.grad.
 * @example
 * const [slope] = grad(critic.forward(x).sum(), x, { createGraph: true })
 * slope.square().sum().backward() // reaches the critic's parameters
 * @throws AutogradError when an output has no history, an input requires no gradient, an input is not reached (unless
 * `allowUnused`), or `createGraph` meets an operation whose gradient cannot be recorded.
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions & { allowUnused: true },
): (Tensor | null)[]
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options?: GradOptions,
): Tensor[]
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  requireOptions('grad', options, ['gradOutputs', 'createGraph', 'retainGraph', 'allowUnused'])
  const { gradOutputs, createGraph = false, retainGraph = createGraph, allowUnused = false } = options
  if (gradOutputs !== undefined && !Array.isArray(gradOutputs)) {
    throw new AutogradError(`grad: gradOutputs must be a list of tensors, got ${show(gradOutputs)}`)
  }
  const roots = tensorList('outputs', outputs)
  const wanted = tensorList('inputs', inputs)
  if (gradOutputs !== undefined && gradOutputs.length !== roots.length) {
    throw new AutogradError(`grad: ${gradOutputs.length} gradOutputs for ${roots.length} outputs`)
  }
  const captured = new Map<Edge, Tensor | null>()
  for (const input of wanted) {
    if (!input.requiresGrad) throw new AutogradError('grad: one of the inputs does not require gradients')
    captured.set(edgeOf(input), null)
  }
  const starts = () =>
    roots.map((root, i) => {
      requireHistory('grad', root)
      return { edge: edgeOf(root), gradient: seedOf('grad', root, gradOutputs?.[i], createGraph) }
    })
  const results = () =>
    wanted.map((input, i) => {
      const found = captured.get(edgeOf(input)) ?? null
      if (found === null && !allowUnused) {
        throw new AutogradError(
          `grad: the outputs do not depend on input ${i}; pass { allowUnused: true } to get null for it`,
        )
      }
      return found
    })
  if (createGraph) {
    recording(() => walkRecorded(starts(), retainGraph, captured))
    return results()
  }
  let found: (Tensor | null)[] = []
  walking((made, outer) => {
    walk(starts(), retainGraph, made, captured)
    found = results()
    for (const result of found) result?.moveTo(outer)
  })
  return found
}

function tensorList(name: string, given: Tensor | readonly Tensor[]): readonly Tensor[] {
  const list = given instanceof Tensor ? [given] : given
  if (!Array.isArray(list) || list.length === 0 || !list.every((item) => item instanceof Tensor)) {
    throw new AutogradError(`grad: ${name} must be a tensor or a list of tensors`)
  }
  return list
}

/** Runs `body` without recording gradients; `body` may be asynchronous. Returns what it returns. */
export function noGrad<T>(body: () => T): T {
  requireFunction('noGrad', 'argument', body)
  return withState({ gradEnabled: false }, body)
}

/** Records gradients inside `noGrad`. */
export function enableGrad<T>(body: () => T): T {
  requireFunction('enableGrad', 'argument', body)
  return withState({ gradEnabled: true }, body)
}

/** True when operations are being recorded. */
export function isGradEnabled(): boolean {
  return engineState().gradEnabled
}

Tensor.prototype.backward = function (first?: Tensor | null | BackwardOptions, options?: BackwardOptions) {
  backward(this, first, options)
}

Tensor.prototype.detach = function () {
  const result = call('alias', this)
  result.versions = this.versionCounter
  return result
}

Tensor.prototype.detach_ = function () {
  if (this.viewBase !== null) {
    throw new AutogradError(
      'detach_: a view cannot be detached in place; detach() gives a tensor without history',
    )
  }
  this.gradFn = null
  this.leafRequiresGrad = false
  return this
}

Tensor.prototype.registerHook = function (hook) {
  if (!this.requiresGrad) throw new AutogradError('registerHook: this tensor does not require gradients')
  if (typeof hook !== 'function') {
    throw new AutogradError(`registerHook: expected a function, got ${show(hook)}`)
  }
  const owner = this.gradFn
  if (owner) owner.hooks ??= []
  else this.gradHooks ??= []
  const hooks = (owner ? owner.hooks : this.gradHooks) as GradientHook[]
  hooks.push(hook)
  return () => {
    const index = hooks.indexOf(hook)
    if (index >= 0) hooks.splice(index, 1)
  }
}

Tensor.prototype.retainGrad = function () {
  if (!this.requiresGrad) throw new AutogradError('retainGrad: this tensor does not require gradients')
  if (this.gradFn !== null) this.gradFn.retained = this
  return this
}
