import { addon } from './addon.ts'
import { show } from './check.ts'
import { AutogradError } from './errors.ts'
import { type Edge, freedGraph, GraphNode } from './graph.ts'
import { call, callInPlace } from './native.ts'
import type { TensorScope } from './state.ts'
import { reviveSaved, Tensor, usingSaved } from './tensor.ts'

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

/**
 * The gradient that `hooks` make of `gradient`, in the order in which they were registered.
 * @throws AutogradError where one gives something that cannot take its place.
 */
export function runHooks(hooks: readonly GradientHook[] | null, gradient: Tensor): Tensor {
  let current = gradient
  for (const hook of hooks ?? []) {
    const replacement: unknown = hook(current)
    if (replacement === undefined || replacement === null) continue
    if (!(replacement instanceof Tensor)) {
      throw new AutogradError(
        `registerHook: a hook gives a tensor, null or nothing, got ${show(replacement)}`,
      )
    }
    const facts = (one: Tensor) => `${one.dtype}[${one.shape.join(', ')}] on ${one.device}`
    if (facts(replacement) !== facts(current)) {
      throw new AutogradError(
        `registerHook: a hook made ${facts(replacement)} of a gradient that is ${facts(current)}`,
      )
    }
    current = replacement
  }
  return current
}

function addToLeaf(leaf: Tensor, gradient: Tensor): void {
  const existing = leaf.accumulated
  if (existing === null) {
    // The first gradient is taken over, unless its memory is shared or lies in another order than the leaf's.
    if (addon.canStandFor(gradient.liveHandle(), leaf.liveHandle())) {
      leaf.accumulated = gradient.keep()
    } else {
      const own = call('empty_like', leaf)
      callInPlace('copy_', own, gradient)
      gradient.dispose()
      leaf.accumulated = own.keep()
    }
  } else {
    // In place, as in PyTorch: whoever holds `grad` sees the sum.
    callInPlace('add_', existing, gradient)
    existing.versionCounter.value++
    gradient.dispose()
  }
}

let lastSearch = 0

function addUnfound(edges: readonly Edge[], search: number, found: GraphNode[]): void {
  for (const edge of edges) {
    if (edge instanceof GraphNode && edge.foundBy !== search) {
      edge.foundBy = search
      found.push(edge)
    }
  }
}

// Everything that gradients can reach from the roots, latest operation first.
export function reachable(roots: readonly GraphNode[]): GraphNode[] {
  const search = ++lastSearch
  const found: GraphNode[] = []
  addUnfound(roots, search, found)
  for (const node of found) addUnfound(node.edges, search, found) // while it grows
  return found.sort((a, b) => b.sequence - a.sequence)
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

/** Gradients on their way through a graph. */
class Walk {
  readonly #retainGraph: boolean
  readonly #made: TensorScope
  readonly #captured: Map<Edge, Tensor | null> | null
  /** The operations that lead to what is captured; null for all. */
  readonly #leading: ReadonlySet<GraphNode> | null
  readonly #gradients = new Map<GraphNode, Tensor>()
  readonly #hooked = new Map<Tensor, Tensor>() // of leaves, whose hooks see the sum
  readonly #waiting = new Set<Tensor>() // all those gradients, and captured ones

  constructor(
    retainGraph: boolean,
    made: TensorScope,
    captured: Map<Edge, Tensor | null> | null,
    leading: ReadonlySet<GraphNode> | null,
  ) {
    this.#retainGraph = retainGraph
    this.#made = made
    this.#captured = captured
    this.#leading = leading
  }

  /** @throws AutogradError where an operation that gradients have arrived at, and are to pass, has been walked before. */
  checkStarts(): void {
    for (const node of this.#gradients.keys()) {
      if (node.released && this.#leading?.has(node) !== false) throw freedGraph(node.name)
    }
  }

  deliver(edge: Edge, incoming: Tensor): void {
    const captured = this.#captured
    if (edge instanceof GraphNode) {
      if (this.#leading !== null && !this.#leading.has(edge) && !captured?.has(edge)) return
      this.#gradients.set(edge, this.#wait(this.#gradients.get(edge), incoming))
    } else if (edge !== null) {
      if (captured !== null) {
        if (captured.has(edge)) this.#capture(captured, edge, incoming)
      } else if (edge.gradHooks !== null) {
        this.#hooked.set(edge, this.#wait(this.#hooked.get(edge), incoming))
      } else if (edge.leafRequiresGrad) {
        addToLeaf(edge, incoming)
      }
    }
  }

  /** Once all have arrived: runs the hooks of leaves. */
  finish(): void {
    for (const [leaf, gradient] of this.#hooked) {
      if (leaf.leafRequiresGrad) addToLeaf(leaf, this.#throughHooks(leaf.gradHooks, gradient))
    }
    const captured = this.#captured
    for (const [edge, gradient] of captured ?? []) {
      if (!(edge instanceof Tensor) || edge.gradHooks === null || gradient === null) continue
      captured?.set(edge, this.#throughHooks(edge.gradHooks, gradient))
    }
  }

  // A gradient that somebody else has made or kept gets another handle, and is not written into.
  #throughHooks(hooks: readonly GradientHook[] | null, gradient: Tensor): Tensor {
    const hooked = runHooks(hooks, gradient)
    return hooked !== gradient || hooked.scope !== this.#made ? call('alias', hooked) : hooked
  }

  /** Takes the gradient that has arrived at `node`, if one has, on to the operation's inputs. */
  pass(node: GraphNode): void {
    const arrived = this.#gradients.get(node)
    if (arrived === undefined) return
    this.#gradients.delete(node)
    const gradient = node.hooks === null ? arrived : this.#throughHooks(node.hooks, arrived)
    const captured = this.#captured
    if (captured?.has(node)) this.#capture(captured, node, call('alias', gradient))
    else if (node.retained !== null && captured === null) addToLeaf(node.retained, call('alias', gradient))
    if (this.#leading === null || this.#leading.has(node)) {
      if (node.released) throw freedGraph(node.name)
      const results = usingSaved(() => node.backward(gradient, node))
      for (let i = 0; i < node.edges.length; i++) {
        const edge = node.edges[i] as Edge
        const result = results[i]
        if (edge === null || result === null || result === undefined) continue
        // A tensor that somebody else holds (the gradient passed through, a saved value, one that goes to several inputs)
        // gets a handle of its own.
        const own =
          result.scope === this.#made &&
          result !== gradient &&
          result !== arrived &&
          !this.#waiting.has(result) &&
          !results.includes(result, i + 1)
        this.deliver(edge, own ? result : result.disposed ? reviveSaved(result) : call('alias', result))
      }
      if (!this.#retainGraph) node.release()
    }
    this.#waiting.delete(arrived)
    this.#freeLeft()
  }

  #wait(existing: Tensor | null | undefined, incoming: Tensor): Tensor {
    if (existing) this.#waiting.delete(existing)
    const total = existing ? accumulate(existing, incoming) : incoming
    this.#waiting.add(total)
    return total
  }

  #capture(captured: Map<Edge, Tensor | null>, edge: Edge, gradient: Tensor): void {
    captured.set(edge, this.#wait(captured.get(edge), gradient))
  }

  // What an operation made and nobody took is freed at once; so is the gradient that it consumed.
  #freeLeft(): void {
    const { tensors } = this.#made
    let left = 0
    for (const tensor of tensors) {
      if (tensor.handle === 0 || tensor.scope !== this.#made) continue
      if (this.#waiting.has(tensor)) tensors[left++] = tensor
      else tensor.free()
    }
    tensors.length = left
  }
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
  const roots = starts.map(({ edge }) => edge).filter((edge) => edge instanceof GraphNode)
  const nodes = reachable(roots)
  const leading = captured === null ? null : leadingTo(captured, nodes)
  const gradients = new Walk(retainGraph, made, captured, leading)
  for (const { edge, gradient } of starts) gradients.deliver(edge, gradient)
  gradients.checkStarts()
  for (const node of nodes) gradients.pass(node)
  gradients.finish()
}
