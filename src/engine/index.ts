export type { MemoryStats } from './addon.ts'
export {
  type BackwardOptions,
  enableGrad,
  type GradOptions,
  grad,
  isGradEnabled,
  noGrad,
} from './autograd.ts'
export { defineOp, type OpContext, type OpDefinition } from './define.ts'
export {
  device,
  emptyCache,
  getDefaultDevice,
  memoryStats,
  resetPeakMemory,
  setDefaultDevice,
  setNumThreads,
  synchronize,
} from './device.ts'
export { type DType, dtypeSize, dtypes, isFloatingPoint, type TensorData, type TypedArray } from './dtype.ts'
export * from './errors.ts'
export { type GradcheckOptions, gradcheck } from './gradcheck.ts'
export * from './ops/activation.ts'
export { add, clamp, div, maximum, minimum, mul, type Operand, pow, remainder, sub } from './ops/binary.ts'
export { type ConvOptions, conv2d } from './ops/conv.ts'
export { toDType } from './ops/convert.ts'
export {
  arange,
  empty,
  eye,
  full,
  linspace,
  type NestedArray,
  ones,
  onesLike,
  type Shape,
  type TensorFromOptions,
  type TensorOptions,
  tensor,
  zeros,
  zerosLike,
} from './ops/create.ts'
export {
  abs,
  ceil,
  cos,
  erf,
  exp,
  expm1,
  floor,
  log,
  log1p,
  log2,
  log10,
  neg,
  reciprocal,
  round,
  rsqrt,
  sign,
  sin,
  sqrt,
  square,
  tan,
  trunc,
} from './ops/unary.ts'

import './ops/fill.ts'
import './ops/inPlace.ts'

export { dropout, dropout2d } from './ops/dropout.ts'
export { normalizeImages } from './ops/image.ts'
export {
  cat,
  gather,
  type Index,
  indexSelect,
  type NestedNumbers,
  oneHot,
  stack,
  where,
} from './ops/indexing.ts'
export {
  type BinaryCrossEntropyOptions,
  type BinaryCrossEntropyWithLogitsOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  type CrossEntropyOptions,
  crossEntropy,
  type NllLossOptions,
  nllLoss,
  type Reduction,
} from './ops/loss.ts'
export { linear, matmul } from './ops/matmul.ts'
export {
  type BatchNormOptions,
  batchNorm,
  type GroupNormOptions,
  groupNorm,
  type LayerNormOptions,
  layerNorm,
} from './ops/norm.ts'
export {
  type AvgPoolOptions,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  avgPool2d,
  type MaxPoolOptions,
  maxPool2d,
} from './ops/pool.ts'
export { getRngState, manualSeed, rand, randint, randn, randperm, setRngState } from './ops/random.ts'
export {
  amax,
  amin,
  cumsum,
  logsumexp,
  mean,
  norm,
  prod,
  type ReduceOptions,
  std,
  sum,
  type ValuesAndIndices,
  type VarianceOptions,
  variance,
} from './ops/reduce.ts'
export { logSoftmax, softmax } from './ops/softmax.ts'
export {
  channelsLast,
  clone,
  contiguous,
  expand,
  flatten,
  permute,
  squeeze,
  transpose,
  unsqueeze,
} from './ops/view.ts'

import './print.ts'

export { scope } from './scope.ts'
export { Tensor } from './tensor.ts'
