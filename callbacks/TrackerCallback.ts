import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { EpochEndContext, TrainBeginContext } from '../src/learner/events.ts'
import {
  checkMonitor,
  lowerIsBetter,
  type Monitor,
  type MonitorMode,
  monitored,
} from '../src/learner/monitors.ts'
import { anyNumber, nullable } from '../src/learner/stateChecks.ts'

export interface TrackerOptions {
  /** The value to watch. Default 'validLoss'. */
  monitor?: Monitor
  /** Whether lower ('min') or higher ('max') is better. Default 'auto': lower for losses and errors, else higher. */
  mode?: MonitorMode
}

/** Base of callbacks that watch one value of the epochs and know the best so far. */
export abstract class TrackerCallback extends Callback {
  override readonly runsInLrFind: boolean = false
  readonly monitor: Monitor
  readonly lowerIsBetter: boolean
  /** Best value of this fit; null before the first. */
  best: number | null = null

  constructor({ monitor = 'validLoss', mode = 'auto' }: TrackerOptions = {}) {
    super()
    this.monitor = monitor
    this.lowerIsBetter = lowerIsBetter(this.constructor.name, monitor, mode)
  }

  override onTrainBegin(context: TrainBeginContext): void | Promise<void> {
    checkMonitor(this.constructor.name, this.monitor, context)
    this.best = null
  }

  override stateDict(): CallbackState {
    return { best: this.best }
  }

  override loadStateDict({ best }: { best: number | null }): void | Promise<void> {
    nullable(anyNumber)(best, `${this.constructor.name}.best`)
    this.best = best
  }

  /** This epoch's value; null if there was no validation, NaN if the model is beyond help. */
  protected current(context: EpochEndContext): number | null {
    return monitored(this.monitor, context.lastMetrics)
  }

  /** Whether `value` is better than the best so far by more than `minDelta`. NaN never is. */
  protected improves(value: number, minDelta = 0): boolean {
    if (Number.isNaN(value)) return false
    if (this.best === null) return true
    return this.lowerIsBetter ? value + minDelta < this.best : value - minDelta > this.best
  }
}

/** Checks the patience and least improvement that stoppers and plateau watchers share. */
export function checkPatience(owner: string, patience: number, minDelta: number): void {
  if (!Number.isInteger(patience) || patience < 0) {
    throw new ConfigError(`${owner}: patience must be a whole number of at least 0, got ${String(patience)}`)
  }
  if (!(minDelta >= 0))
    throw new ConfigError(`${owner}: minDelta must be at least 0, got ${String(minDelta)}`)
}
