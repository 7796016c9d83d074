/** Generative adversarial networks: networks, losses, training, and measures of what they make. */
export {
  type BasicCriticOptions,
  type BasicGeneratorOptions,
  basicCritic,
  basicGenerator,
  type CriticNorm,
} from './basic.ts'
export {
  DcganDiscriminator,
  type DcganDiscriminatorOptions,
  DcganGenerator,
  type DcganGeneratorOptions,
  dcganDiscriminator,
  dcganGenerator,
  initialiseDcgan,
} from './dcgan.ts'
export { GANLearner } from './GANLearner.ts'
export {
  type CriticLoss,
  type CriticLossOption,
  GANLoss,
  type GANLossOptions,
  type GeneratorLoss,
  type GeneratorLossOption,
  ganLossFromFunctions,
} from './GANLoss.ts'
export { GANModule } from './GANModule.ts'
export { GANRecorder } from './GANRecorder.ts'
export { type GanCriticOptions, ganCritic, SelfAttention } from './ganCritic.ts'
export type {
  DcganOptions,
  FromLearnersOptions,
  GANLearnerOptions,
  GANOptions,
  ShowFakesOptions,
  WganOptions,
} from './ganOptions.ts'
export { type GradientPenaltyOptions, gradientPenalty } from './gradientPenalty.ts'
export { AdaptiveLoss, accuracyThreshExpand, NoopLoss, WassersteinLoss } from './losses.ts'
export { extractFeatures, type FeatureNetwork } from './measures/features.ts'
export { type FeatureStatistics, featureStatistics, frechetDistance } from './measures/frechetDistance.ts'
export { type KernelDistanceOptions, kernelDistance } from './measures/kernelDistance.ts'
export { precisionRecall } from './measures/precisionRecall.ts'
export { SpectralConv2d } from './spectralNorm.ts'
