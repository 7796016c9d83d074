/** Models for pictures, and transfer learning with them. */
export * from './gan/index.ts'
export { type Cut, createBody, createHead, type HeadOptions } from './head.ts'
export * as models from './models/index.ts'
export {
  cachedWeights,
  type FetchWeightsOptions,
  fetchWeights,
  fetchWeightsSync,
  imagenetClasses,
  listPretrained,
  type PretrainedWeights,
  pretrainedWeights,
} from './pretrained/index.ts'
export type { BodyOptions, VisionArchitecture } from './startBody.ts'
export { type UnetLearnerOptions, unetLearner } from './unetLearner.ts'
export {
  type VisionData,
  type VisionLearnerOptions,
  visionLearner,
} from './visionLearner.ts'
