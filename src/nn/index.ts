/** Modules, layers, losses and initialisation. Exported from the package as `nn`. */
import './discreetLayers.ts'

export { GELU, LeakyReLU, LogSoftmax, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Tanh } from './activations.ts'
export { BatchNorm1d, BatchNorm2d, type BatchNormFusion, type BatchNormOptions } from './batchNorm.ts'
export { ModuleList, Sequential } from './containers.ts'
export {
  Conv1d,
  type Conv1dOptions,
  Conv2d,
  type Conv2dOptions,
  type ConvOptions,
  type Single,
} from './conv.ts'
export {
  ConvTranspose1d,
  type ConvTranspose1dOptions,
  ConvTranspose2d,
  type ConvTranspose2dOptions,
  type ConvTransposeOptions,
} from './convTranspose.ts'
export { CosineSimilarity, type CosineSimilarityOptions, type PairwiseDistanceOptions } from './distance.ts'
export { Dropout, Dropout2d } from './dropout.ts'
export { Embedding, type EmbeddingLayerOptions } from './embedding.ts'
export type { ForwardHook, ForwardPreHook, HookHandle } from './hooks.ts'
export type { FanMode, KaimingOptions, Nonlinearity, TruncNormalOptions, XavierOptions } from './init.ts'
export * as init from './init.ts'
export { Identity, Linear, type LinearOptions } from './linear.ts'
export * from './losses/index.ts'
export { type ListOptions, Module } from './Module.ts'
export { GroupNorm, type GroupNormOptions, LayerNorm, type LayerNormOptions } from './normalization.ts'
export type { Pair } from './options.ts'
export { Parameter } from './Parameter.ts'
export { ReflectionPad2d, ReplicationPad2d, type Sides, ZeroPad2d } from './padding.ts'
export {
  AdaptiveAvgPool2d,
  AdaptiveConcatPool2d,
  AdaptiveMaxPool2d,
  AvgPool2d,
  type AvgPoolOptions,
  MaxPool2d,
  type MaxPoolOptions,
} from './pooling.ts'
export { PixelShuffle, PixelUnshuffle, Upsample, type UpsampleOptions } from './resampling.ts'
export { Flatten } from './shape.ts'
export type { LoadStateDictOptions, LoadStateDictResult } from './stateDict.ts'
export type { ModuleSummary, SummaryInput, SummaryOptions, SummaryRow } from './summary.ts'
