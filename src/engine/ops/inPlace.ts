import { changeInPlace } from '../inPlace.ts'
import { addMethods } from '../methods.ts'
import { Tensor } from '../tensor.ts'
import type { Operand } from './binary.ts'

/** Methods of one tensor that have a twin which writes the result into it. */
const names = [
  'neg',
  'abs',
  'sign',
  'square',
  'reciprocal',
  'exp',
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
    /** Limits values to [minimum, maximum] in place; null leaves a side open. */
    clamp_(minimum: number | null, maximum?: number | null): this
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
    changeInPlace('clamp_', this, [], (old) => old.clamp(minimum, maximum))
    return this
  },
  remainder_(other) {
    const operand = other instanceof Tensor ? other : null
    changeInPlace('remainder_', this, [operand], (old) => old.remainder(other))
    return this
  },
})
