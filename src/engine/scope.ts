import { types } from 'node:util'
import { requireFunction } from './check.ts'
import { GraphNode } from './graph.ts'
import { engineState, type TensorScope, withState } from './state.ts'
import { Tensor } from './tensor.ts'

// Tensors anywhere inside a value: arrays, maps, sets, plain objects, modules.
function collectTensors(value: unknown, found: Set<Tensor>, seen: Set<object>): void {
  if (value === null || typeof value !== 'object' || seen.has(value)) return
  seen.add(value)
  if (value instanceof Tensor) {
    found.add(value)
    if (value.accumulated) collectTensors(value.accumulated, found, seen)
    return
  }
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return
  if (Array.isArray(value) || types.isSet(value)) {
    for (const item of value) collectTensors(item, found, seen)
  } else if (types.isMap(value)) {
    for (const [key, item] of value) {
      collectTensors(key, found, seen)
      collectTensors(item, found, seen)
    }
  } else {
    for (const key of Object.keys(value)) collectTensors((value as Record<string, unknown>)[key], found, seen)
  }
}

// What the histories of kept tensors need for their backward passes stays alive too.
function collectSaved(tensors: Set<Tensor>): void {
  const seen = new Set<GraphNode>()
  const pending: GraphNode[] = []
  const visit = (node: GraphNode | null): void => {
    if (node !== null && !seen.has(node)) {
      seen.add(node)
      pending.push(node)
    }
  }
  for (const tensor of tensors) visit(tensor.gradFn)
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    for (const tensor of node.savedTensors) if (tensor !== null) tensors.add(tensor)
    for (const edge of node.edges) if (edge instanceof GraphNode) visit(edge)
  }
}

function close(scope: TensorScope, parent: TensorScope | null, result: unknown): void {
  const kept = new Set<Tensor>()
  try {
    collectTensors(result, kept, new Set())
    collectSaved(kept)
  } catch (error) {
    // A getter that throws, or lists deeper than the stack.
    kept.clear()
    throw error
  } finally {
    free(scope, parent, kept)
  }
}

function free(scope: TensorScope, parent: TensorScope | null, kept: ReadonlySet<Tensor>): void {
  for (const tensor of scope.tensors) {
    if (tensor.scope !== scope || tensor.handle === 0) continue
    if (kept.has(tensor)) tensor.moveTo(parent)
    else {
      // Of a leaf made inside, such as a critic's input in a gradient penalty.
      if (tensor.accumulated !== null) tensor.clearGrad()
      tensor.free()
    }
  }
  scope.tensors = []
  scope.closed = true
}

/**
 * Frees every tensor made inside `body` when it ends, except those that it returns (alone or inside arrays, objects,
 * modules) and what their gradients need. `body` may be asynchronous; scopes nest. Returns what `body` returns.
 */
export function scope<T>(body: () => T): T {
  requireFunction('scope', 'argument', body)
  const parent = engineState().scope
  const own: TensorScope = { tensors: [] }
  let result: T
  try {
    result = withState({ scope: own }, body)
  } catch (error) {
    close(own, parent, undefined)
    throw error
  }
  if (types.isPromise(result)) {
    return result.then(
      (value) => {
        close(own, parent, value)
        return value
      },
      (error) => {
        close(own, parent, undefined)
        throw error
      },
    ) as T
  }
  close(own, parent, result)
  return result
}
