import { gelu, leakyRelu, silu, softplus, type Tensor, where } from '../../src/engine/index.ts'
import { describeOps, one, type Table, two } from './opCases.ts'

const unary = [
  'exp',
  'log',
  'log1p',
  'expm1',
  'log2',
  'log10',
  'sqrt',
  'rsqrt',
  'square',
  'reciprocal',
  'abs',
  'neg',
  'sign',
  'sin',
  'cos',
  'tan',
  'tanh',
  'sigmoid',
  'erf',
  'floor',
  'ceil',
  'round',
  'relu',
] as const

const functions = { silu, softplus, gelu }

const binary = [
  'add',
  'sub',
  'mul',
  'div',
  'maximum',
  'minimum',
  'pow',
  'eq',
  'ne',
  'lt',
  'le',
  'gt',
  'ge',
] as const

const table: Table = {
  ...Object.fromEntries(unary.map((name) => [name, one((x: Tensor) => x[name]())])),
  ...Object.fromEntries(Object.entries(functions).map(([name, call]) => [name, one((x: Tensor) => call(x))])),
  ...Object.fromEntries(binary.map((name) => [name, two((a: Tensor, b: Tensor) => a[name](b))])),
  leakyRelu: one((x, { negativeSlope }) => leakyRelu(x, negativeSlope)),
  clamp: one((x, { min = null, max }) => x.clamp(min, max)),
  powScalar: one((x, { exponent }) => x.pow(exponent!)),
  addScalar: one((x, { scalar }) => x.add(scalar!)),
  subScalar: one((x, { scalar }) => x.sub(scalar!)),
  mulScalar: one((x, { scalar }) => x.mul(scalar!)),
  divScalar: one((x, { scalar }) => x.div(scalar!)),
  where: ([condition, a, b]) => where(condition!, a!, b!),
}

describeOps('opsElementwise', table, ['geluTanh'])
