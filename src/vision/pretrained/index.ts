/** Published weights: what there is, and how it comes here. */
export { cachedWeights, type FetchWeightsOptions, fetchWeights, fetchWeightsSync } from './fetchWeights.ts'
export { imagenetClasses } from './imagenetClasses.ts'
export { hasPretrained, listPretrained, type PretrainedWeights, pretrainedWeights } from './registry.ts'
