import { access } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CheckpointError, ConfigError } from '../src/engine/errors.ts'
import { type CallbackState, requireSame } from '../src/learner/callbackState.ts'
import { checkpointFile } from '../src/learner/checkpoint.ts'
import type { EpochEndContext, TrainBeginContext, TrainEndContext } from '../src/learner/events.ts'
import { checkSavedName, checkWritable } from '../src/learner/learnerFile.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { count, listOf, mapOf, optional } from '../src/learner/stateChecks.ts'
import { TrackerCallback, type TrackerOptions } from './TrackerCallback.ts'

export interface SaveModelOptions extends TrackerOptions {
  /** Name below the Learner's folder for models. Default 'bestmodel'. */
  name?: string
  /** 'improvement' overwrites one file and loads it at the end; 'epoch' writes `name_0`, `name_1` … Default 'improvement'. */
  every?: 'improvement' | 'epoch'
  /** Also save what the optimizer remembers. Default false: the file holds the model's weights alone. */
  withOptimizer?: boolean
  /**
   * Value to beat from the start, such as another instance's `best` after an earlier fit: unless it is beaten, nothing is saved and
   * nothing loaded. Default null: the first epoch's model is saved.
   */
  best?: number | null
}

/**
 * Saves the model whenever the monitored value improves, and loads the best at the end of the fit. It loads only what it has
 * saved in this fit: a file from before is never taken for the best.
 */
export class SaveModelCallback extends TrackerCallback {
  readonly name: string
  readonly every: 'improvement' | 'epoch'
  readonly withOptimizer: boolean
  /** Epochs of this fit at whose end a file was written. */
  savedEpochs: number[] = []
  readonly #toBeat: number | null
  #file = ''

  constructor(options: SaveModelOptions = {}) {
    rejectUnknownOptions('SaveModelCallback', options, [
      'monitor',
      'mode',
      'name',
      'every',
      'withOptimizer',
      'best',
    ])
    const {
      name = 'bestmodel',
      every = 'improvement',
      withOptimizer = false,
      best = null,
      ...tracker
    } = options
    super(tracker)
    if (every !== 'improvement' && every !== 'epoch') {
      throw new ConfigError(`SaveModelCallback: every must be 'improvement' or 'epoch', got ${String(every)}`)
    }
    if (best !== null && (every === 'epoch' || !Number.isFinite(best))) {
      throw new ConfigError(
        `SaveModelCallback: best must be a finite number, and goes with every: 'improvement'; got ${String(best)} and '${every}'`,
      )
    }
    checkSavedName('SaveModelCallback', name)
    this.name = name
    this.every = every
    this.withOptimizer = withOptimizer
    this.#toBeat = best
  }

  override async onTrainBegin(context: TrainBeginContext): Promise<void> {
    if (this.every === 'improvement') super.onTrainBegin(context)
    this.#file = checkpointFile(context.learner, this.name)
    await checkWritable(dirname(this.#file))
    this.best = this.#toBeat
    this.savedEpochs = []
  }

  override stateDict(): CallbackState {
    return { ...super.stateDict(), savedEpochs: this.savedEpochs, watched: this.#watched }
  }

  /** @throws CheckpointError if the best model, which the end of the fit loads, is not there: now, not after hours */
  override async loadStateDict({
    best,
    savedEpochs,
    watched,
  }: {
    best: number | null
    savedEpochs: number[]
    /** Of files written before there was this there is none. */
    watched?: CallbackState
  }): Promise<void> {
    listOf(count())(savedEpochs, 'SaveModelCallback.savedEpochs')
    optional(mapOf(() => {}))(watched, 'SaveModelCallback.watched')
    // The best of one value is no bar for another.
    if (watched && best !== null) requireSame('SaveModelCallback', watched, this.#watched)
    if (this.every === 'improvement' && savedEpochs.length > 0) {
      await access(this.#file).catch((cause: Error) => {
        throw new CheckpointError(
          `SaveModelCallback saved its best model, of epoch ${savedEpochs.at(-1)}, before the interruption, but ${this.#file} is ` +
            'not there. Bring it from where the fit was interrupted',
          { cause },
        )
      })
    }
    super.loadStateDict({ best })
    this.savedEpochs = [...savedEpochs]
  }

  get #watched(): CallbackState {
    return { monitor: this.monitor, lowerIsBetter: this.lowerIsBetter }
  }

  override async onEpochEnd(context: EpochEndContext): Promise<void> {
    if (this.every === 'epoch') return this.#save(context, `${this.name}_${context.epoch}`)
    const value = this.current(context)
    if (value === null || !this.improves(value)) return
    await this.#save(context, this.name)
    this.best = value
  }

  override async onTrainEnd({ learner }: TrainEndContext): Promise<void> {
    if (this.every === 'improvement' && this.savedEpochs.length > 0) {
      await learner.load(this.name, { withOptimizer: this.withOptimizer })
    }
  }

  async #save({ learner, epoch }: EpochEndContext, name: string): Promise<void> {
    await learner.save(name, { withOptimizer: this.withOptimizer })
    this.savedEpochs.push(epoch)
  }
}
