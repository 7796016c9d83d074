import { requireOptions, requireTensor } from '../check.ts'
import { DTypeError } from '../errors.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'

export interface ToleranceOptions {
  /** Relative to the second tensor. Default 1e-5. */
  rtol?: number | undefined
  /** Default 1e-8. */
  atol?: number | undefined
  /** Whether two NaN are close. Default false. */
  equalNan?: boolean | undefined
}

declare module '../tensor.ts' {
  interface Tensor {
    /** Where |x - other| ≤ atol + rtol · |other|; infinities are close to themselves alone. */
    isclose(other: Tensor, options?: ToleranceOptions): Tensor
    /** True when all elements are close. Blocks until that is known. */
    allclose(other: Tensor, options?: ToleranceOptions): boolean
    /** True when shapes and all values agree. Blocks until that is known. */
    equal(other: Tensor): boolean
  }
}

function requireSameDType(op: string, a: Tensor, b: Tensor): void {
  requireTensor(op, 'left operand', a)
  requireTensor(op, 'right operand', b)
  if (a.dtype !== b.dtype)
    throw new DTypeError(`${op}: expected two tensors of one dtype, got ${a.dtype} and ${b.dtype}`)
}

/** Where |a - b| ≤ atol + rtol · |b|, as bool; infinities are close to themselves alone. */
export function isclose(a: Tensor, b: Tensor, options: ToleranceOptions = {}): Tensor {
  requireOptions('isclose', options, ['rtol', 'atol', 'equalNan'])
  const { rtol = 1e-5, atol = 1e-8, equalNan = false } = options
  requireSameDType('isclose', a, b)
  let close = call('eq', a, b)
  if (equalNan) close = call('logical_or', close, call('logical_and', call('isnan', a), call('isnan', b)))
  if ((rtol === 0 && atol === 0) || a.dtype === 'bool') return close
  const allowed = call('add', call('abs', call('mul', b, rtol)), atol)
  const distance = call('abs', call('sub', a, b))
  const near = call('logical_and', call('isfinite', distance), call('le', distance, allowed))
  return call('logical_or', close, near)
}

/** True when all elements are close, see `isclose`. Blocks until that is known. */
export function allclose(a: Tensor, b: Tensor, options: ToleranceOptions = {}): boolean {
  return call('all', isclose(a, b, options), [], false).item() !== 0
}

/** True when shapes and all values agree. Blocks until that is known. */
export function equal(a: Tensor, b: Tensor): boolean {
  requireSameDType('equal', a, b)
  return a.shape.join() === b.shape.join() && call('all', call('eq', a, b), [], false).item() !== 0
}

addMethods({
  isclose(other, options) {
    return isclose(this, other, options)
  },
  allclose(other, options) {
    return allclose(this, other, options)
  },
  equal(other) {
    return equal(this, other)
  },
})
