import { ConfigError } from '../engine/errors.ts'
import { Callback } from './Callback.ts'
import type { CallbackState } from './callbackState.ts'
import type { BatchEndContext, EventContexts } from './events.ts'
import { checkCount } from './options.ts'
import { type Snapshot, type SweepContext, takeSnapshot } from './snapshot.ts'
import { between } from './stateChecks.ts'

/** How long a fit may go on. */
export interface Limits {
  /** Training batches of an epoch. Schedules are laid out for these. Default: all. */
  maxBatches?: number
  /** Batches of a validation. Default: all. */
  maxValidBatches?: number
  /** The fit ends after the epoch in which so many seconds have passed, and leaves that epoch's training at once. Default: no limit. */
  maxSeconds?: number
}

/** Names of {@link Limits}, to find unknown options at run time. */
export const limitNames = [
  'maxBatches',
  'maxValidBatches',
  'maxSeconds',
] as const satisfies readonly (keyof Limits)[]

/** Keeps a fit within {@link Limits}. */
export class FitLimits extends Callback {
  readonly limits: Limits
  #began = 0

  constructor(limits: Limits) {
    super()
    const { maxBatches, maxValidBatches, maxSeconds } = limits
    if (maxBatches !== undefined) checkCount('fit', 'maxBatches', maxBatches, 1)
    if (maxValidBatches !== undefined) checkCount('fit', 'maxValidBatches', maxValidBatches, 1)
    if (maxSeconds !== undefined && !(maxSeconds > 0)) {
      throw new ConfigError(`fit: maxSeconds must be above 0, got ${String(maxSeconds)}`)
    }
    this.limits = limits
  }

  override stateDict(): CallbackState {
    return { seconds: this.#seconds }
  }

  override loadStateDict({ seconds }: { seconds: number }): void {
    between(0, Number.MAX_VALUE)(seconds, 'FitLimits.seconds')
    this.#began = performance.now() - 1000 * seconds
  }

  override onTrainBegin(_: EventContexts['onTrainBegin']): void {
    this.#began = performance.now()
  }

  override onBatchEnd({ train, numBatch }: BatchEndContext) {
    const { maxBatches = Infinity, maxValidBatches = Infinity, maxSeconds = Infinity } = this.limits
    if (train && this.#seconds >= maxSeconds) return { stopEpoch: true, stopTraining: true }
    return numBatch + 1 >= (train ? maxBatches : maxValidBatches) ? { stopEpoch: true } : undefined
  }

  get #seconds(): number {
    return (performance.now() - this.#began) / 1000
  }
}

/**
 * Makes a fit one that leaves no trace: weights, optimizer, data order, random streams and what callbacks remember are put back at
 * its end.
 */
export class Rehearsal extends Callback {
  override order = Number.NEGATIVE_INFINITY
  readonly #changes: { skipValidate?: boolean }
  #snapshot: Snapshot | undefined

  constructor(changes: { skipValidate?: boolean } = {}) {
    super()
    this.#changes = changes
  }

  override async onTrainBegin({ learner }: EventContexts['onTrainBegin']) {
    this.#snapshot = await takeSnapshot(learner)
    return this.#changes
  }

  override onEpochBegin({ callbacks }: SweepContext): void {
    this.#snapshot?.takeStates(callbacks)
  }

  override async onTrainEnd(_: EventContexts['onTrainEnd']): Promise<void> {
    await this.#snapshot?.restore()
    this.#snapshot = undefined
  }
}
