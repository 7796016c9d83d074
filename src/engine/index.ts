export type { MemoryStats } from './addon.ts'
export { type AutocastDType, autocast } from './autocast.ts'
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
  allowTf32,
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
export { type GradcheckOptions, gradcheck, gradgradcheck } from './gradcheck.ts'
export * from './ops/activation.ts'
export { add, div, maximum, minimum, mul, type Operand, pow, remainder, sub } from './ops/binary.ts'
export { type BincountOptions, bincount } from './ops/bincount.ts'
export { clamp, type Limit, lerp } from './ops/clamp.ts'
export { allclose, equal, isclose, type ToleranceOptions } from './ops/compare.ts'
export { type ConvOptions, conv1d, conv2d } from './ops/conv.ts'
export { toDType } from './ops/convert.ts'
export { type ConvTransposeOptions, convTranspose1d, convTranspose2d } from './ops/convTranspose.ts'
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
  exp2,
  expm1,
  floor,
  frac,
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

export { movedim, swapaxes, unbind, unflatten } from './ops/dimensions.ts'
export { dropout, dropout2d } from './ops/dropout.ts'
export { einsum } from './ops/einsum.ts'
export { type EmbeddingOptions, embedding } from './ops/embedding.ts'
export {
  amax,
  amin,
  argmax,
  argmin,
  argsort,
  max,
  min,
  type SortOptions,
  sort,
  type TopkOptions,
  topk,
  type ValuesAndIndices,
} from './ops/extreme.ts'
export { type AffineGridOptions, affineGrid, type GridSampleOptions, gridSample } from './ops/gridSample.ts'
export { normalizeImages } from './ops/image.ts'
export {
  cat,
  chunk,
  gather,
  indexSelect,
  type NestedNumbers,
  narrow,
  oneHot,
  split,
  stack,
  where,
} from './ops/indexing.ts'
export { type InterpolateMode, type InterpolateOptions, interpolate } from './ops/interpolate.ts'
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
export { bmm, dot, linear, matmul, mm, mv, outer } from './ops/matmul.ts'
export { median, nanmedian } from './ops/median.ts'
export {
  type BatchNormOptions,
  batchNorm,
  type GroupNormOptions,
  groupNorm,
  type LayerNormOptions,
  layerNorm,
} from './ops/norm.ts'
export { pixelShuffle, pixelUnshuffle } from './ops/pixelShuffle.ts'
export {
  type AvgPoolOptions,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  avgPool2d,
  type MaxPoolOptions,
  maxPool2d,
} from './ops/pool.ts'
export {
  type QuantileInterpolation,
  type QuantileOptions,
  type QuantileShares,
  quantile,
} from './ops/quantile.ts'
export { getRngState, manualSeed, rand, randint, randn, randperm, setRngState } from './ops/random.ts'
export {
  all,
  any,
  type Dims,
  logsumexp,
  mean,
  prod,
  type ReduceOptions,
  std,
  sum,
  type VarianceOptions,
  variance,
} from './ops/reduce.ts'
export { flip, type PadMode, type PadOptions, pad, repeat, repeatInterleave, roll } from './ops/remap.ts'
export { cumprod, cumsum } from './ops/scan.ts'
export {
  type IndexAddOptions,
  indexAdd,
  maskedFill,
  maskedSelect,
  scatter,
  scatterAdd,
} from './ops/scatter.ts'
export { logSoftmax, softmax } from './ops/softmax.ts'
export type { IndexPutOptions } from './ops/subscript.ts'
export type { Index } from './ops/subscriptPlan.ts'
export { diag, diagonal, tril, triu } from './ops/triangle.ts'
export { acos, acosh, asin, asinh, atan, atan2, atanh, cosh, sinh } from './ops/trigonometry.ts'
export { type UniqueOptions, type UniqueValues, unique } from './ops/unique.ts'
export { norm } from './ops/vectorNorm.ts'
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
import './secondOrder/index.ts'

export { scope } from './scope.ts'
export { Tensor } from './tensor.ts'
