import { ConfigError } from '../src/engine/errors.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { EpochEndContext, TrainBeginContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { count, fields, listOf } from '../src/learner/stateChecks.ts'
import { checkPatience, TrackerCallback, type TrackerOptions } from './TrackerCallback.ts'

export interface ReduceLROnPlateauOptions extends TrackerOptions {
  /** Epochs without improvement that are borne with; the next one reduces the rates. Default 0. */
  patience?: number
  /** Factor on the rates, above 0 and below 1. Default 0.2. */
  factor?: number
  /** What counts as improvement is more than this. Default 0. */
  minDelta?: number
  /** No rate is reduced below this: one number, or one for each layer group. Default 1e-3, as fastai's. */
  minLr?: number | readonly number[]
}

/**
 * Multiplies the rate of each layer group by `factor` once the monitored value has not improved for more than `patience` epochs, counted
 * as fastai v1 does; then counts anew. (fastai gave all groups the last one's rate, and could go below its floor.)
 */
export class ReduceLROnPlateauCallback extends TrackerCallback {
  readonly patience: number
  readonly factor: number
  readonly minDelta: number
  readonly minLr: number | readonly number[]
  /** Epochs since the last improvement or reduction. */
  wait = 0
  /** Epochs after which the rates were reduced. */
  reducedEpochs: number[] = []

  constructor(options: ReduceLROnPlateauOptions = {}) {
    rejectUnknownOptions('ReduceLROnPlateauCallback', options, [
      'monitor',
      'mode',
      'patience',
      'factor',
      'minDelta',
      'minLr',
    ])
    const { patience = 0, factor = 0.2, minDelta = 0, minLr = 1e-3, ...tracker } = options
    super(tracker)
    checkPatience('ReduceLROnPlateauCallback', patience, minDelta)
    if (!(typeof factor === 'number' && factor > 0 && factor < 1)) {
      throw new ConfigError(
        `ReduceLROnPlateauCallback: factor must be above 0 and below 1, got ${String(factor)}`,
      )
    }
    for (const floor of Array.isArray(minLr) ? minLr : [minLr]) {
      if (!(typeof floor === 'number' && floor >= 0 && Number.isFinite(floor))) {
        throw new ConfigError(`ReduceLROnPlateauCallback: minLr must be at least 0, got ${String(floor)}`)
      }
    }
    this.patience = patience
    this.factor = factor
    this.minDelta = minDelta
    this.minLr = minLr
  }

  override onTrainBegin(context: TrainBeginContext): void {
    super.onTrainBegin(context)
    const groups = context.learner.layerGroups.length
    if (typeof this.minLr !== 'number' && this.minLr.length !== groups) {
      throw new ConfigError(
        `ReduceLROnPlateauCallback: minLr has ${this.minLr.length} values for ${groups} layer group(s)`,
      )
    }
    this.wait = 0
    this.reducedEpochs = []
  }

  override steering(): CallbackState {
    const { monitor, lowerIsBetter, patience, minDelta } = this
    return { monitor, lowerIsBetter, patience, minDelta, factor: this.factor, minLr: this.minLr }
  }

  override stateDict(): CallbackState {
    return { ...super.stateDict(), wait: this.wait, reducedEpochs: [...this.reducedEpochs] }
  }

  override loadStateDict(state: { best: number | null; wait: number; reducedEpochs: number[] }): void {
    fields({ best: () => {}, wait: count(), reducedEpochs: listOf(count()) })(
      state,
      'ReduceLROnPlateauCallback',
    )
    super.loadStateDict(state)
    this.wait = state.wait
    this.reducedEpochs = [...state.reducedEpochs]
  }

  override onEpochEnd(context: EpochEndContext): void {
    const value = this.current(context)
    if (value === null) return
    if (this.improves(value, this.minDelta)) {
      this.best = value
      this.wait = 0
      return
    }
    this.wait++
    if (this.wait <= this.patience) return
    this.wait = 0
    const { optimizer } = context.learner
    const before = optimizer.lrs
    const reduced = before.map((lr, group) => {
      const floor = typeof this.minLr === 'number' ? this.minLr : this.minLr[group]!
      // A rate that is below the floor already stays there.
      return Math.min(lr, Math.max(lr * this.factor, floor))
    })
    if (reduced.every((lr, group) => lr === before[group])) return
    optimizer.lr = reduced
    this.reducedEpochs.push(context.epoch)
  }
}
