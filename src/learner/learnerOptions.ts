import type { LRFinderOptions } from '../../callbacks/LRFinder.ts'
import type { OneCycleOptions } from '../../callbacks/OneCycleScheduler.ts'
import type { Callback } from './Callback.ts'
import type { Split } from './layerGroups.ts'
import type { LossFunction } from './lossFunction.ts'
import type { LearningRate } from './lrRange.ts'
import type { MetricLike } from './Metric.ts'
import type { OptimizerOption } from './OptimizerWrapper.ts'

export interface LearnerOptions {
  /** Default: the one that the data names (`data.lossFunction`). */
  lossFunction?: LossFunction
  /**
   * An optimizer class or a function `(params, options) => optimizer`. Default: Adam with betas (0.9, 0.99) and eps 1e-8, as in
   * fastai. A class given here has its own defaults.
   */
  optimizer?: OptimizerOption
  /** Computed on the validation data after each epoch. Default none. */
  metrics?: readonly MetricLike[]
  /** Weight decay of fits that do not say otherwise. Default 0.01. */
  wd?: number
  /** Decay apart from the gradient (AdamW's way) instead of through it. Default true. */
  trueWd?: boolean
  /** Normalisation layers and biases decay too. Default true. */
  bnWd?: boolean
  /** Batch norm goes on training in frozen groups. Default true. */
  trainBn?: boolean
  /** Folder for what is saved. Default: the data's path, or the working directory. */
  path?: string
  /** Folder below `path` for models. Default 'models'. */
  modelDir?: string
  /** Callbacks of every fit. */
  callbacks?: readonly Callback[]
  /** Where the model is cut into layer groups; see `split`. Default: one group. */
  layerGroups?: Split
  /** Print nothing. Default false. */
  silent?: boolean
}

export interface FitOptions {
  /** Learning rate. Default `slice(3e-3)`. */
  lr?: LearningRate
  /** Weight decay. Default: the Learner's. */
  wd?: number | readonly number[]
  /** Callbacks of this fit, beside the Learner's. */
  callbacks?: readonly Callback[]
}

export interface FitOneCycleOptions extends OneCycleOptions, Omit<FitOptions, 'lr'> {}

export interface LrFindOptions extends LRFinderOptions {
  /** Weight decay. Default: the Learner's. */
  wd?: number | readonly number[]
}

export interface SaveOptions {
  /** Also what the optimizer remembers. Default true. */
  withOptimizer?: boolean
}

export interface LoadOptions {
  /** Names and shapes must match the model's. Default true. */
  strict?: boolean
  /** Also what the optimizer remembered, if the file has it. Default true. */
  withOptimizer?: boolean
}

/** Names of {@link LearnerOptions}, to find unknown ones at run time. */
export const learnerOptionNames = [
  'lossFunction',
  'optimizer',
  'metrics',
  'wd',
  'trueWd',
  'bnWd',
  'trainBn',
  'path',
  'modelDir',
  'callbacks',
  'layerGroups',
  'silent',
] as const satisfies readonly (keyof LearnerOptions)[]

/** Names of `OneCycleOptions`. */
export const oneCycleOptionNames = [
  'maxLr',
  'moms',
  'divFactor',
  'pctStart',
  'finalDiv',
  'totalEpochs',
  'startEpoch',
] as const
