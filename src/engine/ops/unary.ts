import { requireTensor } from '../check.ts'
import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { toDType } from './convert.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** -x */
    neg(): Tensor
    /** |x|; the gradient at 0 is 0. */
    abs(): Tensor
    /** -1, 0 or 1. */
    sign(): Tensor
    exp(): Tensor
    /** 2 to the power x. */
    exp2(): Tensor
    /** exp(x) - 1, accurate near 0. */
    expm1(): Tensor
    /** Natural logarithm. */
    log(): Tensor
    /** log(1 + x), accurate near 0. */
    log1p(): Tensor
    log2(): Tensor
    log10(): Tensor
    sqrt(): Tensor
    /** 1 / sqrt(x) */
    rsqrt(): Tensor
    square(): Tensor
    /** 1 / x */
    reciprocal(): Tensor
    sin(): Tensor
    cos(): Tensor
    tan(): Tensor
    /** Error function. */
    erf(): Tensor
    floor(): Tensor
    ceil(): Tensor
    /** To the nearest integer, halves to even. */
    round(): Tensor
    trunc(): Tensor
    /** x - trunc(x) */
    frac(): Tensor
    isnan(): Tensor
    isinf(): Tensor
    isfinite(): Tensor
    logicalNot(): Tensor
  }
}

export function neg(x: Tensor): Tensor {
  return record(call('neg', x), 'neg', [x], [], (g) => [call('neg', g)])
}

export function abs(x: Tensor): Tensor {
  return record(call('abs', x), 'abs', [x], [x], (g, node) => [call('mul', g, call('sign', node.saved(0)))])
}

export function sign(x: Tensor): Tensor {
  return record(call('sign', x), 'sign', [x], [], (g) => [call('mul', g, 0)])
}

export function exp(x: Tensor): Tensor {
  const y = call('exp', x)
  return record(y, 'exp', [x], [y], (g, node) => [call('mul', g, node.saved(0))])
}

export function exp2(x: Tensor): Tensor {
  const y = call('exp2', x)
  return record(y, 'exp2', [x], [y], (g, node) => [call('mul', g, call('mul', node.saved(0), Math.LN2))])
}

export function expm1(x: Tensor): Tensor {
  const y = call('expm1', x)
  return record(y, 'expm1', [x], [y], (g, node) => [call('mul', g, call('add', node.saved(0), 1))])
}

export function log(x: Tensor): Tensor {
  return record(call('log', x), 'log', [x], [x], (g, node) => [call('div', g, node.saved(0))])
}

export function log1p(x: Tensor): Tensor {
  return record(call('log1p', x), 'log1p', [x], [x], (g, node) => [
    call('div', g, call('add', node.saved(0), 1)),
  ])
}

export function log2(x: Tensor): Tensor {
  return record(call('log2', x), 'log2', [x], [x], (g, node) => [
    call('div', g, call('mul', node.saved(0), Math.LN2)),
  ])
}

export function log10(x: Tensor): Tensor {
  return record(call('log10', x), 'log10', [x], [x], (g, node) => [
    call('div', g, call('mul', node.saved(0), Math.LN10)),
  ])
}

export function sqrt(x: Tensor): Tensor {
  const y = call('sqrt', x)
  return record(y, 'sqrt', [x], [y], (g, node) => [call('div', g, call('mul', node.saved(0), 2))])
}

export function rsqrt(x: Tensor): Tensor {
  const y = call('rsqrt', x)
  // d(x^-1/2) = -x^-3/2 / 2
  return record(y, 'rsqrt', [x], [y], (g, node) => [
    call('mul', call('mul', g, call('pow', node.saved(0), 3)), -0.5),
  ])
}

export function square(x: Tensor): Tensor {
  requireTensor('square', 'input', x)
  if (x.dtype === 'bool') return square(toDType(x, 'int64'))
  return record(call('square', x), 'square', [x], [x], (g, node) => [
    call('mul', g, call('mul', node.saved(0), 2)),
  ])
}

export function reciprocal(x: Tensor): Tensor {
  const y = call('reciprocal', x)
  return record(y, 'reciprocal', [x], [y], (g, node) => [
    call('neg', call('mul', g, call('square', node.saved(0)))),
  ])
}

export function sin(x: Tensor): Tensor {
  return record(call('sin', x), 'sin', [x], [x], (g, node) => [call('mul', g, call('cos', node.saved(0)))])
}

export function cos(x: Tensor): Tensor {
  return record(call('cos', x), 'cos', [x], [x], (g, node) => [
    call('neg', call('mul', g, call('sin', node.saved(0)))),
  ])
}

export function tan(x: Tensor): Tensor {
  const y = call('tan', x)
  return record(y, 'tan', [x], [y], (g, node) => [
    call('mul', g, call('add', call('square', node.saved(0)), 1)),
  ])
}

export function erf(x: Tensor): Tensor {
  return record(call('erf', x), 'erf', [x], [x], (g, node) => {
    const slope = call('exp', call('neg', call('square', node.saved(0))))
    return [call('mul', call('mul', g, slope), 2 / Math.sqrt(Math.PI))]
  })
}

// Step functions: flat wherever they have a derivative.
function step(name: string): (x: Tensor) => Tensor {
  return (x) => record(call(name, x), name, [x], [], (g) => [call('mul', g, 0)])
}

export const floor = step('floor')
export const ceil = step('ceil')
export const round = step('round')
export const trunc = step('trunc')

/** x - trunc(x), with the sign of x. */
export function frac(x: Tensor): Tensor {
  return record(call('frac', x), 'frac', [x], [], (g) => [g])
}

addMethods({
  neg() {
    return neg(this)
  },
  abs() {
    return abs(this)
  },
  sign() {
    return sign(this)
  },
  exp() {
    return exp(this)
  },
  exp2() {
    return exp2(this)
  },
  expm1() {
    return expm1(this)
  },
  log() {
    return log(this)
  },
  log1p() {
    return log1p(this)
  },
  log2() {
    return log2(this)
  },
  log10() {
    return log10(this)
  },
  sqrt() {
    return sqrt(this)
  },
  rsqrt() {
    return rsqrt(this)
  },
  square() {
    return square(this)
  },
  reciprocal() {
    return reciprocal(this)
  },
  sin() {
    return sin(this)
  },
  cos() {
    return cos(this)
  },
  tan() {
    return tan(this)
  },
  erf() {
    return erf(this)
  },
  floor() {
    return floor(this)
  },
  ceil() {
    return ceil(this)
  },
  round() {
    return round(this)
  },
  trunc() {
    return trunc(this)
  },
  frac() {
    return frac(this)
  },
  isnan() {
    return call('isnan', this)
  },
  isinf() {
    return call('isinf', this)
  },
  isfinite() {
    return call('isfinite', this)
  },
  logicalNot() {
    return call('logical_not', this)
  },
})
