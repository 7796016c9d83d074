import { requireHolds } from '../check.ts'
import { isFloatingPoint } from '../dtype.ts'
import { DTypeError } from '../errors.ts'
import { edgeOf, isTracked, record } from '../graph.ts'
import { changeInPlace, recordInPlace, requireChangeable } from '../inPlace.ts'
import { addMethods, changedInPlace } from '../methods.ts'
import { call, callInPlace } from '../native.ts'
import { Tensor } from '../tensor.ts'

/** What arithmetic takes beside a tensor: a plain number stays weak, it does not change a floating dtype. */
export type Operand = Tensor | number | boolean

declare module '../tensor.ts' {
  interface Tensor {
    /** Elementwise sum with broadcasting and PyTorch's type promotion. */
    add(other: Operand): Tensor
    sub(other: Operand): Tensor
    /** Elementwise product. */
    mul(other: Operand): Tensor
    /** True division: integers give float32. */
    div(other: Operand): Tensor
    pow(exponent: Operand): Tensor
    /** Elementwise maximum; NaN wins. */
    maximum(other: Operand): Tensor
    minimum(other: Operand): Tensor
    /** Remainder with the divisor's sign, as in Python. */
    remainder(other: Operand): Tensor
    floorDivide(other: Operand): Tensor
    /** In place: the result keeps this tensor's dtype and shape. */
    add_(other: Operand): this
    sub_(other: Operand): this
    mul_(other: Operand): this
    div_(other: Operand): this
    pow_(exponent: Operand): this
    eq(other: Operand): Tensor
    ne(other: Operand): Tensor
    lt(other: Operand): Tensor
    le(other: Operand): Tensor
    gt(other: Operand): Tensor
    ge(other: Operand): Tensor
    logicalAnd(other: Operand): Tensor
    logicalOr(other: Operand): Tensor
    logicalXor(other: Operand): Tensor
  }
}

function tensorOf(operand: Operand): Tensor | null {
  return operand instanceof Tensor ? operand : null
}

/** Sums a gradient over the dimensions in which its operand was broadcast, and gives it the operand's dtype. */
export function reduceLike(gradient: Tensor, shape: readonly number[], dtype: string): Tensor {
  let result = gradient
  const extra = gradient.ndim - shape.length
  const dims: number[] = []
  for (let i = 0; i < gradient.ndim; i++) {
    if (i < extra || (shape[i - extra] === 1 && gradient.shape[i] !== 1)) dims.push(i)
  }
  if (dims.length > 0) {
    result = call('sum', result, dims, true)
    if (extra > 0) result = call('reshape', result, shape)
  }
  if (result.dtype !== dtype) result = call('to_dtype', result, codeOf(dtype))
  return result
}

function codeOf(dtype: string): number {
  return ['float32', 'float64', 'bfloat16', 'float16'].indexOf(dtype)
}

// Remembers where an operand's gradient must end up, without keeping the operand.
function reducer(operand: Operand): (gradient: Tensor) => Tensor {
  if (!(operand instanceof Tensor)) return (gradient) => gradient
  const { shape, dtype } = operand
  return (gradient) => reduceLike(gradient, shape, dtype)
}

// The operand as backward functions want it: the saved tensor, or the number itself.
function saving(operand: Operand): Tensor | null {
  return tensorOf(operand)
}

export function add(a: Operand, b: Operand): Tensor {
  const out = call('add', a, b)
  const inputs = [tensorOf(a), tensorOf(b)]
  if (!isTracked(inputs)) return out
  const [toA, toB] = [reducer(a), reducer(b)]
  return record(out, 'add', inputs, [], (g, node) => [
    node.needs(0) ? toA(g) : null,
    node.needs(1) ? toB(g) : null,
  ])
}

export function sub(a: Operand, b: Operand): Tensor {
  const out = call('sub', a, b)
  const inputs = [tensorOf(a), tensorOf(b)]
  if (!isTracked(inputs)) return out
  const [toA, toB] = [reducer(a), reducer(b)]
  return record(out, 'sub', inputs, [], (g, node) => [
    node.needs(0) ? toA(g) : null,
    node.needs(1) ? toB(call('neg', g)) : null,
  ])
}

export function mul(a: Operand, b: Operand): Tensor {
  const out = call('mul', a, b)
  const inputs = [tensorOf(a), tensorOf(b)]
  if (!isTracked(inputs)) return out
  const [toA, toB] = [reducer(a), reducer(b)]
  // Each side is kept only if the other one wants a gradient.
  const saved = [edgeOf(inputs[1] ?? null) ? saving(a) : null, edgeOf(inputs[0] ?? null) ? saving(b) : null]
  return record(out, 'mul', inputs, saved, (g, node) => [
    node.needs(0) ? toA(call('mul', g, b instanceof Tensor ? node.saved(1) : b)) : null,
    node.needs(1) ? toB(call('mul', g, a instanceof Tensor ? node.saved(0) : a)) : null,
  ])
}

export function div(a: Operand, b: Operand): Tensor {
  const out = call('div', a, b)
  const inputs = [tensorOf(a), tensorOf(b)]
  if (!isTracked(inputs)) return out
  const [toA, toB] = [reducer(a), reducer(b)]
  return record(out, 'div', inputs, [saving(a), saving(b)], (g, node) => {
    const y = b instanceof Tensor ? node.saved(1) : b
    const scaled = call('div', g, y)
    return [
      node.needs(0) ? toA(scaled) : null,
      node.needs(1)
        ? toB(call('neg', call('mul', scaled, call('div', a instanceof Tensor ? node.saved(0) : a, y))))
        : null,
    ]
  })
}

// Integers have no fractions to answer with; PyTorch refuses too.
function requirePower(base: Operand, exponent: Operand): void {
  if (base instanceof Tensor && typeof exponent === 'number' && Number.isInteger(exponent) && exponent < 0) {
    if (!isFloatingPoint(base.dtype)) {
      throw new DTypeError(
        `pow: ${base.dtype} cannot be raised to ${exponent}, a negative integer; use float() or double() first`,
      )
    }
  }
  // Other arithmetic wraps around what an integer dtype cannot hold; PyTorch refuses it here.
  const [x, number] = base instanceof Tensor ? [base, exponent] : [exponent, base]
  if (x instanceof Tensor && typeof number === 'number' && Number.isSafeInteger(number)) {
    requireHolds('pow', number, x.dtype)
  }
}

export function pow(a: Operand, b: Operand): Tensor {
  requirePower(a, b)
  const out = call('pow', a, b)
  const inputs = [tensorOf(a), tensorOf(b)]
  if (!isTracked(inputs)) return out
  const [toA, toB] = [reducer(a), reducer(b)]
  return record(out, 'pow', inputs, [saving(a), saving(b), out], (g, node) => {
    const x = a instanceof Tensor ? node.saved(0) : a
    const y = b instanceof Tensor ? node.saved(1) : b
    let toBase: Tensor | null = null
    if (node.needs(0)) {
      if (y === 0) toBase = call('mul', g, 0)
      else {
        const power = call('pow', x, typeof y === 'object' ? call('sub', y, 1) : Number(y) - 1)
        toBase = call('mul', g, call('mul', power, y))
        // x^0 is constant, also where x^-1 is not finite.
        if (y instanceof Tensor) toBase = call('where', call('eq', y, 0), 0, toBase)
      }
      toBase = toA(toBase)
    }
    let toExponent: Tensor | null = null
    if (node.needs(1)) {
      const logarithm = x instanceof Tensor ? call('log', x) : Math.log(Number(x))
      let slope = call('mul', node.saved(2), logarithm)
      // 0^y has slope 0 for y >= 0, where the logarithm is not finite.
      if (x instanceof Tensor) {
        slope = call('where', call('logical_and', call('eq', x, 0), call('ge', y, 0)), 0, slope)
      } else if (Number(x) === 0) slope = call('where', call('ge', y, 0), 0, slope)
      toExponent = toB(call('mul', g, slope))
    }
    return [toBase, toExponent]
  })
}

// The gradient goes to the winner, and in equal shares where both are equal. Where one is NaN neither loses: as in PyTorch, the
// whole gradient goes to both.
function extreme(name: 'maximum' | 'minimum', loses: 'lt' | 'gt'): (a: Operand, b: Operand) => Tensor {
  return (a, b) => {
    const out = call(name, a, b)
    const inputs = [tensorOf(a), tensorOf(b)]
    if (!isTracked(inputs)) return out
    const [toA, toB] = [reducer(a), reducer(b)]
    return record(out, name, inputs, [saving(a), saving(b)], (g, node) => {
      const x = a instanceof Tensor ? node.saved(0) : a
      const y = b instanceof Tensor ? node.saved(1) : b
      const shared = call('where', call('eq', x, y), call('mul', g, 0.5), g)
      const share = (own: Operand, other: Operand) => call('where', call(loses, own, other), 0, shared)
      return [node.needs(0) ? toA(share(x, y)) : null, node.needs(1) ? toB(share(y, x)) : null]
    })
  }
}

export const maximum = extreme('maximum', 'lt')
export const minimum = extreme('minimum', 'gt')

export function remainder(a: Operand, b: Operand): Tensor {
  const out = call('remainder', a, b)
  const inputs = [tensorOf(a), tensorOf(b)]
  if (!isTracked(inputs)) return out
  const [toA, toB] = [reducer(a), reducer(b)]
  return record(out, 'remainder', inputs, [saving(a), saving(b)], (g, node) => [
    node.needs(0) ? toA(g) : null,
    node.needs(1)
      ? toB(
          call(
            'neg',
            call(
              'mul',
              g,
              call(
                'floor_divide',
                a instanceof Tensor ? node.saved(0) : a,
                b instanceof Tensor ? node.saved(1) : b,
              ),
            ),
          ),
        )
      : null,
  ])
}

// In place: the operand is kept as it was, should it lie in the memory that changes.
function inPlace(
  name: string,
  target: Tensor,
  other: Operand,
  gradients: (g: Tensor, other: Operand) => [Tensor, Tensor | null],
  savesOther: boolean,
): void {
  const operand = tensorOf(other)
  const tracked = isTracked([target, operand])
  if (!tracked) {
    callInPlace(name, target, other)
    changedInPlace(target)
    return
  }
  requireChangeable(name, target, [operand])
  const toOther = reducer(other)
  const shared = operand !== null && operand.versions !== null && operand.versions === target.versions
  const kept = !savesOther || operand === null ? null : shared ? call('clone', operand) : operand
  callInPlace(name, target, other)
  changedInPlace(target)
  recordInPlace(target, name, [operand], [kept], (g, node) => {
    const value = kept !== null ? node.saved(0) : operand !== null ? 0 : other
    const [toTarget, toB] = gradients(g, value)
    return [toTarget, node.needs(1) && toB ? toOther(toB) : null]
  })
}

addMethods({
  add(other) {
    return add(this, other)
  },
  sub(other) {
    return sub(this, other)
  },
  mul(other) {
    return mul(this, other)
  },
  div(other) {
    return div(this, other)
  },
  pow(exponent) {
    return pow(this, exponent)
  },
  maximum(other) {
    return maximum(this, other)
  },
  minimum(other) {
    return minimum(this, other)
  },
  remainder(other) {
    return remainder(this, other)
  },
  floorDivide(other) {
    return call('floor_divide', this, other)
  },
  add_(other) {
    inPlace('add_', this, other, (g) => [g, g], false)
    return this
  },
  sub_(other) {
    inPlace('sub_', this, other, (g) => [g, call('neg', g)], false)
    return this
  },
  mul_(other) {
    if (other instanceof Tensor && isTracked([other])) {
      changeInPlace('mul_', this, [other], (old) => mul(old, other))
    } else inPlace('mul_', this, other, (g, value) => [call('mul', g, value), null], true)
    return this
  },
  div_(other) {
    if (other instanceof Tensor && isTracked([other])) {
      changeInPlace('div_', this, [other], (old) => div(old, other))
    } else inPlace('div_', this, other, (g, value) => [call('div', g, value), null], true)
    return this
  },
  pow_(exponent) {
    requirePower(this, exponent)
    if (isTracked([this, tensorOf(exponent)])) {
      changeInPlace('pow_', this, [tensorOf(exponent)], (old) => pow(old, exponent))
    } else {
      callInPlace('pow_', this, exponent)
      changedInPlace(this)
    }
    return this
  },
  eq(other) {
    return call('eq', this, other)
  },
  ne(other) {
    return call('ne', this, other)
  },
  lt(other) {
    return call('lt', this, other)
  },
  le(other) {
    return call('le', this, other)
  },
  gt(other) {
    return call('gt', this, other)
  },
  ge(other) {
    return call('ge', this, other)
  },
  logicalAnd(other) {
    return call('logical_and', this, other)
  },
  logicalOr(other) {
    return call('logical_or', this, other)
  },
  logicalXor(other) {
    return call('logical_xor', this, other)
  },
})
