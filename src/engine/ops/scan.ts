import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** Each element plus all before it along a dimension. Integers give int64. */
    cumsum(dim: number): Tensor
    /** Each element times all before it along a dimension. Integers give int64. */
    cumprod(dim: number): Tensor
  }
}

/** Each element plus all before it along a dimension. */
export function cumsum(x: Tensor, dim: number): Tensor {
  // Each element counts in its own sum and in all that follow.
  return record(call('cumsum', x, dim, false), 'cumsum', [x], [], (g) => [call('cumsum', g, dim, true)])
}

/** Each element times all before it along a dimension. The gradient is right where elements are zero. */
export function cumprod(x: Tensor, dim: number): Tensor {
  const out = call('cumprod', x, dim)
  return record(out, 'cumprod', [x], [x, out], (g, node) => [
    call('cumprod_backward', g, node.saved(0), node.saved(1), dim),
  ])
}

addMethods({
  cumsum(dim) {
    return cumsum(this, dim)
  },
  cumprod(dim) {
    return cumprod(this, dim)
  },
})
