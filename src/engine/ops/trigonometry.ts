import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import { Tensor } from '../tensor.ts'
import { type Operand, reduceLike } from './binary.ts'

declare module '../tensor.ts' {
  interface Tensor {
    asin(): Tensor
    acos(): Tensor
    atan(): Tensor
    sinh(): Tensor
    cosh(): Tensor
    asinh(): Tensor
    acosh(): Tensor
    atanh(): Tensor
    /** The angle of the point (other, x), in [-π, π]. */
    atan2(other: Operand): Tensor
  }
}

// 1 / sqrt(x² + offset), or of the negated square.
function inverseRoot(x: Tensor, sign: 1 | -1, offset: number): Tensor {
  const square = call('square', x)
  return call('rsqrt', call('add', sign === 1 ? square : call('neg', square), offset))
}

export function asin(x: Tensor): Tensor {
  return record(call('asin', x), 'asin', [x], [x], (g, node) => [
    call('mul', g, inverseRoot(node.saved(0), -1, 1)),
  ])
}

export function acos(x: Tensor): Tensor {
  return record(call('acos', x), 'acos', [x], [x], (g, node) => [
    call('neg', call('mul', g, inverseRoot(node.saved(0), -1, 1))),
  ])
}

export function atan(x: Tensor): Tensor {
  return record(call('atan', x), 'atan', [x], [x], (g, node) => [
    call('div', g, call('add', call('square', node.saved(0)), 1)),
  ])
}

export function sinh(x: Tensor): Tensor {
  return record(call('sinh', x), 'sinh', [x], [x], (g, node) => [call('mul', g, call('cosh', node.saved(0)))])
}

export function cosh(x: Tensor): Tensor {
  return record(call('cosh', x), 'cosh', [x], [x], (g, node) => [call('mul', g, call('sinh', node.saved(0)))])
}

export function asinh(x: Tensor): Tensor {
  return record(call('asinh', x), 'asinh', [x], [x], (g, node) => [
    call('mul', g, inverseRoot(node.saved(0), 1, 1)),
  ])
}

export function acosh(x: Tensor): Tensor {
  return record(call('acosh', x), 'acosh', [x], [x], (g, node) => [
    call('mul', g, inverseRoot(node.saved(0), 1, -1)),
  ])
}

export function atanh(x: Tensor): Tensor {
  return record(call('atanh', x), 'atanh', [x], [x], (g, node) => [
    call('div', g, call('sub', 1, call('square', node.saved(0)))),
  ])
}

/** The angle of the point (x, y), in [-π, π]. */
export function atan2(y: Operand, x: Operand): Tensor {
  const out = call('atan2', y, x)
  const inputs = [y instanceof Tensor ? y : null, x instanceof Tensor ? x : null]
  if (!isTracked(inputs)) return out
  const likes = inputs.map((input) => (input ? { shape: input.shape, dtype: input.dtype } : null))
  return record(out, 'atan2', inputs, inputs, (g, node) => {
    const above = y instanceof Tensor ? node.saved(0) : Number(y)
    const right = x instanceof Tensor ? node.saved(1) : Number(x)
    const square = (value: Tensor | number) =>
      value instanceof Tensor ? call('square', value) : value * value
    const squares = call('add', square(above), square(right))
    // The origin has no angle and no slope.
    const scale = call('where', call('eq', squares, 0), 0, call('div', g, squares))
    const slopes = [call('mul', scale, right), call('neg', call('mul', scale, above))]
    return likes.map((like, i) =>
      like && node.needs(i) ? reduceLike(slopes[i] as Tensor, like.shape, like.dtype) : null,
    )
  })
}

addMethods({
  asin() {
    return asin(this)
  },
  acos() {
    return acos(this)
  },
  atan() {
    return atan(this)
  },
  sinh() {
    return sinh(this)
  },
  cosh() {
    return cosh(this)
  },
  asinh() {
    return asinh(this)
  },
  acosh() {
    return acosh(this)
  },
  atanh() {
    return atanh(this)
  },
  atan2(other) {
    return atan2(this, other)
  },
})
