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
    if (addon.canStandFor(hooked.liveHandle(), leaf.liveHandle())) {
      leaf.accumulated = hooked.keep()
    } else {
      const own = call('empty_like', leaf)
      callInPlace('copy_', own, hooked)
      hooked.dispose()
      leaf.accumulated = own.keep()
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
  const waiting = new Set<Tensor>() // gradients on their way, and captured ones

  const wait = (existing: Tensor | null | undefined, incoming: Tensor): Tensor => {
    if (existing) waiting.delete(existing)
    const total = existing ? accumulate(existing, incoming) : incoming
    waiting.add(total)
    return total
  }

  const capture = (edge: Edge, gradient: Tensor): void => {
    captured?.set(edge, wait(captured.get(edge), gradient))
  }

  const deliver = (edge: Edge, incoming: Tensor): void => {
    if (edge instanceof GraphNode) {
      if (leading !== null && !leading.has(edge) && !captured?.has(edge)) return
      gradients.set(edge, wait(gradients.get(edge), incoming))
    } else if (edge !== null) {
      if (captured === null) addToLeaf(edge, incoming)
      else if (captured.has(edge)) capture(edge, runHooks(edge.gradHooks, incoming))
    }
  }

  for (const { edge, gradient } of starts) deliver(edge, gradient)
  for (const node of gradients.keys()) {
    if (node.released && leading?.has(node) !== false) throw freedGraph(node.name)
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
        // A tensor that somebody else holds (the gradient passed through, a saved value, one that goes to several inputs)
        // gets a handle of its own.
        const own =
          result.scope === made &&
          result !== gradient &&
          result !== arrived &&
          !waiting.has(result) &&
          !results.includes(result, i + 1)
        deliver(edge, own ? result : call('alias', result))
      }
      if (!retainGraph) node.release()
    }
    // What this node made and nobody took is freed now; so is the gradient it consumed.
    waiting.delete(arrived)
    let left = 0
    for (const tensor of made.tensors) {
      if (tensor.handle === 0 || tensor.scope !== made) continue
      if (waiting.has(tensor)) made.tensors[left++] = tensor
      else tensor.free()
    }
    made.tensors.length = left
  }
}
