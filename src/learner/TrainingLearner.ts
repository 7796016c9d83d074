import { CheckpointCallback } from '../../callbacks/CheckpointCallback.ts'
import { FlatCosineScheduler } from '../../callbacks/FlatCosineScheduler.ts'
import { LRFinder, type LrFindResult } from '../../callbacks/LRFinder.ts'
import { OneCycleScheduler } from '../../callbacks/OneCycleScheduler.ts'
import { ProgressCallback } from '../../callbacks/ProgressCallback.ts'
import { TerminateOnNonFiniteCallback } from '../../callbacks/TerminateOnNonFiniteCallback.ts'
import { ConfigError, DataError } from '../engine/errors.ts'
import type * as nn from '../nn/index.ts'
import {
  type BatchSizeResult,
  type FindBatchSizeOptions,
  findLargestBatch,
  type TrialFit,
} from './batchSizeFinder.ts'
import type { Callback } from './Callback.ts'
import { CallbackHandler } from './CallbackHandler.ts'
import { checkpointFile } from './checkpoint.ts'
import type { BatchLoader } from './data.ts'
import { FitLimits, Rehearsal } from './FitLimits.ts'
import { newFitState } from './FitState.ts'
import { LearnerBase } from './LearnerBase.ts'
import type { AnyModule } from './layerGroups.ts'
import {
  type FitFlatCosineOptions,
  type FitOneCycleOptions,
  type FitOptions,
  fitOptionNames,
  flatCosineOptionNames,
  type LrFindOptions,
  oneCycleOptionNames,
  parted,
} from './learnerOptions.ts'
import { type Fit, runFit } from './loop.ts'
import { slice } from './lrRange.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'
import { type FitProfile, type ProfileOptions, profiler } from './profile.ts'
import { findResumable, Resumption, writeResumable } from './resume.ts'
import { SweepProgress } from './SweepProgress.ts'

/** The ways to train a {@link Learner}. */
export abstract class TrainingLearner<Model extends AnyModule = nn.Module> extends LearnerBase<Model> {
  #fit: Fit | undefined
  #resumption: Resumption | undefined

  /**
   * Trains for a number of epochs at a constant rate.
   *
   * In a script, Ctrl-C finishes the batch, writes a checkpoint and the history, says how to go on and ends the process with status
   * 130; pressed again, it ends the process at once. A program that listens to SIGINT itself is left alone.
   * @throws ConfigError for options, monitors or events that do not exist; whatever a callback or the model throws
   */
  async fit(epochs: number, options: FitOptions = {}): Promise<void> {
    rejectUnknownOptions('fit', options, fitOptionNames)
    const { fastDevRun = false, maxBatches, maxValidBatches, maxSeconds } = options
    const given = [...this.callbacks, ...(options.callbacks ?? [])]
    if (fastDevRun !== false) return this.#rehearse(given, options)
    const lacks = (type: abstract new (...args: never[]) => Callback) =>
      !given.some((callback) => callback instanceof type)
    const extras: Callback[] = [this.recorder]
    if (lacks(TerminateOnNonFiniteCallback)) extras.push(new TerminateOnNonFiniteCallback())
    if (lacks(CheckpointCallback)) {
      extras.push(new CheckpointCallback({ every: 'interrupt', name: 'interrupted' }))
    }
    if (!this.silent && lacks(ProgressCallback)) extras.push(new ProgressCallback())
    if ([maxBatches, maxValidBatches, maxSeconds].some((limit) => limit !== undefined)) {
      extras.push(new FitLimits(options))
    }
    await this.#train(epochs, [...extras, ...given], options, this.#resumption)
  }

  /**
   * Trains with Leslie Smith's one-cycle policy; see {@link OneCycleScheduler}. `epochs` counts from the beginning of the run:
   * `fitOneCycle(4, { startEpoch: 2 })` runs the last two of four epochs.
   */
  async fitOneCycle(epochs: number, options: FitOneCycleOptions = {}): Promise<void> {
    const [schedule, fit] = parted('fitOneCycle', options, oneCycleOptionNames)
    const scheduler = new OneCycleScheduler(schedule)
    const { maxLr = slice(3e-3) } = schedule as FitOneCycleOptions
    await this.fit(epochs, { ...fit, lr: maxLr, callbacks: [...(fit.callbacks ?? []), scheduler] })
  }

  /** Trains at a constant rate, which falls to 0 in the last part: fastai's `fit_fc`; see {@link FlatCosineScheduler}. */
  async fitFlatCosine(epochs: number, options: FitFlatCosineOptions = {}): Promise<void> {
    const [schedule, fit] = parted('fitFlatCosine', options, flatCosineOptionNames)
    const { lr = slice(3e-3) } = schedule as FitFlatCosineOptions
    const scheduler = new FlatCosineScheduler(schedule)
    await this.fit(epochs, { ...fit, lr, callbacks: [...(fit.callbacks ?? []), scheduler] })
  }

  async #rehearse(given: readonly Callback[], options: FitOptions): Promise<void> {
    const batches = options.fastDevRun === true ? 1 : Number(options.fastDevRun)
    checkCount('fit', 'fastDevRun', batches, 1)
    const limits = { maxBatches: batches, maxValidBatches: batches }
    const callbacks: Callback[] = [
      new Rehearsal(),
      new FitLimits(limits),
      ...given.filter(({ runsInLrFind }) => runsInLrFind),
    ]
    if (!this.silent) callbacks.push(new ProgressCallback())
    await this.#keepingRates(() => this.#train(1, callbacks, { ...options, ...limits }))
  }

  /**
   * Sweeps the rate from `startLr` to `endLr` over `numIt` batches, to find where the loss falls fastest and where it
   * diverges. Weights, optimizer, data order, random streams and what callbacks remember are afterwards as they were before.
   */
  async lrFind(options: LrFindOptions = {}): Promise<LrFindResult> {
    rejectUnknownOptions('lrFind', options, ['startLr', 'endLr', 'numIt', 'stopDiv', 'wd'])
    const { wd, ...sweep } = options
    const finder = new LRFinder(sweep)
    const epochs = Math.ceil(finder.numIt / this.#trainBatches())
    const others = this.#sweepers('lrFind', finder.numIt)
    const rates = { lr: this.optimizer.lrs, ...(wd !== undefined && { wd }) }
    await this.#keepingRates(() => this.#train(epochs, [...others, finder], rates))
    const { result } = finder
    this.recorder.lastSweep = { ...result, numIt: finder.numIt }
    return result
  }

  /**
   * Measures where the time of training batches goes: waiting for data, forward, loss, backward, step, callbacks. Nothing has changed
   * afterwards. Prints the table, unless the Learner is silent.
   */
  async profile(options: ProfileOptions = {}): Promise<FitProfile> {
    rejectUnknownOptions('profile', options, ['batches', 'warmup'])
    const { batches = 20, warmup = 3 } = options
    checkCount('profile', 'batches', batches, 1)
    checkCount('profile', 'warmup', warmup, 0)
    const { callbacks, result } = profiler({ batches, warmup })
    const others = this.#sweepers('profile', batches + warmup)
    const epochs = Math.ceil((batches + warmup) / this.#trainBatches())
    const all = [new Rehearsal({ skipValidate: true }), ...others, ...callbacks]
    await this.#keepingRates(() => this.#train(epochs, all, {}))
    if (!this.silent) process.stdout.write(`${result()}\n`)
    return result()
  }

  /**
   * The largest training batch that fits into memory, found by doubling, and the one with the most samples a second. Its steps are those
   * of a fit, with mixed precision and the other callbacks of the Learner. Nothing has changed afterwards;
   * `data.batchSize = found.batchSize` puts it to use.
   * @throws ConfigError if not even the first size fits, or the loader's batch size cannot be changed
   */
  async findBatchSize(options: FindBatchSizeOptions = {}): Promise<BatchSizeResult> {
    if (this.#fit) throw new ConfigError('this Learner is training: await the fit before findBatchSize')
    this.settleLoaders()
    const own = this.callbacks.filter(({ runsInLrFind }) => runsInLrFind)
    const fit: TrialFit = (loader, epochs, callbacks) => {
      const all = [new Rehearsal({ skipValidate: true }), ...own, ...callbacks]
      return this.#keepingRates(() => this.#train(epochs, all, { loader }))
    }
    try {
      return await findLargestBatch(this.self, fit, options)
    } finally {
      this.compiled?.dispose()
    }
  }

  /**
   * Takes up a fit where a checkpoint left it: the model, what is frozen and what the optimizer remembers are put in place, and the
   * next fit, which must be the same call as before, goes on from there. It ends with the same bits as if it had never been
   * interrupted. A fit that was finished returns at once.
   *
   * @param path a file that {@link CheckpointCallback} wrote: its path, or its name below the Learner's folder for models
   * @returns the Learner
   * @throws CheckpointError if the file is missing, cut short, damaged, of a newer version, or of another model or other data; nothing has
   * changed then
   */
  static async resume<Resumed extends TrainingLearner<AnyModule>>(
    path: string,
    learner: Resumed,
  ): Promise<Resumed> {
    if (!(learner instanceof TrainingLearner)) {
      throw new ConfigError(
        `Learner.resume takes a path and a Learner made as before, got ${typeof learner}: Learner.resume('last', learner)`,
      )
    }
    if (learner.#fit) throw new ConfigError('this Learner is training: await the fit before resuming another')
    const file = await findResumable(learner.self, path)
    learner.#resumption = await Resumption.read(file, learner.self)
    return learner
  }

  /**
   * Writes all that {@link resume} needs to `path/modelDir/name.safetensors`, whole or not at all. For callbacks that run after all
   * others (of infinite `order`), in their onBatchEnd or onEpochEnd; {@link CheckpointCallback} is one.
   * @returns the file
   */
  async checkpoint(name: string): Promise<string> {
    if (!this.#fit) {
      throw new ConfigError(
        'a checkpoint is taken during a fit; between fits, learner.save keeps the model and its optimizer',
      )
    }
    const file = checkpointFile(this.self, name)
    await writeResumable(file, this.#fit)
    return file
  }

  async #train(
    epochs: number,
    callbacks: readonly Callback[],
    options: FitOptions & { loader?: BatchLoader },
    resumption?: Resumption,
  ): Promise<void> {
    const { lr = slice(3e-3), wd = this.wd, maxBatches = Infinity, loader } = options
    checkCount('fit', 'epochs', epochs, 1)
    const batchesPerEpoch = Math.min(this.#trainBatches(loader), maxBatches)
    if (this.#fit) throw new ConfigError('this Learner is training already: await one fit before the next')
    const request = {
      epochs,
      batchesPerEpoch,
      items: this.data.trainDl.dataset.length,
      lr: this.lrRange(lr),
      wd: typeof wd === 'number' ? wd : [...wd],
    }
    resumption?.check(request, this.self)
    const state = newFitState(this.self, { epochs, batchesPerEpoch, callbacks, resuming: !!resumption })
    const handler = new CallbackHandler(callbacks, state)
    this.settleLoaders()
    // Between fits anything may have changed.
    this.compiled?.dispose()
    const { self: learner, metrics } = this
    this.#fit = { learner, loader, state, callbacks: handler, metrics, request, resumption }
    try {
      this.optimizer.resetMomentum()
      this.optimizer.lr = request.lr
      this.optimizer.wd = wd
      this.optimizer.zeroGrad()
      await runFit(this.#fit)
    } finally {
      if (resumption?.taken) this.#resumption = undefined
      this.#fit = undefined
    }
  }

  /** Rates, momenta and decay, which a fit sets before anyone hears of it, are afterwards as they were. */
  async #keepingRates(body: () => Promise<void>): Promise<void> {
    const { optimizer } = this
    const { hyperParameters } = optimizer
    try {
      await body()
    } finally {
      optimizer.hyperParameters = hyperParameters
    }
  }

  /** Those who take part in a run of so many batches that is no fit. */
  #sweepers(title: string, batches: number): Callback[] {
    const own = this.callbacks.filter(({ runsInLrFind }) => runsInLrFind)
    return this.silent ? own : [...own, new SweepProgress(title, batches)]
  }

  #trainBatches({ length, dataset }: BatchLoader = this.data.trainDl): number {
    if (length > 0) return length
    throw new DataError(
      `the training data gives no batch: it has ${dataset.length} item(s), fewer than a batch takes. Lower the batch size`,
    )
  }
}
