import { requireOptions, show } from './check.ts'
import { isFloatingPoint } from './dtype.ts'
import { AutogradError, ConfigError } from './errors.ts'
import { DefinedOpNode, edgeOf, type GraphNode, isTracked } from './graph.ts'
import { toDType } from './ops/convert.ts'
import { engineState } from './state.ts'
import { Tensor } from './tensor.ts'

/** What a user-defined operation's two halves share. */
export interface OpContext {
  /** Keeps tensors for backward. */
  saveForBackward(...tensors: Tensor[]): void
  /** What saveForBackward kept. */
  readonly saved: readonly Tensor[]
  /** Which inputs want a gradient, by position. */
  readonly needsInputGrad: readonly boolean[]
  /** Anything else that backward needs. */
  [key: string]: unknown
}

export interface OpDefinition<Inputs extends unknown[]> {
  name: string
  /** Computes the output; what happens inside is not recorded. */
  forward(context: OpContext, ...inputs: Inputs): Tensor
  /**
   * The gradients of the inputs, in their order (null for those without); one tensor for an op of one input. Each has its input's
   * shape; another dtype is converted to the input's.
   */
  backward(context: OpContext, gradOutput: Tensor): Tensor | null | (Tensor | null)[]
}

/**
 * A differentiable operation written in TypeScript.
 * @throws AutogradError in the backward pass when `backward` gives a wrong number or shape of gradients, or one that is not on
 * its input's device
 */
export function defineOp<Inputs extends unknown[]>(
  definition: OpDefinition<Inputs>,
): (...inputs: Inputs) => Tensor {
  requireOptions('defineOp', definition)
  const { name } = definition
  if (typeof definition.forward !== 'function' || typeof definition.backward !== 'function') {
    throw new ConfigError(`defineOp ${show(name)}: forward and backward must be functions`)
  }
  return (...inputs) => {
    const tensors = inputs.map((input) => (input instanceof Tensor ? input : null))
    const tracked = isTracked(tensors)
    const edges = tensors.map(edgeOf)
    let kept: Tensor[] = []
    let node: GraphNode | null = null
    const context: OpContext = {
      saveForBackward(...list) {
        kept = list
      },
      get saved() {
        return node === null ? kept : kept.map((_, i) => (node as GraphNode).saved(i))
      },
      needsInputGrad: edges.map((edge) => edge !== null),
    }
    const state = engineState()
    const before = state.gradEnabled
    state.gradEnabled = false
    let out: Tensor
    try {
      out = definition.forward(context, ...inputs)
    } finally {
      state.gradEnabled = before
    }
    if (!(out instanceof Tensor))
      throw new ConfigError(`defineOp ${show(name)}: forward must return a tensor`)
    if (!tracked || !isFloatingPoint(out.dtype)) return out
    // An input handed through would otherwise get this op as its own history.
    if (tensors.includes(out)) out = out.detach()
    // A view of an input has been made without recording; in-place changes of it are refused from here on.
    const likes = tensors.map((tensor) =>
      tensor ? { shape: tensor.shape, dtype: tensor.dtype, device: tensor.device } : null,
    )
    const defined = new DefinedOpNode(name, edges, kept, (gradient) => {
      const returned = definition.backward(context, gradient)
      const list = Array.isArray(returned) ? returned : [returned]
      if (list.length > inputs.length) {
        throw new AutogradError(`${name}: backward gave ${list.length} gradients for ${inputs.length} inputs`)
      }
      return list.map((item, i) => {
        const like = likes[i]
        if (!item || !like) return item
        const { shape, dtype, device } = like
        if (item.shape.join() !== shape.join()) {
          throw new AutogradError(
            `${name}: backward gave a gradient of shape [${item.shape.join(', ')}] for input ${i} of shape [${shape.join(', ')}]`,
          )
        }
        if (!edges[i]) return item
        if (item.device !== device) {
          throw new AutogradError(
            `${name}: backward gave a gradient on ${item.device} for input ${i} on ${device}; move it with to('${device}')`,
          )
        }
        // What comes before goes on in its own dtype, whatever this op computed in.
        return toDType(item, dtype)
      })
    })
    node = defined
    const known = new Set<unknown>([...tensors, out])
    defined.keepsIntermediates = [...kept, ...Object.values(context)].some(
      (value) => value instanceof Tensor && !known.has(value) && isFloatingPoint(value.dtype),
    )
    out.gradFn = node
    return out
  }
}
