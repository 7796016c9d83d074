/** Optimizers, schedulers for hand-written loops, and annealing curves. Exported from the package as `optim`. */
export { Adagrad, type AdagradOptions } from './Adagrad.ts'
export { Adam, type AdamOptions, AdamW } from './Adam.ts'
export * from './annealing.ts'
export { type Cycles, type CyclicMode, cyclicHeight, restartFraction } from './cycles.ts'
export { LAMB, type LAMBOptions } from './LAMB.ts'
export {
  Optimizer,
  type OptimizerOptions,
  type OptimizerState,
  type ParamGroup,
  type ParamGroupInput,
  type ParamState,
  type ParamsInput,
} from './Optimizer.ts'
export { RMSprop, type RMSpropOptions } from './RMSprop.ts'
export { SGD, type SGDOptions } from './SGD.ts'
export * from './schedulers/index.ts'
