import { GradientClipping } from '../../callbacks/GradientClipping.ts'
import { LRFinder, type LrFindResult } from '../../callbacks/LRFinder.ts'
import { OneCycleScheduler } from '../../callbacks/OneCycleScheduler.ts'
import { ProgressCallback } from '../../callbacks/ProgressCallback.ts'
import { Recorder } from '../../callbacks/Recorder.ts'
import { TerminateOnNonFiniteCallback } from '../../callbacks/TerminateOnNonFiniteCallback.ts'
import { ConfigError, DataError } from '../engine/errors.ts'
import { scope } from '../engine/index.ts'
import type * as nn from '../nn/index.ts'
import { Adam } from '../optim/Adam.ts'
import { type Callback, checkCallback } from './Callback.ts'
import { CallbackHandler } from './CallbackHandler.ts'
import { checkpointFile, type LoadReport, readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { type Batch, type BatchLoader, type LearnerData, tensorsOf } from './data.ts'
import { evaluate } from './evaluate.ts'
import { FitState } from './FitState.ts'
import { ClassificationInterpretation } from './interpretation.ts'
import { type AnyModule, isBatchNorm, type Split, splitModel } from './layerGroups.ts'
import {
  type FitOneCycleOptions,
  type FitOptions,
  type LearnerOptions,
  type LoadOptions,
  type LrFindOptions,
  learnerOptionNames,
  oneCycleOptionNames,
  type SaveOptions,
} from './learnerOptions.ts'
import { runFit } from './loop.ts'
import { type LossFunction, toLoss } from './lossFunction.ts'
import { type LearningRate, lrRange, slice } from './lrRange.ts'
import { type Metric, type MetricLike, toMetrics } from './Metric.ts'
import { type OptimizerOption, OptimizerWrapper } from './OptimizerWrapper.ts'
import { checkCount, checkNotNegative, rejectUnknownOptions } from './options.ts'
import {
  collectPredictions,
  type Prediction,
  type PredictionOptions,
  type Predictions,
  predictItem,
} from './predictions.ts'

export type { FitOneCycleOptions, FitOptions, LearnerOptions, LoadOptions, LrFindOptions, SaveOptions }

const fastaiAdam: OptimizerOption = (params, options) =>
  new Adam(params, { ...options, betas: [0.9, 0.99], eps: 1e-8 })

/**
 * Data, model, loss and optimizer, and the ways to train them: fastai's Learner.
 *
 * @example
 * const learner = new Learner(data, model, { lossFunction: new nn.CrossEntropyLoss(), metrics: [metrics.accuracy] })
 * const { suggestions } = await learner.lrFind()
 * await learner.fitOneCycle(4, { maxLr: suggestions.valley ?? 1e-3 })
 */
export class Learner<Model extends AnyModule = nn.Module> {
  readonly data: LearnerData
  readonly model: Model
  /** May be changed between and, by callbacks, during fits. */
  lossFunction: LossFunction
  readonly metrics: readonly Metric[]
  wd: number
  readonly trueWd: boolean
  readonly bnWd: boolean
  readonly trainBn: boolean
  path: string
  modelDir: string
  /** Callbacks of every fit. Add to it and take from it between fits. */
  readonly callbacks: Callback[]
  /** History of all fits, and their figures. */
  readonly recorder: Recorder
  readonly silent: boolean
  readonly #optimizerOption: OptimizerOption
  #optimizer: OptimizerWrapper | undefined
  #layerGroups: nn.Sequential[]
  #busy = false

  /** @throws ConfigError for unknown options, a missing loss, unusable metrics or callbacks */
  constructor(data: LearnerData, model: Model, options: LearnerOptions = {}) {
    rejectUnknownOptions('Learner', options, learnerOptionNames)
    this.data = data
    this.model = model
    if (data.device !== undefined) model.to(data.device)
    this.lossFunction = toLoss(options.lossFunction ?? data.lossFunction)
    this.metrics = toMetrics(options.metrics ?? [])
    this.wd = options.wd ?? 0.01
    checkNotNegative('Learner', 'wd', this.wd)
    this.trueWd = options.trueWd ?? true
    this.bnWd = options.bnWd ?? true
    this.trainBn = options.trainBn ?? true
    this.path = options.path ?? data.path ?? '.'
    this.modelDir = options.modelDir ?? 'models'
    this.callbacks = [...(options.callbacks ?? [])]
    for (const callback of this.callbacks) checkCallback(callback)
    this.silent = options.silent ?? false
    this.recorder = new Recorder()
    this.#optimizerOption = options.optimizer ?? fastaiAdam
    this.#layerGroups = splitModel(model, options.layerGroups ?? [[model]])
  }

  // Training ---------------------------------------------------------------------------------------------------------

  /**
   * Trains for a number of epochs at a constant rate.
   * @throws ConfigError for options, monitors or events that do not exist; whatever a callback or the model throws
   */
  async fit(epochs: number, options: FitOptions = {}): Promise<void> {
    rejectUnknownOptions('fit', options, ['lr', 'wd', 'callbacks'])
    const extras: Callback[] = [this.recorder]
    const given = [...this.callbacks, ...(options.callbacks ?? [])]
    if (!given.some((callback) => callback instanceof TerminateOnNonFiniteCallback)) {
      extras.push(new TerminateOnNonFiniteCallback())
    }
    if (!this.silent && !given.some((callback) => callback instanceof ProgressCallback))
      extras.push(new ProgressCallback())
    await this.#train(epochs, [...extras, ...given], options)
  }

  /**
   * Trains with Leslie Smith's one-cycle policy; see {@link OneCycleScheduler}. `epochs` counts from the beginning of the run:
   * `fitOneCycle(4, { startEpoch: 2 })` runs the last two of four epochs.
   */
  async fitOneCycle(epochs: number, options: FitOneCycleOptions = {}): Promise<void> {
    rejectUnknownOptions('fitOneCycle', options, [...oneCycleOptionNames, 'wd', 'callbacks'])
    const { wd, callbacks = [], ...oneCycle } = options
    const scheduler = new OneCycleScheduler(oneCycle)
    await this.fit(epochs, {
      lr: oneCycle.maxLr === undefined ? slice(3e-3) : oneCycle.maxLr,
      callbacks: [...callbacks, scheduler],
      ...(wd !== undefined && { wd }),
    })
  }

  /**
   * Sweeps the rate from `startLr` to `endLr` over `numIt` batches, to find where the loss falls fastest and where it
   * diverges. Weights, optimizer, data order and random streams are afterwards as they were before.
   */
  async lrFind(options: LrFindOptions = {}): Promise<LrFindResult> {
    rejectUnknownOptions('lrFind', options, ['startLr', 'endLr', 'numIt', 'stopDiv', 'wd'])
    const { wd, ...sweep } = options
    const finder = new LRFinder(sweep)
    const epochs = Math.ceil(finder.numIt / this.#trainBatches())
    const others = this.callbacks.filter((callback) => callback.runsInLrFind)
    await this.#train(epochs, [...others, finder], {
      lr: this.optimizer.lrs,
      ...(wd !== undefined && { wd }),
    })
    const { result } = finder
    this.recorder.lastSweep = { ...result, numIt: finder.numIt }
    return result
  }

  async #train(
    epochs: number,
    callbacks: readonly Callback[],
    { lr = slice(3e-3), wd = this.wd }: FitOptions,
  ): Promise<void> {
    checkCount('fit', 'epochs', epochs, 1)
    const batchesPerEpoch = this.#trainBatches()
    if (this.#busy) throw new ConfigError('this Learner is training already: await one fit before the next')
    this.#busy = true
    try {
      const state = this.#newState(epochs, batchesPerEpoch, callbacks)
      const handler = new CallbackHandler(callbacks, state)
      this.optimizer.resetMomentum()
      this.optimizer.lr = this.lrRange(lr)
      this.optimizer.wd = wd
      this.optimizer.zeroGrad()
      await runFit({ learner: this.#self, state, callbacks: handler, metrics: this.metrics })
    } finally {
      this.#busy = false
    }
  }

  /** As callbacks and helpers see it: the model's own type is the caller's affair. */
  get #self(): Learner {
    return this as unknown as Learner
  }

  #trainBatches(): number {
    const { length, dataset } = this.data.trainDl
    if (length > 0) return length
    throw new DataError(
      `the training data gives no batch: it has ${dataset.length} item(s), fewer than a batch takes. Lower the batch size`,
    )
  }

  #newState(epochs: number, batchesPerEpoch: number, callbacks: readonly Callback[]): FitState {
    const extra = callbacks.flatMap(({ extraMetrics }) => extraMetrics ?? [])
    const metricNames = [...this.metrics.map(({ name }) => name), ...extra]
    const validated = this.data.validDl ? ['validLoss', ...metricNames] : extra
    return new FitState({
      learner: this.#self,
      epochs,
      batchesPerEpoch,
      metricNames,
      monitors: ['trainLoss', ...validated],
    })
  }

  // Layer groups, rates ----------------------------------------------------------------------------------------------

  /** The optimizer over the layer groups: rates, momentum and decay can be read and set. Made when first needed. */
  get optimizer(): OptimizerWrapper {
    this.#optimizer ??= new OptimizerWrapper(this.#optimizerOption, this.#layerGroups, this)
    return this.#optimizer
  }

  /** The parts of the model, first to last, that can be frozen and have rates of their own. */
  get layerGroups(): readonly nn.Sequential[] {
    return this.#layerGroups
  }

  /**
   * Cuts the model into layer groups: before each of the given modules, or into given lists of modules.
   * @returns this
   */
  split(where: Split | ((model: Model) => Split)): this {
    this.#layerGroups = splitModel(this.model, typeof where === 'function' ? where(this.model) : where)
    this.#optimizer?.regroup(this.#layerGroups)
    return this
  }

  /** Trains the last layer group only. @throws ConfigError if there is only one */
  freeze(): void {
    if (this.#layerGroups.length < 2) {
      throw new ConfigError(
        'there is one layer group only, and freezing it would leave nothing to train; split the model first',
      )
    }
    this.freezeTo(-1)
  }

  /** Trains all layer groups. */
  unfreeze(): void {
    this.freezeTo(0)
  }

  /**
   * Trains layer groups from `group` on (negative counts from the end) and freezes those before, except their batch norm
   * while `trainBn`. What the optimizer remembers of parameters that stay trainable is kept.
   */
  freezeTo(group: number): void {
    const groups = this.#layerGroups
    const first = group < 0 ? groups.length + group : group
    if (!Number.isInteger(group) || first < 0 || first >= groups.length) {
      throw new ConfigError(
        `freezeTo: group ${group} does not exist; there are ${groups.length}, numbered from 0`,
      )
    }
    for (const [i, leaves] of groups.entries()) {
      for (const leaf of leaves) {
        if (i < first && this.trainBn && isBatchNorm(leaf)) continue
        for (const parameter of leaf.parameters()) parameter.requiresGrad = i >= first
      }
    }
    this.#optimizer?.regroup(groups)
  }

  /** The learning rate of each layer group. `lrRange(slice(1e-5, 1e-3))` of three groups is [1e-5, 1e-4, 1e-3]. */
  lrRange(lr: LearningRate): number[] {
    return lrRange(lr, this.#layerGroups.length)
  }

  /** Clips the gradients' joint norm in every fit from now on; see {@link GradientClipping}. Returns this. */
  clipGrad(clip = 0.1): this {
    this.callbacks.push(new GradientClipping(clip))
    return this
  }

  // Looking at the result --------------------------------------------------------------------------------------------

  /**
   * Loss and metrics over the validation data, or over another loader.
   * @returns `{ loss, accuracy, … }`, with the metrics by name
   */
  async validate(
    loader?: BatchLoader,
    { metrics }: { metrics?: readonly MetricLike[] } = {},
  ): Promise<{ loss: number } & Record<string, number>> {
    const chosen = metrics ? toMetrics(metrics) : this.metrics
    const from = loader ?? this.data.validDl
    if (!from || from.length === 0) {
      throw new DataError('there is no validation data: give the data some, or pass a loader to validate')
    }
    const state = this.#newState(0, 0, [])
    const callbacks = new CallbackHandler(this.callbacks, state)
    const { loss, metrics: values } = await evaluate(
      { learner: this.#self, state, callbacks, metrics: chosen },
      from,
    )
    return { loss, ...values } as { loss: number } & Record<string, number>
  }

  /**
   * Runs the model over data in fixed order. Predictions are what the loss makes of raw outputs: probabilities for a
   * classifier. All results are on the CPU.
   */
  async getPredictions(options: PredictionOptions = {}): Promise<Predictions> {
    const state = this.#newState(0, 0, [])
    return collectPredictions(this.#self, state, new CallbackHandler(this.callbacks, state), options)
  }

  /**
   * What the model makes of one item: a picture file, for picture data, or a tensor without the dimension of the batch.
   * @example const { label, predictions } = await learner.predict('bee.jpg')
   */
  async predict(item: unknown): Promise<Prediction> {
    return predictItem(this.#self, item)
  }

  /** Where a classifier is right and wrong: confusion matrix, most confused classes, top losses. */
  async interpret(options: Omit<PredictionOptions, 'withLoss'> = {}): Promise<ClassificationInterpretation> {
    return ClassificationInterpretation.fromLearner(this.#self, options)
  }

  /** Layers with their output shapes and parameters, for the shape of a batch of one. */
  async summary(): Promise<nn.ModuleSummary> {
    const [x] = await scope(async () => {
      const { x } = (await this.data.oneBatch?.()) ?? (await firstOf(this.data.trainDl))
      return tensorsOf(x).map(({ shape, dtype }) => ({ shape, dtype }))
    })
    return this.model.summary([1, ...x!.shape.slice(1)], { dtype: x!.dtype })
  }

  // Saving -----------------------------------------------------------------------------------------------------------

  /**
   * Writes the model, and what the optimizer remembers, to `path/modelDir/name.safetensors`, whole or not at all.
   * @returns the file
   * @throws CheckpointError if it cannot be written; what was there before stays
   */
  async save(name: string, { withOptimizer = true }: SaveOptions = {}): Promise<string> {
    const file = checkpointFile(this.#self, name)
    await writeCheckpoint(file, this.#self, withOptimizer ? this.#optimizer : undefined)
    return file
  }

  /**
   * Loads what `save` wrote.
   * @returns what did not match: nothing, unless `strict` is false
   * @throws CheckpointError if the file is missing, damaged or of another model; nothing has changed then
   */
  async load(name: string, { strict = true, withOptimizer = true }: LoadOptions = {}): Promise<LoadReport> {
    return readCheckpoint(checkpointFile(this.#self, name), this.#self, { strict, withOptimizer })
  }
}

async function firstOf(loader: BatchLoader): Promise<Batch> {
  for await (const batch of loader) return batch
  throw new DataError('the training data gives no batch')
}
