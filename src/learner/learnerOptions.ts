import type { FlatCosineOptions } from '../../callbacks/FlatCosineScheduler.ts'
import type { LRFinderOptions } from '../../callbacks/LRFinder.ts'
import type { OneCycleOptions } from '../../callbacks/OneCycleScheduler.ts'
import type { Callback } from './Callback.ts'
import { type Limits, limitNames } from './FitLimits.ts'
import type { Split } from './layerGroups.ts'
import type { LossFunction } from './lossFunction.ts'
import type { LearningRate } from './lrRange.ts'
import type { MetricLike } from './Metric.ts'
import type { OptimizerOption } from './OptimizerWrapper.ts'
import { rejectUnknownOptions } from './options.ts'

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
  /** Batch norm, layer norm, and the biases of linear and convolution layers decay too. Default true. */
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

export interface FitOptions extends Limits {
  /** Learning rate. Default `slice(3e-3)`. */
  lr?: LearningRate
  /** Weight decay. Default: the Learner's. */
  wd?: number | readonly number[]
  /** Callbacks of this fit, beside the Learner's. */
  callbacks?: readonly Callback[]
  /**
   * Only try whether all goes through: one epoch of so many training and validation batches (true: one each), without callbacks that
   * save, log or steer. Nothing has changed afterwards. Default false.
   */
  fastDevRun?: boolean | number
}

/** Names of {@link FitOptions}. */
export const fitOptionNames = ['lr', 'wd', 'callbacks', 'fastDevRun', ...limitNames] as const

export interface FitOneCycleOptions extends OneCycleOptions, Omit<FitOptions, 'lr'> {}

export interface FitFlatCosineOptions extends FlatCosineOptions, Omit<FitOptions, 'lr'> {}

export interface LrFindOptions extends LRFinderOptions {
  /** Weight decay. Default: the Learner's. */
  wd?: number | readonly number[]
}

export interface SaveOptions {
  /** Also what the optimizer remembers. Default true. */
  withOptimizer?: boolean
}

export interface LoadOptions {
  /** Names and shapes must match the model's, and classes and encodings those of the data. Default true. */
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

/** Names of `FlatCosineOptions`. */
export const flatCosineOptionNames = ['lr', 'startPct', 'moms', 'curve', 'totalEpochs', 'startEpoch'] as const

/**
 * Options of a scheduled fit in two: those of the schedule, and those of the fit.
 * @throws ConfigError for names that are neither
 */
export function parted<Options extends object, Name extends keyof Options & string>(
  owner: string,
  options: Options,
  scheduleNames: readonly Name[],
): [schedule: Pick<Options, Name>, fit: Omit<FitOptions, 'lr'>] {
  const others = fitOptionNames.filter((name) => name !== 'lr')
  rejectUnknownOptions(owner, options, [...scheduleNames, ...others])
  const pick = (names: readonly string[]) =>
    Object.fromEntries(
      Object.entries(options).filter(([name, value]) => names.includes(name) && value !== undefined),
    )
  return [pick(scheduleNames) as Pick<Options, Name>, pick(others) as Omit<FitOptions, 'lr'>]
}
