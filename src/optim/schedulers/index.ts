export { CyclicLR, type CyclicLROptions } from './CyclicLR.ts'
export {
  CosineAnnealingLR,
  type CosineAnnealingLROptions,
  ExponentialLR,
  type ExponentialLROptions,
  LambdaLR,
  type LambdaLROptions,
  MultiStepLR,
  type MultiStepLROptions,
  StepLR,
  type StepLROptions,
} from './decay.ts'
export { OneCycleLR, type OneCycleLROptions } from './OneCycleLR.ts'
export {
  ReduceLROnPlateau,
  type ReduceLROnPlateauOptions,
  type ReduceLROnPlateauState,
} from './ReduceLROnPlateau.ts'
export { Scheduler, type SchedulerState } from './Scheduler.ts'
