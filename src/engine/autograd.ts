import { addon } from './addon.ts'
import { dtypeCode } from './dtype.ts'
import { AutogradError, ShapeError } from './errors.ts'
import { type Edge, freedGraph, GraphNode } from './graph.ts'
import { call, callInPlace } from './native.ts'
import { engineState, type TensorScope, withState } from './state.ts'
import { Tensor } from './tensor.ts'

export interface BackwardOptions {
  /** The gradient of this tensor; needed unless it has one element. */
  gradient?: Tensor | undefined
  /** Keep what the graph needs, to walk it again. Default false. */
  retainGraph?: boolean | undefined
}

type Hook = (gradient: Tensor) => Tensor | null | undefined

declare module './tensor.ts' {
  interface Tensor {
    /**
     * Computes the gradients of this tensor with respect to every leaf that requires one, and adds them to their `grad`.
     * @throws AutogradError when the tensor has no history, or its graph has been freed by an earlier backward.
     */
    backward(options?: BackwardOptions): void
    /** The same values without history; shares memory. */
    detach(): Tensor
    /** Calls `hook` with this tensor's gradient when it is known; what it returns replaces the gradient. Returns a remover. */
    registerHook(hook: Hook): () => void
    /** Keeps the gradient of an intermediate tensor in its `grad`. */
    retainGrad(): this
  }
}

// Gradients on their way: each entry owns its tensor (an own handle, possibly on shared memory).
function accumulate(existing: Tensor, incoming: Tensor): Tensor {
  if (existing.dtype === incoming.dtype && !addon.sharesStorage(existing.liveHandle())) {
    callInPlace('add_', existing, incoming)
    incoming.dispose()
    return existing
  }
  const total = call('add', existing, incoming)
  existing.dispose()
  incoming.dispose()
  return total
}

function runHooks(hooks: Hook[] | null, gradient: Tensor): Tensor {
  let current = gradient
  for (const hook of hooks ?? []) {
    const replacement = hook(current)
    if (replacement instanceof Tensor && replacement !== current) current = call('alias', replacement)
  }
  return current
}

// Everything that gradients can reach from `root`, latest operation first.
function reachable(root: GraphNode): GraphNode[] {
  const seen = new Set<GraphNode>([root])
  const pending = [root]
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    for (const edge of node.edges) {
      if (edge instanceof GraphNode && !seen.has(edge)) {
        seen.add(edge)
        pending.push(edge)
      }
    }
  }
  return [...seen].sort((a, b) => b.sequence - a.sequence)
}

function addToLeaf(leaf: Tensor, gradient: Tensor): void {
  const hooked = runHooks(leaf.gradHooks, gradient)
  if (hooked !== gradient) gradient.dispose()
  const existing = leaf.accumulated
  if (existing === null) {
    // The first gradient is taken over, unless its memory is shared or lies in another order than the leaf's.
    const sharedOrForeign =
      addon.sharesStorage(hooked.liveHandle()) ||
      hooked.dtype !== leaf.dtype ||
      hooked.strides.some((stride, i) => stride !== leaf.strides[i] && leaf.shape[i] !== 1)
    if (sharedOrForeign) {
      const own = call('empty_like', leaf)
      callInPlace('copy_', own, hooked)
      hooked.dispose()
      leaf.accumulated = own.keep()
    } else {
      leaf.accumulated = hooked.keep()
    }
  } else {
    // In place, as in PyTorch: whoever holds `grad` sees the sum.
    callInPlace('add_', existing, hooked)
    existing.versionCounter.value++
    hooked.dispose()
  }
}

/** See Tensor.backward. */
export function backward(root: Tensor, options: BackwardOptions = {}): void {
  const { gradient, retainGraph = false } = options
  if (!root.requiresGrad) {
    throw new AutogradError(
      'backward: this tensor has no history: nothing it was computed from requires gradients, ' +
        'or it was computed inside noGrad or from detached values',
    )
  }
  if (gradient === undefined && root.numel !== 1) {
    throw new AutogradError(
      `backward: only a tensor of one element has an implied gradient, this one has shape [${root.shape.join(', ')}]. ` +
        'Reduce it (mean, sum) or pass { gradient }',
    )
  }
  if (gradient !== undefined && gradient.shape.join() !== root.shape.join()) {
    throw new ShapeError(
      `backward: the gradient has shape [${gradient.shape.join(', ')}], the tensor [${root.shape.join(', ')}]`,
    )
  }
  const state = engineState()
  const outer = { scope: state.scope, gradEnabled: state.gradEnabled, autocast: state.autocast }
  // Everything made here is owned here: what is not passed on is freed as soon as a node is done.
  const made: TensorScope = { tensors: [] }
  state.scope = made
  state.gradEnabled = false
  state.autocast = null
  try {
    const seed = gradient ? call('alias', gradient) : call('full', root.shape, 1, dtypeCode(root.dtype))
    if (root.gradFn === null) addToLeaf(root, seed)
    else walk(root.gradFn, seed, retainGraph, made)
  } finally {
    state.scope = outer.scope
    state.gradEnabled = outer.gradEnabled
    state.autocast = outer.autocast
    for (const tensor of made.tensors) {
      if (tensor.scope === made) tensor.free()
    }
  }
}

function walk(root: GraphNode, seed: Tensor, retainGraph: boolean, made: TensorScope): void {
  const gradients = new Map<GraphNode, Tensor>([[root, seed]])
  const nodes = reachable(root)
  for (const node of nodes) {
    if (node.released && gradients.has(node)) throw freedGraph(node.name)
  }
  const kept = new Set<Tensor>([seed])

  const deliver = (edge: Edge, incoming: Tensor): void => {
    if (edge instanceof GraphNode) {
      const existing = gradients.get(edge)
      const total = existing ? accumulate(existing, incoming) : incoming
      gradients.set(edge, total)
      kept.add(total)
    } else if (edge !== null) {
      addToLeaf(edge, incoming)
    }
  }

  for (const node of nodes) {
    const arrived = gradients.get(node)
    if (arrived === undefined) continue
    gradients.delete(node)
    if (node.released) throw freedGraph(node.name)
    const gradient = runHooks(node.hooks, arrived)
    if (node.retained !== null) addToLeaf(node.retained, call('alias', gradient))
    const results = node.backward(gradient, node)
    for (let i = 0; i < node.edges.length; i++) {
      const edge = node.edges[i] as Edge
      const result = results[i]
      if (edge === null || result === null || result === undefined) continue
      // A tensor that somebody else holds (the gradient passed through, a saved value) gets a handle of its own.
      const own = result.scope === made && result !== gradient && result !== arrived && !kept.has(result)
      const passed = own ? result : call('alias', result)
      kept.add(passed)
      deliver(edge, passed)
    }
    if (!retainGraph) node.release()
    // What this node made and nobody took is freed now; so is the gradient it consumed.
    const waiting = new Set(gradients.values())
    const left: Tensor[] = []
    for (const tensor of made.tensors) {
      if (tensor.handle === 0 || tensor.scope !== made) continue
      if (waiting.has(tensor)) left.push(tensor)
      else tensor.free()
    }
    made.tensors = left
    kept.clear()
    for (const tensor of left) kept.add(tensor)
  }
}

/** Runs `body` without recording gradients; `body` may be asynchronous. Returns what it returns. */
export function noGrad<T>(body: () => T): T {
  return withState({ gradEnabled: false }, body)
}

/** Records gradients inside `noGrad`. */
export function enableGrad<T>(body: () => T): T {
  return withState({ gradEnabled: true }, body)
}

/** True when operations are being recorded. */
export function isGradEnabled(): boolean {
  return engineState().gradEnabled
}

Tensor.prototype.backward = function (options) {
  backward(this, options)
}

Tensor.prototype.detach = function () {
  const result = call('alias', this)
  result.versions = this.versionCounter
  return result
}

Tensor.prototype.registerHook = function (hook) {
  if (!this.requiresGrad) throw new AutogradError('registerHook: this tensor does not require gradients')
  const owner = this.gradFn
  if (owner) owner.hooks ??= []
  else this.gradHooks ??= []
  const hooks = (owner ? owner.hooks : this.gradHooks) as Hook[]
  hooks.push(hook)
  return () => {
    const index = hooks.indexOf(hook)
    if (index >= 0) hooks.splice(index, 1)
  }
}

Tensor.prototype.retainGrad = function () {
  if (this.gradFn !== null) this.gradFn.retained = this
  return this
}
