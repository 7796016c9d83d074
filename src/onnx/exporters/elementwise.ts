import type { DType } from '../../engine/index.ts'
import type { Arguments, Exporter, Exporters } from '../Arguments.ts'
import type { GraphBuilder } from '../GraphBuilder.ts'

export const FLOATING: readonly DType[] = ['float64', 'float32', 'float16', 'bfloat16']
const RANK: readonly DType[] = [
  'bool',
  'uint8',
  'int32',
  'int64',
  'bfloat16',
  'float16',
  'float32',
  'float64',
]

/** An op that ONNX has under a name of its own, on the dtype that it gives. */
const plain =
  (type: string): Exporter =>
  (builder, args) =>
    builder.add(type, [operand(builder, args, 0, args.output.dtype)])

/** A function of x, on the dtype that it gives. */
const formula =
  (of: (builder: GraphBuilder, x: string, number: (value: number) => string) => string): Exporter =>
  (builder, args) => {
    const { dtype } = args.output
    return of(builder, operand(builder, args, 0, dtype), (value) => builder.constant(value, dtype))
  }

/** A tensor or number as a value of `dtype`. */
export function operand(builder: GraphBuilder, args: Arguments, index: number, dtype: DType): string {
  return args.isValue(index)
    ? builder.cast(args.tensor(index), dtype)
    : builder.constant(args.number(index), dtype)
}

/** The dtype in which two operands are compared: that of the higher kind; a fraction makes integers floating. */
function commonDType(args: Arguments): DType {
  const tensors = [0, 1].filter((index) => args.isValue(index)).map((index) => args.value(index).dtype)
  if (tensors.length === 1 && FLOATING.includes(tensors[0]!)) return tensors[0]!
  const dtypes = [0, 1].map((index): DType => {
    if (args.isValue(index)) return args.value(index).dtype
    if (args.isTruth(index)) return 'bool'
    if (!Number.isInteger(args.number(index))) return 'float32'
    // A whole number is of the tensor's kind, unless that is truth.
    return tensors[0] === 'bool' ? 'int64' : 'bool'
  })
  const [a, b] = dtypes as [DType, DType]
  return RANK.indexOf(a) > RANK.indexOf(b) ? a : b
}

const arithmetic =
  (type: string): Exporter =>
  (builder, args) => {
    const { dtype } = args.output
    return builder.add(type, [operand(builder, args, 0, dtype), operand(builder, args, 1, dtype)])
  }

const comparison =
  (type: string, { negated = false } = {}): Exporter =>
  (builder, args) => {
    const dtype = commonDType(args)
    const inputs = [operand(builder, args, 0, dtype), operand(builder, args, 1, dtype)]
    const result = builder.add(type, inputs, { dtype: 'bool' })
    return negated ? builder.add('Not', [result]) : result
  }

const logical =
  (type: string): Exporter =>
  (builder, args) =>
    builder.add(type, [operand(builder, args, 0, 'bool'), operand(builder, args, 1, 'bool')])

/**
 * What fmod leaves over of x / y, and whether its sign is not y's: a quotient may have been rounded up to the next integer,
 * so that its floor would be one too many.
 */
function restOf(builder: GraphBuilder, x: string, y: string): { rest: string; turned: string } {
  const zero = builder.constant(0, builder.dtype(x))
  const rest = builder.add('Mod', [x, y], { fmod: { int: 1 } })
  const below = [rest, y].map((value) => builder.add('Less', [value, zero], { dtype: 'bool' }))
  const some = builder.add('Not', [builder.add('Equal', [rest, zero], { dtype: 'bool' })])
  return { rest, turned: builder.add('And', [some, builder.add('Xor', below)]) }
}

/** Both operands as floating numbers; halves as float32, in which the engine computes them too. */
function floatingOperands(builder: GraphBuilder, args: Arguments): [x: string, y: string] {
  const { dtype } = args.output
  const through = dtype === 'float64' ? dtype : 'float32'
  return [0, 1].map((index) => builder.cast(operand(builder, args, index, dtype), through)) as [
    string,
    string,
  ]
}

const choose = (builder: GraphBuilder, condition: string, yes: string, no: string) =>
  builder.add('Where', [condition, yes, no], { dtype: builder.dtype(yes) })

const remainder: Exporter = (builder, args) => {
  const { dtype } = args.output
  if (!FLOATING.includes(dtype)) {
    return builder.add('Mod', [operand(builder, args, 0, dtype), operand(builder, args, 1, dtype)])
  }
  const [x, y] = floatingOperands(builder, args)
  const { rest, turned } = restOf(builder, x, y)
  return builder.cast(choose(builder, turned, builder.add('Add', [rest, y]), rest), dtype)
}

const floorDivide: Exporter = (builder, args) => {
  const { dtype } = args.output
  if (!FLOATING.includes(dtype)) {
    const inputs = [0, 1].map((index) => builder.cast(operand(builder, args, index, dtype), 'float64'))
    return builder.cast(builder.add('Floor', [builder.add('Div', inputs)]), dtype)
  }
  // The engine's steps, one by one.
  const [x, y] = floatingOperands(builder, args)
  const number = (value: number) => builder.constant(value, builder.dtype(x))
  const compare = (type: string, a: string, b: string) => builder.add(type, [a, b], { dtype: 'bool' })
  const divided = builder.add('Div', [x, y])
  const { rest, turned } = restOf(builder, x, y)
  const exact = builder.add('Div', [builder.add('Sub', [x, rest]), y])
  const quotient = choose(builder, turned, builder.add('Sub', [exact, number(1)]), exact)
  const floor = builder.add('Floor', [quotient])
  const up = compare('Greater', builder.add('Sub', [quotient, floor]), number(0.5))
  const rounded = choose(builder, up, builder.add('Add', [floor, number(1)]), floor)
  // A zero has the sign of x / y.
  const zero = builder.add('Mul', [divided, number(0)])
  const result = choose(builder, compare('Equal', quotient, number(0)), zero, rounded)
  return builder.cast(choose(builder, compare('Equal', y, number(0)), divided, result), dtype)
}

const clamp: Exporter = (builder, args) => {
  const { dtype } = args.output
  const limit = (index: number) => (args.isNull(index) ? '' : builder.constant(args.number(index), dtype))
  return builder.add('Clip', [builder.cast(args.tensor(0), dtype), limit(1), limit(2)])
}

const where: Exporter = (builder, args) => {
  const { dtype } = args.output
  const condition = builder.cast(args.tensor(0), 'bool')
  const [yes, no] = [operand(builder, args, 1, dtype), operand(builder, args, 2, dtype)]
  if (dtype !== 'bool') return choose(builder, condition, yes, no)
  // onnxruntime does not choose between truth values.
  const chosen = builder.add('And', [condition, yes])
  return builder.add('Or', [chosen, builder.add('And', [builder.add('Not', [condition]), no])])
}

const truncated = (builder: GraphBuilder, x: string) =>
  builder.add('Mul', [builder.add('Sign', [x]), builder.add('Floor', [builder.add('Abs', [x])])])

/** To a whole number, which whole numbers are. */
const rounded =
  (to: (builder: GraphBuilder, x: string) => string): Exporter =>
  (builder, args) => {
    const { dtype } = args.output
    const x = operand(builder, args, 0, dtype)
    return FLOATING.includes(dtype) ? to(builder, x) : x
  }

/** exp(x) - 1, of which small x would leave nothing: tanh(x / 2) · (exp(x) + 1). */
const expm1 = formula((builder, x, number) => {
  const half = builder.add('Tanh', [builder.add('Mul', [x, number(0.5)])])
  return builder.add('Mul', [half, builder.add('Add', [builder.add('Exp', [x]), number(1)])])
})

/**
 * log(1 + x), of which small x would leave nothing. What rounding has done to u = 1 + x is made good by a factor of x / (u - 1).
 *
 * Source: Goldberg, What every computer scientist should know about floating-point arithmetic (1991), theorem 4
 */
const log1p = formula((builder, x, number) => {
  const sum = builder.add('Add', [x, number(1)])
  const added = builder.add('Sub', [sum, number(1)])
  const log = builder.add('Log', [sum])
  const same = (a: string, b: string) => builder.add('Equal', [a, b], { dtype: 'bool' })
  const mended = builder.add('Mul', [log, builder.add('Div', [x, added])])
  const small = choose(builder, same(added, number(0)), x, mended)
  return choose(builder, same(added, x), log, small)
})

/** onnxruntime makes an op of its own of x · sigmoid(x), which it does not have for float64. */
const silu = formula((builder, x, number) => {
  if (builder.dtype(x) !== 'float64') return builder.add('Mul', [x, builder.add('Sigmoid', [x])])
  const grown = builder.add('Exp', [builder.add('Neg', [x])])
  return builder.add('Div', [x, builder.add('Add', [grown, number(1)])])
})

/** The value in place of another: of the same shape and dtype. */
const copied: Exporter = (builder, args) => {
  const { dtype, shape } = args.output
  return builder.add('Expand', [builder.cast(args.tensor(1), dtype), builder.sizes(shape)])
}

export const elementwise: Exporters = {
  neg: plain('Neg'),
  abs: plain('Abs'),
  sign: plain('Sign'),
  exp: plain('Exp'),
  exp2: formula((builder, x, number) => builder.add('Pow', [number(2), x])),
  expm1,
  log: plain('Log'),
  log1p,
  log2: formula((builder, x, number) => builder.add('Mul', [builder.add('Log', [x]), number(1 / Math.LN2)])),
  log10: formula((builder, x, number) =>
    builder.add('Mul', [builder.add('Log', [x]), number(1 / Math.LN10)]),
  ),
  sqrt: plain('Sqrt'),
  rsqrt: formula((builder, x) => builder.add('Reciprocal', [builder.add('Sqrt', [x])])),
  square: formula((builder, x) => builder.add('Mul', [x, x])),
  reciprocal: plain('Reciprocal'),
  sin: plain('Sin'),
  cos: plain('Cos'),
  tan: plain('Tan'),
  asin: plain('Asin'),
  acos: plain('Acos'),
  atan: plain('Atan'),
  sinh: plain('Sinh'),
  cosh: plain('Cosh'),
  asinh: plain('Asinh'),
  acosh: plain('Acosh'),
  atanh: plain('Atanh'),
  tanh: plain('Tanh'),
  sigmoid: plain('Sigmoid'),
  // Runtimes have Relu for floating numbers.
  relu: formula((builder, x, number) =>
    FLOATING.includes(builder.dtype(x)) ? builder.add('Relu', [x]) : builder.add('Max', [x, number(0)]),
  ),
  silu,
  gelu: formula((builder, x, number) => {
    const erf = builder.add('Erf', [builder.add('Mul', [x, number(Math.SQRT1_2)])])
    const half = builder.add('Mul', [x, number(0.5)])
    return builder.add('Mul', [half, builder.add('Add', [erf, number(1)])])
  }),
  softplus: plain('Softplus'),
  erf: plain('Erf'),
  floor: rounded((builder, x) => builder.add('Floor', [x])),
  ceil: rounded((builder, x) => builder.add('Ceil', [x])),
  round: rounded((builder, x) => builder.add('Round', [x])),
  trunc: rounded(truncated),
  frac: formula((builder, x) =>
    builder.add('Sub', [x, FLOATING.includes(builder.dtype(x)) ? truncated(builder, x) : x]),
  ),
  isnan: (builder, args) => builder.add('IsNaN', [args.tensor(0)], { dtype: 'bool' }),
  isinf: (builder, args) => builder.add('IsInf', [args.tensor(0)], { dtype: 'bool' }),
  isfinite: (builder, args) => {
    const x = args.tensor(0)
    const found = ['IsNaN', 'IsInf'].map((type) => builder.add(type, [x], { dtype: 'bool' }))
    return builder.add('Not', [builder.add('Or', found)])
  },
  logical_not: (builder, args) => builder.add('Not', [builder.cast(args.tensor(0), 'bool')]),
  leaky_relu: (builder, args) =>
    builder.add('LeakyRelu', [args.tensor(0)], { alpha: { float: args.number(1) } }),
  clamp,
  where,

  add: arithmetic('Add'),
  sub: arithmetic('Sub'),
  mul: arithmetic('Mul'),
  div: arithmetic('Div'),
  pow: arithmetic('Pow'),
  maximum: arithmetic('Max'),
  minimum: arithmetic('Min'),
  remainder,
  floor_divide: floorDivide,
  eq: comparison('Equal'),
  ne: comparison('Equal', { negated: true }),
  lt: comparison('Less'),
  le: comparison('LessOrEqual'),
  gt: comparison('Greater'),
  ge: comparison('GreaterOrEqual'),
  logical_and: logical('And'),
  logical_or: logical('Or'),
  logical_xor: logical('Xor'),

  // In place: the new value of the first operand, which keeps its dtype.
  add_: arithmetic('Add'),
  sub_: arithmetic('Sub'),
  mul_: arithmetic('Mul'),
  div_: arithmetic('Div'),
  pow_: arithmetic('Pow'),
  copy_: copied,
  fill_: (builder, args) => {
    const { dtype, shape } = args.output
    return builder.add('Expand', [builder.constant(args.number(1), dtype), builder.sizes(shape)])
  },

  to_dtype: (builder, args) => builder.cast(args.tensor(0), args.output.dtype),
  softmax: (builder, args) => builder.add('Softmax', [args.tensor(0)], { axis: { int: args.axis(1) } }),
  log_softmax: (builder, args) =>
    builder.add('LogSoftmax', [args.tensor(0)], { axis: { int: args.axis(1) } }),
}
