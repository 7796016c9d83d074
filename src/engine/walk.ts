import { addon } from './addon.ts'
import { type Edge, freedGraph, GraphNode } from './graph.ts'
import { call, callInPlace } from './native.ts'
import type { TensorScope } from './state.ts'
import { Tensor } from './tensor.ts'

/** Sees a gradient; what it returns replaces the gradient. */
export type GradientHook = (gradient: Tensor) => Tensor | null | undefined

// Gradients on their way: each entry owns its tensor (an own handle, possibly on shared memory).
function accumulate(existing: Tensor, incoming: Tensor): Tensor {
  // A gradient that was expanded has several elements in one place, though nobody else may hold the memory.
  const writable = !addon.sharesStorage(existing.liveHandle()) && !existing.strides.includes(0)
  if (existing.dtype === incoming.dtype && writable) {
    callInPlace('add_', existing, incoming)
    incoming.dispose()
    return existing
  }
  const total = call('add', existing, incoming)
  existing.dispose()
  incoming.dispose()
  return total
}

function runHooks(hooks: GradientHook[] | null, gradient: Tensor): Tensor {
  let current = gradient
  for (const hook of hooks ?? []) {
    const replacement = hook(current)
    if (replacement instanceof Tensor && replacement !== current) current = call('alias', replacement)
  }
  return current
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

// Everything that gradients can reach from the roots, latest operation first.
export function reachable(roots: readonly GraphNode[]): GraphNode[] {
  const seen = new Set<GraphNode>(roots)
  const pending = [...seen]
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

// The operations on the way to something captured; those behind it are not walked.
export function leadingTo(
  captured: ReadonlyMap<Edge, Tensor | null>,
  nodes: readonly GraphNode[],
): Set<GraphNode> {
  const leading = new Set<GraphNode>()
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i] as GraphNode
    const leads = node.edges.some((edge) => captured.has(edge) || leading.has(edge as GraphNode))
    if (leads) leading.add(node)
  }
  return leading
}

/** Where a walk starts. */
export interface WalkStart {
  edge: Edge
  gradient: Tensor
}

/**
 * Carries gradients from `starts` back through the graph, into the leaves' `grad`; or, with `captured`, into that map alone,
 * for the nodes and leaves that are its keys. `made` owns what is made on the way.
 */
export function walk(
  starts: readonly WalkStart[],
  retainGraph: boolean,
  made: TensorScope,
  captured: Map<Edge, Tensor | null> | null,
): void {
  const gradients = new Map<GraphNode, Tensor>()
  const roots = starts.map(({ edge }) => edge).filter((edge) => edge instanceof GraphNode)
  const nodes = reachable(roots)
  const leading = captured === null ? null : leadingTo(captured, nodes)
  const kept = new Set<Tensor>()

  const deliver = (edge: Edge, incoming: Tensor): void => {
    if (edge instanceof GraphNode) {
      if (leading !== null && !leading.has(edge) && !captured?.has(edge)) return
      const existing = gradients.get(edge)
      const total = existing ? accumulate(existing, incoming) : incoming
      gradients.set(edge, total)
      kept.add(total)
    } else if (edge !== null) {
      if (captured === null) addToLeaf(edge, incoming)
      else if (captured.has(edge)) capture(edge, runHooks(edge.gradHooks, incoming))
    }
  }

  const capture = (edge: Edge, gradient: Tensor): void => {
    const existing = captured?.get(edge)
    const total = existing ? accumulate(existing, gradient) : gradient
    captured?.set(edge, total)
    kept.add(total)
  }

  for (const { edge, gradient } of starts) deliver(edge, gradient)
  for (const node of nodes) {
    if (node.released && gradients.has(node) && leading?.has(node) !== false) throw freedGraph(node.name)
  }
  for (const node of nodes) {
    const arrived = gradients.get(node)
    if (arrived === undefined) continue
    gradients.delete(node)
    const gradient = runHooks(node.hooks, arrived)
    if (captured?.has(node)) capture(node, call('alias', gradient))
    else if (node.retained !== null && captured === null) addToLeaf(node.retained, call('alias', gradient))
    if (leading === null || leading.has(node)) {
      if (node.released) throw freedGraph(node.name)
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
    }
    // What this node made and nobody took is freed now; so is the gradient it consumed.
    const waiting = new Set<Tensor | null>(gradients.values())
    for (const tensor of captured?.values() ?? []) waiting.add(tensor)
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
