import { requireHolds, requireTensor } from '../check.ts'
import { ConfigError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import { Tensor } from '../tensor.ts'
import { add, mul, reduceLike, sub } from './binary.ts'
import { where } from './indexing.ts'

/** A limit: a number, a tensor that broadcasts, or none. */
export type Limit = Tensor | number | null | undefined

declare module '../tensor.ts' {
  interface Tensor {
    /** Limits values to [minimum, maximum], numbers or tensors; null leaves a side open. */
    clamp(minimum: Limit, maximum?: Limit): Tensor
    /** The point between this (weight 0) and `end` (weight 1). */
    lerp(end: Tensor, weight: Tensor | number): Tensor
  }
}

/**
 * Limits values to [lower, upper]; null leaves a side open. Limits that are tensors get gradients too. Where `lower` exceeds
 * `upper` the result is `upper`. Limits with a fraction or without end make integers float32.
 * @throws DTypeError where a number as limit cannot be stored in the dtype of the result.
 */
export function clamp(x: Tensor, lower: Limit, upper: Limit = null): Tensor {
  requireTensor('clamp', 'input', x)
  const [low, high] = [lower ?? null, upper ?? null]
  if (low === null && high === null) throw new ConfigError('clamp: give a minimum, a maximum, or both')
  if (low instanceof Tensor || high instanceof Tensor) return clampBetween(x, low, high)
  const out = call('clamp', x, low, high)
  return record(out, 'clamp', [x], [x], (g, node) => [call('where', inside(node.saved(0), low, high), g, 0)])
}

function inside(x: Tensor, lower: Tensor | number | null, upper: Tensor | number | null): Tensor {
  if (lower === null) return call('le', x, upper)
  const above = call('ge', x, lower)
  return upper === null ? above : call('logical_and', above, call('le', x, upper))
}

function clampBetween(x: Tensor, lower: Tensor | number | null, upper: Tensor | number | null): Tensor {
  const raised = lower === null ? x : call('maximum', x, lower)
  const out = upper === null ? raised : call('minimum', raised, upper)
  for (const limit of [lower, upper]) if (typeof limit === 'number') requireHolds('clamp', limit, out.dtype)
  const inputs = [x, lower instanceof Tensor ? lower : null, upper instanceof Tensor ? upper : null]
  if (!isTracked(inputs)) return out
  const likes = inputs.map((input) => (input ? { shape: input.shape, dtype: input.dtype } : null))
  return record(out, 'clamp', inputs, inputs, (g, node) => {
    const input = node.saved(0)
    const low = lower instanceof Tensor ? node.saved(1) : lower
    const high = upper instanceof Tensor ? node.saved(2) : upper
    const chosen = [
      () => inside(input, low, high),
      () => below(input, low, high),
      () => above(input, low, high),
    ]
    return likes.map((like, i) => {
      if (!like || !node.needs(i)) return null
      const share = call('where', (chosen[i] as () => Tensor)(), g, 0)
      return reduceLike(share, like.shape, like.dtype)
    })
  })
}

// Where the result is the lower limit, and where the upper.
function below(x: Tensor, lower: Tensor | number | null, upper: Tensor | number | null): Tensor {
  const under = call('lt', x, lower)
  return upper === null ? under : call('logical_and', under, call('lt', lower, upper))
}

function above(x: Tensor, lower: Tensor | number | null, upper: Tensor | number | null): Tensor {
  const over = call('gt', x, upper)
  return lower === null ? over : call('logical_or', over, call('gt', lower, upper))
}

/** start + weight · (end - start), computed from the nearer end. */
export function lerp(start: Tensor, end: Tensor, weight: Tensor | number): Tensor {
  const distance = sub(end, start)
  if (typeof weight === 'number') {
    return weight < 0.5 ? add(start, mul(distance, weight)) : sub(end, mul(distance, 1 - weight))
  }
  const far = sub(end, mul(distance, sub(1, weight)))
  return where(call('lt', weight, 0.5), add(start, mul(distance, weight)), far)
}

addMethods({
  clamp(lower, upper) {
    return clamp(this, lower, upper)
  },
  lerp(end, weight) {
    return lerp(this, end, weight)
  },
})
