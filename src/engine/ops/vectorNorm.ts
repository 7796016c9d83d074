import { requireTensor, show } from '../check.ts'
import { dtypeCode, isFloatingPoint } from '../dtype.ts'
import { ConfigError, DTypeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { type Dims, dimList, keepdimOf, type ReduceOptions, restore } from './reduce.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /**
     * The p-norm over all elements or the given dimensions: 2 by default; Infinity for the largest magnitude, -Infinity
     * for the smallest, 0 for the count of what is not zero.
     */
    norm(p?: number, dim?: Dims | null, options?: ReduceOptions): Tensor
  }
}

function normOf(x: Tensor, p: number, dims: readonly number[], keepdim: boolean): Tensor {
  switch (p) {
    case 0:
      return call('sum', call('to_dtype', call('ne', x, 0), dtypeCode(x.dtype)), dims, keepdim)
    case 1:
      return call('sum', call('abs', x), dims, keepdim)
    case 2:
      return call('sqrt', call('sum', call('square', x), dims, keepdim))
    case Number.POSITIVE_INFINITY:
      return call('amax', call('abs', x), dims, keepdim)
    case Number.NEGATIVE_INFINITY:
      return call('amin', call('abs', x), dims, keepdim)
    default:
      return call('pow', call('sum', call('pow', call('abs', x), p), dims, keepdim), 1 / p)
  }
}

// d norm / d x, with `total` the norm, broadcastable to x. Where there is no slope PyTorch has 0.
function slopeOf(x: Tensor, total: Tensor, p: number, dims: readonly number[]): Tensor {
  const sign = () => call('sign', x)
  const zeroWhere = (condition: Tensor, value: Tensor) => call('where', condition, 0, value)
  if (p === 0) return call('mul', x, 0)
  if (p === 1) return sign()
  if (p === 2) return zeroWhere(call('eq', total, 0), call('div', x, total))
  const size = call('abs', x)
  if (!Number.isFinite(p)) {
    // Shared evenly among those that reach the norm.
    const winners = call('eq', size, total)
    return call('div', call('mul', sign(), winners), call('sum', winners, dims, true))
  }
  const power = call('mul', sign(), call('pow', size, p - 1))
  const known = p < 1 ? zeroWhere(call('eq', x, 0), power) : power
  return zeroWhere(call('eq', total, 0), call('div', known, call('pow', total, p - 1)))
}

/** See Tensor.norm. */
export function norm(x: Tensor, p = 2, dim?: Dims | null, options?: ReduceOptions): Tensor {
  requireTensor('norm', 'first argument', x)
  if (typeof p !== 'number' || Number.isNaN(p))
    throw new ConfigError(`norm: p must be a number, got ${show(p)}`)
  if (!isFloatingPoint(x.dtype)) throw new DTypeError(`norm: expected a floating dtype, got ${x.dtype}`)
  const keepdim = keepdimOf('norm', options)
  const dims = dimList(dim)
  const out = normOf(x, p, dims, keepdim)
  if (!isTracked([x])) return out
  return record(out, 'norm', [x], [x, out], (g, node) => {
    const input = node.saved(0)
    const { shape } = input
    const slope = slopeOf(input, restore(node.saved(1), shape, dims), p, dims)
    return [call('mul', restore(g, shape, dims), slope)]
  })
}

addMethods({
  norm(p, dim, options) {
    return norm(this, p, dim, options)
  },
})
