import type { CallbackState } from '../src/learner/callbackState.ts'
import type { EpochEndContext, TrainBeginContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { count, fields, nullable } from '../src/learner/stateChecks.ts'
import { checkPatience, TrackerCallback, type TrackerOptions } from './TrackerCallback.ts'

export interface EarlyStoppingOptions extends TrackerOptions {
  /** Epochs without improvement that are borne with; the next one ends the fit. Default 0: the first ends it. */
  patience?: number
  /** What counts as improvement is more than this. Default 0. */
  minDelta?: number
}

/** Ends the fit once the monitored value has not improved for more than `patience` epochs, as fastai v1 counts. */
export class EarlyStoppingCallback extends TrackerCallback {
  readonly patience: number
  readonly minDelta: number
  /** Epochs since the last improvement. */
  wait = 0
  /** Epoch after which it ended the fit; null if it did not. */
  stoppedEpoch: number | null = null

  constructor(options: EarlyStoppingOptions = {}) {
    rejectUnknownOptions('EarlyStoppingCallback', options, ['monitor', 'mode', 'patience', 'minDelta'])
    const { patience = 0, minDelta = 0, ...tracker } = options
    super(tracker)
    checkPatience('EarlyStoppingCallback', patience, minDelta)
    this.patience = patience
    this.minDelta = minDelta
  }

  override onTrainBegin(context: TrainBeginContext): void {
    super.onTrainBegin(context)
    this.wait = 0
    this.stoppedEpoch = null
  }

  override steering(): CallbackState {
    const { monitor, lowerIsBetter, patience, minDelta } = this
    return { monitor, lowerIsBetter, patience, minDelta }
  }

  override stateDict(): CallbackState {
    return { ...super.stateDict(), wait: this.wait, stoppedEpoch: this.stoppedEpoch }
  }

  override loadStateDict(state: { best: number | null; wait: number; stoppedEpoch: number | null }): void {
    fields({ best: () => {}, wait: count(), stoppedEpoch: nullable(count()) })(state, 'EarlyStoppingCallback')
    super.loadStateDict(state)
    this.wait = state.wait
    this.stoppedEpoch = state.stoppedEpoch
  }

  override onEpochEnd(context: EpochEndContext) {
    const value = this.current(context)
    if (value === null) return undefined
    if (this.improves(value, this.minDelta)) {
      this.best = value
      this.wait = 0
      return undefined
    }
    this.wait++
    if (this.wait <= this.patience) return undefined
    this.stoppedEpoch = context.epoch
    return { stopTraining: true }
  }
}
