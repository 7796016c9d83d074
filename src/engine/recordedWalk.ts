import { AutogradError } from './errors.ts'
import { DefinedOpNode, type Edge, freedGraph, type Gradients, GraphNode } from './graph.ts'
import { type Argument, withRecorder } from './native.ts'
import type { Tensor } from './tensor.ts'
import { leadingTo, reachable, runHooks, type WalkStart } from './walk.ts'

/** What running an op with its history recorded gives: as the op itself. */
export type RecordedOp = (...inputs: never[]) => Tensor | readonly (Tensor | null)[] | undefined

const recordedOps = new Map<string, RecordedOp>()
const followable = new Set<string>()

/**
 * Tells how gradients of gradients come about. `ops`: for each op of the table that gradient functions call, a function of the
 * same inputs whose result has a history. `names`: the operations whose gradient functions compute from their inputs, output and
 * constants alone, so that such a history is complete.
 */
export function registerSecondOrder(
  ops: Readonly<Record<string, RecordedOp>>,
  names: readonly string[],
): void {
  for (const [op, run] of Object.entries(ops)) recordedOps.set(op, run)
  for (const name of names) followable.add(name)
}

function unsupported(name: string, why: string): AutogradError {
  return new AutogradError(
    `grad: createGraph does not reach through ${name}: ${why}. Write what it computes with other operations, or take ` +
      'its gradient without createGraph',
  )
}

function runRecorded(name: string, op: string, inputs: readonly Argument[]) {
  const run = recordedOps.get(op)
  if (run === undefined) throw unsupported(name, `its gradient runs ${op}, which has no recorded form`)
  // The recorded form ends in calls that do go to the engine.
  return withRecorder(null, () => run(...(inputs as never[])))
}

function gradientsOf(node: GraphNode, gradient: Tensor): Gradients {
  if (node instanceof DefinedOpNode) {
    if (node.keepsIntermediates) {
      throw unsupported(
        node.name,
        'its forward function keeps values for backward that are neither inputs nor the output, and have no history',
      )
    }
    return withRecorder(null, () => node.backward(gradient, node))
  }
  if (!followable.has(node.name)) throw unsupported(node.name, 'its gradient is not recorded')
  return withRecorder(
    (op, inputs) => runRecorded(node.name, op, inputs),
    () => node.backward(gradient, node),
  )
}

/**
 * As `walk`, into the keys of `captured`, while what gradient functions compute is recorded: gradients have histories, and can be
 * differentiated again. Nothing is freed on the way, since those histories need it.
 */
export function walkRecorded(
  starts: readonly WalkStart[],
  retainGraph: boolean,
  captured: Map<Edge, Tensor | null>,
): void {
  const gradients = new Map<GraphNode, Tensor>()
  const nodes = reachable(starts.map(({ edge }) => edge).filter((edge) => edge instanceof GraphNode))
  const leading = leadingTo(captured, nodes)
  const total = (before: Tensor | null | undefined, incoming: Tensor) =>
    before ? before.add(incoming) : incoming

  const deliver = (edge: Edge, incoming: Tensor): void => {
    if (edge instanceof GraphNode) {
      if (leading.has(edge) || captured.has(edge)) gradients.set(edge, total(gradients.get(edge), incoming))
    } else if (edge !== null && captured.has(edge)) {
      captured.set(edge, total(captured.get(edge), incoming))
    }
  }

  for (const { edge, gradient } of starts) deliver(edge, gradient)
  for (const node of nodes) {
    const arrived = gradients.get(node)
    if (arrived === undefined) continue
    gradients.delete(node)
    const gradient = runHooks(node.hooks, arrived)
    if (captured.has(node)) captured.set(node, total(captured.get(node), gradient))
    if (!leading.has(node)) continue
    if (node.released) throw freedGraph(node.name)
    const results = gradientsOf(node, gradient)
    node.edges.forEach((edge, i) => {
      const result = results[i]
      if (edge !== null && result) deliver(edge, result)
    })
    if (!retainGraph) node.release()
  }
  for (const [edge, gradient] of captured) {
    if (edge !== null && !(edge instanceof GraphNode) && gradient !== null)
      captured.set(edge, runHooks(edge.gradHooks, gradient))
  }
}
