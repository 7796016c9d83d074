import { type DType, dtypes } from '../dtype.ts'
import { record } from '../graph.ts'
import { type Argument, call } from '../native.ts'
import { relu, sigmoid, tanh } from '../ops/activation.ts'
import { add, div, maximum, minimum, mul, type Operand, pow, remainder, sub } from '../ops/binary.ts'
import { toDevice, toDType } from '../ops/convert.ts'
import { where } from '../ops/indexing.ts'
import * as trigonometry from '../ops/trigonometry.ts'
import * as unary from '../ops/unary.ts'
import type { RecordedOp } from '../recordedWalk.ts'
import type { Tensor } from '../tensor.ts'

/** An op without a slope, or of constants alone: it runs as it is. */
export const constant =
  (op: string): RecordedOp =>
  (...inputs: Argument[]) =>
    call(op, ...inputs)

// g where x is positive, `slope` · g elsewhere: linear in g, and flat in x.
function gated(op: string, slope: readonly number[] = []): (g: Tensor, x: Tensor) => Tensor {
  return (g, x) =>
    record(call(op, g, x, ...slope), op, [g], [x], (v, node) => [call(op, v, node.saved(0), ...slope)])
}

/** The slope of silu, s + x s (1 - s) with s = sigmoid(x). */
function siluBackward(g: Tensor, x: Tensor): Tensor {
  const s = sigmoid(x)
  return mul(g, add(s, mul(mul(x, s), sub(1, s))))
}

/** The slope of gelu, Φ(x) + x φ(x). */
function geluBackward(g: Tensor, x: Tensor): Tensor {
  const cumulated = mul(add(unary.erf(mul(x, Math.SQRT1_2)), 1), 0.5)
  const density = mul(unary.exp(mul(unary.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI))
  return mul(g, add(cumulated, mul(x, density)))
}

const { abs, cos, erf, exp, exp2, expm1, log, log1p, neg, reciprocal, rsqrt, sign, sin, sqrt, square, tan } =
  unary
const { cosh, sinh } = trigonometry

export const elementwiseOps: Record<string, RecordedOp> = {
  ...{ add, sub, mul, div, pow, maximum, minimum, remainder, where },
  ...{ abs, cos, erf, exp, exp2, expm1, log, log1p, neg, reciprocal, rsqrt, sign, sin, sqrt, square, tan },
  ...{ cosh, sinh, relu, sigmoid, tanh },
  to_dtype: (x: Tensor, code: number) => toDType(x, dtypes[code] as DType),
  to_device: toDevice,
  alias: (x: Tensor) => x,
  relu_backward: gated('relu_backward'),
  leaky_relu_backward: (g: Tensor, x: Tensor, slope: number) => gated('leaky_relu_backward', [slope])(g, x),
  sigmoid_backward: (g: Tensor, y: Tensor) => mul(g, mul(y, sub(1, y))),
  tanh_backward: (g: Tensor, y: Tensor) => mul(g, sub(1, square(y))),
  silu_backward: siluBackward,
  gelu_backward: geluBackward,
  softplus_backward: (g: Tensor, x: Tensor) => where(call('gt', x, 20), g, mul(g, sigmoid(x))),
  clamp: (x: Tensor, low: Operand | null, high: Operand | null) => x.clamp(low as number, high as number),
  ...Object.fromEntries(
    ['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'logical_and', 'logical_or', 'logical_not', 'isfinite']
      .concat(['floor_divide', 'full', 'empty', 'empty_like'])
      .map((op) => [op, constant(op)]),
  ),
}

export const elementwiseNames = [
  ...['add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'remainder', 'where', 'clamp', 'to'],
  ...['neg', 'abs', 'sign', 'exp', 'exp2', 'expm1', 'log', 'log1p', 'log2', 'log10', 'sqrt', 'rsqrt'],
  ...['square', 'reciprocal', 'sin', 'cos', 'tan', 'erf', 'floor', 'ceil', 'round', 'trunc', 'frac'],
  ...['asin', 'acos', 'atan', 'sinh', 'cosh', 'asinh', 'acosh', 'atanh', 'atan2'],
  ...['relu', 'cap', 'leakyRelu', 'sigmoid', 'tanh', 'silu', 'gelu', 'softplus', 'elu', 'selu', 'logSigmoid'],
  ...['add_', 'sub_', 'mul_', 'div_', 'fill_', 'copy_'],
  ...['hardsigmoid', 'hardswish', 'dropout2d', 'relu_backward', 'leaky_relu_backward'],
]
