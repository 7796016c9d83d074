export { BCELoss, type BCELossOptions, BCEWithLogitsLoss, type BCEWithLogitsLossOptions } from './binary.ts'
export {
  CrossEntropyLoss,
  type CrossEntropyLossOptions,
  LabelSmoothingLoss,
  type LabelSmoothingLossOptions,
  NLLLoss,
  type NLLLossOptions,
} from './classification.ts'
export { KLDivLoss, type KLDivLossOptions, type KLDivReduction } from './divergence.ts'
export {
  CosineEmbeddingLoss,
  type CosineEmbeddingLossOptions,
  TripletMarginLoss,
  type TripletMarginLossOptions,
} from './embedding.ts'
export { Loss, type LossOptions } from './Loss.ts'
export {
  HuberLoss,
  type HuberLossOptions,
  L1Loss,
  MSELoss,
  RMSELoss,
  SmoothL1Loss,
  type SmoothL1LossOptions,
} from './regression.ts'
