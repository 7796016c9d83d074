/** Models for pictures, and transfer learning with them. */
export { type Cut, createBody, createHead, type HeadOptions } from './head.ts'
export * as models from './models/index.ts'
export {
  type VisionArchitecture,
  type VisionData,
  type VisionLearnerOptions,
  visionLearner,
} from './visionLearner.ts'
