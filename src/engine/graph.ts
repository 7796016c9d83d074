import { isFloatingPoint } from './dtype.ts'
import { AutogradError } from './errors.ts'
import { isRecordingGradients } from './native.ts'
import { engineState } from './state.ts'
import { reviveSaved, type Tensor } from './tensor.ts'

/** Where a gradient goes: into an earlier operation, into a leaf, or nowhere. */
export type Edge = GraphNode | Tensor | null

/** The gradients of an operation's inputs, in their order; null where none flows. */
export type Gradients = (Tensor | null | undefined)[]

/** Computes the gradients of the inputs from that of the output. `node.needs(i)` tells which are wanted. */
export type BackwardFunction = (gradient: Tensor, node: GraphNode) => Gradients

let nextSequence = 0

/** One recorded operation: what its backward pass needs, and where the results go. */
export class GraphNode {
  readonly name: string
  readonly edges: readonly Edge[]
  /** Creation order, which is a topological order of the graph. */
  readonly sequence: number
  readonly backward: BackwardFunction
  /** Hooks on the gradient of the output. */
  hooks: ((gradient: Tensor) => Tensor | null | undefined)[] | null = null
  /** The output, if its gradient is to be kept (retainGrad). */
  retained: Tensor | null = null
  /** The last search of the graph that has come by. */
  foundBy = 0
  private tensors: (Tensor | null)[] | null
  private versions: number[]

  constructor(
    name: string,
    edges: readonly Edge[],
    saved: readonly (Tensor | null)[],
    backward: BackwardFunction,
  ) {
    this.name = name
    this.edges = edges
    this.sequence = nextSequence++
    this.backward = backward
    this.tensors = saved as (Tensor | null)[]
    this.versions = []
    for (const tensor of saved) {
      if (tensor !== null) tensor.saves++
      this.versions.push(tensor?.versions?.value ?? 0)
    }
  }

  /** True when the gradient of input `index` will be used. */
  needs(index: number): boolean {
    return this.edges[index] !== null
  }

  /** A tensor kept by the forward pass; an error if it has been freed or changed in place since. */
  saved(index: number): Tensor {
    if (this.tensors === null) throw freedGraph(this.name)
    const tensor = this.tensors[index]
    if (!tensor) throw new AutogradError(`${this.name}: nothing was saved at position ${index}`)
    const version = tensor.versions?.value ?? 0
    if (version !== this.versions[index]) {
      throw new AutogradError(
        `${this.name}: a tensor of shape [${tensor.shape.join(', ')}] that its backward pass needs was changed in ` +
          `place (version ${version}, expected ${this.versions[index]}). Use the operation that returns a new tensor`,
      )
    }
    return tensor.disposed && isRecordingGradients() ? this.revived(tensor) : tensor
  }

  private revived(tensor: Tensor): Tensor {
    const values = reviveSaved(tensor)
    if (tensor.leafRequiresGrad) {
      throw new AutogradError(
        `${this.name}: a leaf that requires gradients has been disposed of, so that createGraph cannot reach it`,
      )
    }
    values.gradFn = tensor.gradFn
    return values
  }

  get savedTensors(): readonly (Tensor | null)[] {
    return this.tensors ?? []
  }

  get released(): boolean {
    return this.tensors === null
  }

  /** Lets go of what the forward pass kept. An operation that kept nothing can be walked again, as in PyTorch. */
  release(): void {
    if (this.tensors === null || this.tensors.length === 0) return
    const tensors = this.tensors
    this.tensors = null
    for (const tensor of tensors) tensor?.dropSave()
  }
}

/** An operation of `defineOp`, whose gradient is written with public operations. */
export class DefinedOpNode extends GraphNode {
  /** Whether the forward function keeps floating values for backward that are neither inputs nor the output. */
  keepsIntermediates = false
}

export function freedGraph(name: string): AutogradError {
  return new AutogradError(
    `${name}: this graph has been walked backward already and what it kept is freed. ` +
      'Call backward({ retainGraph: true }) the first time to walk it again',
  )
}

/** The edge along which a gradient reaches `tensor`. */
export function edgeOf(tensor: Tensor | null): Edge {
  if (tensor === null) return null
  if (tensor.gradFn !== null) return tensor.gradFn
  return tensor.leafRequiresGrad ? tensor : null
}

/** True when an operation on these tensors has to be recorded. */
export function isTracked(inputs: readonly (Tensor | null)[]): boolean {
  for (const input of inputs) {
    if (input !== null && (input.leafRequiresGrad || input.gradFn !== null)) return engineState().gradEnabled
  }
  return false
}

/**
 * Records `output` as the result of a differentiable operation on `inputs`, if gradients are being recorded and any
 * input wants one. `saved` are the tensors that `backward` reads through `node.saved(i)`. Returns `output`.
 */
export function record(
  output: Tensor,
  name: string,
  inputs: readonly (Tensor | null)[],
  saved: readonly (Tensor | null)[],
  backward: BackwardFunction,
): Tensor {
  if (!isTracked(inputs) || !isFloatingPoint(output.dtype)) return output
  output.gradFn = new GraphNode(name, inputs.map(edgeOf), saved, backward)
  return output
}
