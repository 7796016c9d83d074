import { changeInPlace } from '../inPlace.ts'
import { addMethods } from '../methods.ts'
import { Tensor } from '../tensor.ts'
import type { Operand } from './binary.ts'
import type { Limit } from './clamp.ts'

/** Methods of one tensor that have a twin which writes the result into it. */
const names = [
  'neg',
  'abs',
  'sign',
  'square',
  'reciprocal',
  'exp',
  'exp2',
  'expm1',
  'log',
  'log1p',
  'log2',
  'log10',
  'sqrt',
  'rsqrt',
  'sin',
  'cos',
  'tan',
  'tanh',
  'sigmoid',
  'erf',
  'relu',
  'floor',
  'ceil',
  'round',
  'trunc',
  'frac',
] as const

declare module '../tensor.ts' {
  interface Tensor {
    // As the methods without the underscore, in place. Integers take no floating result.
    neg_(): this
    abs_(): this
    sign_(): this
    square_(): this
    reciprocal_(): this
    exp_(): this
    exp2_(): this
    expm1_(): this
    log_(): this
    log1p_(): this
    log2_(): this
    log10_(): this
    sqrt_(): this
    rsqrt_(): this
    sin_(): this
    cos_(): this
    tan_(): this
    tanh_(): this
    sigmoid_(): this
    erf_(): this
    relu_(): this
    floor_(): this
    ceil_(): this
    round_(): this
    trunc_(): this
    frac_(): this
    /** Limits values to [minimum, maximum] in place; null leaves a side open. */
    clamp_(minimum: Limit, maximum?: Limit): this
    /** Remainder with the divisor's sign, in place. */
    remainder_(other: Operand): this
  }
}

for (const name of names) {
  const inPlace = `${name}_` as const
  addMethods({
    [inPlace]: function (this: Tensor) {
      changeInPlace(inPlace, this, [], (old) => old[name]())
      return this
    },
  })
}

addMethods({
  clamp_(minimum, maximum) {
    const limits = [minimum, maximum].map((limit) => (limit instanceof Tensor ? limit : null))
    changeInPlace('clamp_', this, limits, (old) => old.clamp(minimum, maximum))
    return this
  },
  remainder_(other) {
    const operand = other instanceof Tensor ? other : null
    changeInPlace('remainder_', this, [operand], (old) => old.remainder(other))
    return this
  },
})
