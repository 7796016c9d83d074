import { requireOptions, requireTensor } from '../check.ts'
import { isFloatingPoint } from '../dtype.ts'
import { DTypeError, ShapeError } from '../errors.ts'
import { addMethods } from '../methods.ts'
import { call, tellOfRead } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { toDType } from './convert.ts'
import { onesLike, zeros } from './create.ts'
import { requireInteger } from './dims.ts'
import { scatterAdd } from './scatter.ts'

export interface BincountOptions {
  /** What each element counts for [N]. Default: 1. The result then is float32 where these are, else float64. */
  weights?: Tensor | null | undefined
  /** The least length of the result. Default 0. */
  minlength?: number | undefined
}

declare module '../tensor.ts' {
  interface Tensor {
    /** How often each of the integers 0 … largest is there, or the sum of their weights. Waits for the values. */
    bincount(options?: BincountOptions): Tensor
  }
}

function requireWeights(x: Tensor, weights: Tensor): void {
  requireTensor('bincount', 'weights', weights)
  if (weights.shape.join() === x.shape.join()) return
  throw new ShapeError(
    `bincount: ${x.numel} integers and weights of shape [${weights.shape.join(', ')}]; each needs one`,
  )
}

/**
 * How often each of the integers 0 … largest is in `x` [N], or the sum of their weights: shape [max(largest + 1, minlength)],
 * int64 without weights. The gradient goes to the weights. Memory grows with the largest integer.
 * @throws DTypeError for what are no integers, ShapeError for negative ones and other shapes than [N]
 */
export function bincount(x: Tensor, options: BincountOptions = {}): Tensor {
  requireTensor('bincount', 'input', x)
  requireOptions('bincount', options, ['weights', 'minlength'])
  const { minlength = 0 } = options
  const weights = options.weights ?? null
  requireInteger('bincount', 'minlength', minlength, 0)
  if (isFloatingPoint(x.dtype) || x.dtype === 'bool') {
    throw new DTypeError(`bincount: expected integers, got ${x.dtype}; convert them with long()`)
  }
  if (x.ndim !== 1) {
    throw new ShapeError(`bincount: expected one dimension, got shape [${x.shape.join(', ')}]; flatten it`)
  }
  if (weights) requireWeights(x, weights)
  tellOfRead('bincount', x)
  const places = toDType(x, 'int64')
  const lowest = x.numel === 0 ? 0 : call('amin', places, [], false).item()
  if (lowest < 0) throw new ShapeError(`bincount: negative integers have no place, the lowest is ${lowest}`)
  const length = x.numel === 0 ? 0 : call('amax', places, [], false).item() + 1
  const each = weights
    ? toDType(weights, weights.dtype === 'float32' ? 'float32' : 'float64')
    : onesLike(places)
  const none = zeros([Math.max(length, minlength)], { dtype: each.dtype, device: x.device })
  return scatterAdd(none, 0, places, each)
}

addMethods({
  bincount(options) {
    return bincount(this, options)
  },
})
