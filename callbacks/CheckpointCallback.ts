import { copyFile, link, rename, rm } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import { type CallbackState, requireSame } from '../src/learner/callbackState.ts'
import { CancelFit } from '../src/learner/cancel.ts'
import { checkpointFile } from '../src/learner/checkpoint.ts'
import type {
  BatchEndContext,
  EpochEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import { Interrupt, interruptedStatus } from '../src/learner/Interrupt.ts'
import type { Learner } from '../src/learner/Learner.ts'
import { checkSavedName, checkWritable } from '../src/learner/learnerFile.ts'
import {
  checkMonitor,
  lowerIsBetter,
  type Monitor,
  type MonitorMode,
  monitored,
} from '../src/learner/monitors.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { anyNumber, count, fields, listOf, mapOf, optional } from '../src/learner/stateChecks.ts'

export interface CheckpointOptions {
  /**
   * When to write: after so many training batches, at the end of each epoch, or only when Ctrl-C ends the run. The end of the fit is
   * written in the first two cases. Default 'epoch'.
   */
  every?: number | 'epoch' | 'interrupt'
  /** Name of the latest checkpoint below the Learner's folder for models. Default 'last'. */
  name?: string
  /** How many of the latest to keep: `last`, the one before it as `last-1`, and so on. Default 1. */
  keepLast?: number
  /** Also keep the epochs with the best of this value, as `last-epoch-3`; see `topK`. Default: none. */
  monitor?: Monitor
  /** Whether lower or higher values are better. Default 'auto': lower for losses and errors. */
  mode?: MonitorMode
  /** How many of the best epochs to keep. Default 1, if there is a monitor. */
  topK?: number
}

/** An epoch whose checkpoint is kept for its value. */
export interface BestCheckpoint {
  epoch: number
  value: number
  file: string
}

/**
 * Writes checkpoints from which `Learner.resume` goes on to the bit: weights, optimizer, schedule, callbacks, history, random streams
 * and place in the data. Each file appears whole or not at all.
 *
 * It also answers Ctrl-C: the batch is finished, a checkpoint and the history (`last-history.csv`) are written, and the process ends
 * with status 130. Every fit has one for that, unless it is given another.
 */
export class CheckpointCallback extends Callback {
  /** After all others, who have then done what they do at the end of a batch or epoch. */
  override order = Number.POSITIVE_INFINITY
  override readonly runsInLrFind = false
  readonly every: number | 'epoch' | 'interrupt'
  readonly name: string
  readonly keepLast: number
  readonly monitor: Monitor | undefined
  readonly topK: number
  readonly lowerIsBetter: boolean
  /** The best epochs, best first. */
  best: BestCheckpoint[] = []
  readonly #interrupt = new Interrupt()
  #learner: Learner | undefined
  /** What is said at the end, when Ctrl-C has ended the run. */
  #farewell: string | undefined
  #due = false

  constructor(options: CheckpointOptions = {}) {
    super()
    rejectUnknownOptions('CheckpointCallback', options, [
      'every',
      'name',
      'keepLast',
      'monitor',
      'mode',
      'topK',
    ])
    const { every = 'epoch', name = 'last', keepLast = 1, monitor, mode = 'auto', topK } = options
    if (every !== 'epoch' && every !== 'interrupt' && !(Number.isInteger(every) && every >= 1)) {
      throw new ConfigError(
        `CheckpointCallback: every must be a number of batches, 'epoch' or 'interrupt', got ${String(every)}`,
      )
    }
    checkCount('CheckpointCallback', 'keepLast', keepLast, 1)
    if (topK !== undefined) checkCount('CheckpointCallback', 'topK', topK, 1)
    checkSavedName('CheckpointCallback', name)
    if (monitor === undefined && topK !== undefined) {
      throw new ConfigError("CheckpointCallback: topK needs a monitor, as { monitor: 'validLoss', topK: 3 }")
    }
    this.every = every
    this.name = name
    this.keepLast = keepLast
    this.monitor = monitor
    this.topK = monitor === undefined ? 0 : (topK ?? 1)
    this.lowerIsBetter = monitor === undefined || lowerIsBetter('CheckpointCallback', monitor, mode)
  }

  override stateDict(): CallbackState {
    return { best: this.best.map(({ epoch, value }) => ({ epoch, value })), watched: this.#watched }
  }

  override loadStateDict({
    best,
    watched,
  }: {
    best: Omit<BestCheckpoint, 'file'>[]
    /** Of files written before there was this there is none. */
    watched?: CallbackState
  }): void {
    // Their files are removed once they are no longer among the best, which those by another value are not to be ranked with.
    listOf(fields({ epoch: count(), value: anyNumber }))(best, 'CheckpointCallback.best')
    optional(mapOf(() => {}))(watched, 'CheckpointCallback.watched')
    if (watched && best.length > 0 && this.monitor !== undefined)
      requireSame('CheckpointCallback', watched, this.#watched)
    // The folder may have been moved meanwhile.
    this.best = best.map(({ epoch, value }) => ({
      epoch,
      value,
      file: this.#ofEpoch(this.#learner!, epoch).file,
    }))
  }

  get #watched(): CallbackState {
    return { monitor: this.monitor, lowerIsBetter: this.lowerIsBetter }
  }

  /** A folder that cannot be written is found out now, not after an epoch. */
  override async onTrainBegin(context: TrainBeginContext): Promise<void> {
    if (this.monitor !== undefined) checkMonitor('CheckpointCallback', this.monitor, context)
    this.#learner = context.learner
    this.best = []
    this.#farewell = undefined
    this.#due = false
    if (this.every !== 'interrupt' || this.monitor !== undefined) {
      const { trainDl } = context.learner.data
      if (!trainDl.state || !trainDl.loadState) {
        throw new ConfigError(
          'CheckpointCallback needs training data that can tell where it stands: a loader with state() and loadState(), as DataLoader ' +
            'has them. SaveModelCallback saves the model without them',
        )
      }
      await checkWritable(dirname(checkpointFile(context.learner, this.name)))
    }
    this.#interrupt.listen()
  }

  override async onBatchEnd(context: BatchEndContext): Promise<void> {
    const { learner, train, iteration, stopEpoch, epochs } = context
    if (epochs === 0) return // Somebody validates or predicts in the middle of the fit.
    if (train && typeof this.every === 'number' && (iteration + 1) % this.every === 0) this.#due = true
    if (train && stopEpoch) return // The end of the epoch is near, and can wait.
    if (this.#interrupt.requested) await this.#leave(learner)
    if (train && this.#due) await this.#writeLast(learner)
  }

  override async onEpochEnd(context: EpochEndContext): Promise<void> {
    const { learner, epoch, epochs, stopTraining } = context
    const dropped = await this.#writeBest(context)
    const isEnd = epoch + 1 >= epochs || stopTraining
    if (this.every === 'epoch' || this.#due || (typeof this.every === 'number' && isEnd))
      await this.#writeLast(learner)
    // Only now: until then, the latest checkpoint named them.
    for (const { file } of dropped) await rm(file, { force: true })
    if (this.#interrupt.requested) await this.#leave(learner)
  }

  /** Everyone else has ended: files are closed, and the process can go. */
  override onTrainEnd(_context: TrainEndContext): void {
    this.#interrupt.close()
    this.#learner = undefined
    if (this.#farewell === undefined) return
    process.stderr.write(this.#farewell)
    process.exit(interruptedStatus)
  }

  async #writeLast(learner: Learner): Promise<void> {
    this.#due = false
    await this.#keepEarlier(learner)
    await learner.checkpoint(this.name)
  }

  /** `last` is copied to `last-1` before it is replaced, that one to `last-2`: there is a `last` at every moment. */
  async #keepEarlier(learner: Learner): Promise<void> {
    const fileOf = (age: number) =>
      checkpointFile(learner, age === 0 ? this.name : withSuffix(this.name, `-${age}`))
    for (let age = this.keepLast - 1; age >= 1; age--) {
      const temporary = `${fileOf(age)}.tmp`
      await rm(temporary, { force: true })
      const copied = await linkOrCopy(fileOf(age - 1), temporary)
      if (copied) await rename(temporary, fileOf(age))
    }
  }

  /** Writes this epoch's if it is among the best. @returns those that no longer are */
  async #writeBest({ learner, epoch, lastMetrics }: EpochEndContext): Promise<BestCheckpoint[]> {
    const value = this.monitor === undefined ? null : monitored(this.monitor, lastMetrics)
    if (value === null || Number.isNaN(value)) return []
    const { file, name } = this.#ofEpoch(learner, epoch)
    const sign = this.lowerIsBetter ? 1 : -1
    const ranked = [...this.best, { epoch, value, file }].sort(
      (a, b) => sign * (a.value - b.value) || a.epoch - b.epoch,
    )
    const kept = ranked.slice(0, this.topK)
    if (!kept.some((each) => each.epoch === epoch)) return []
    this.best = kept
    await learner.checkpoint(name)
    return ranked.slice(this.topK)
  }

  #ofEpoch(learner: Learner, epoch: number): { name: string; file: string } {
    const name = withSuffix(this.name, `-epoch-${epoch}`)
    return { name, file: checkpointFile(learner, name) }
  }

  async #leave(learner: Learner): Promise<never> {
    const shown = (file: string) =>
      relative('.', file).startsWith('..') ? resolve(file) : relative('.', file)
    const lines: string[] = []
    try {
      await this.#keepEarlier(learner)
      const file = shown(await learner.checkpoint(this.name))
      const history = checkpointFile(learner, this.name).replace(/\.safetensors$/, '-history.csv')
      await learner.recorder.saveHistory(history)
      lines.push(
        `Wrote ${file} and ${shown(history)}.`,
        'To go on from here, make the same fit call after:',
        `  await Learner.resume('${file}', learner)`,
      )
    } catch (error) {
      lines.push(`No checkpoint could be written: ${(error as Error).message}`)
      // Where only the place in the data is unknown, the model at least can be kept.
      if (!learner.data.trainDl.state) lines.push(`Wrote the model alone: ${await this.#saveModel(learner)}`)
    }
    this.#farewell = `${lines.join('\n')}\n`
    throw new CancelFit()
  }

  async #saveModel(learner: Learner): Promise<string> {
    return learner.save(withSuffix(this.name, '-model')).catch((error: Error) => error.message)
  }
}

function withSuffix(name: string, suffix: string): string {
  return name.endsWith('.safetensors')
    ? name.replace(/\.safetensors$/, `${suffix}.safetensors`)
    : name + suffix
}

/** @returns whether there was anything to copy */
async function linkOrCopy(from: string, to: string): Promise<boolean> {
  try {
    // Not every file system has hard links.
    await link(from, to).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw error
      return copyFile(from, to)
    })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
