import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BatchEndContext } from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'

export interface StopAfterNBatchesOptions {
  /** Training batches of the whole fit. Default 2. */
  batches?: number
}

/** Ends the fit after a number of training batches, without validation: to try whether everything runs. */
export class StopAfterNBatches extends Callback {
  override readonly runsInLrFind = false
  readonly batches: number

  /** `new StopAfterNBatches(10)` is `new StopAfterNBatches({ batches: 10 })`. */
  constructor(options: number | StopAfterNBatchesOptions = {}) {
    super()
    const given = typeof options === 'number' ? { batches: options } : options
    rejectUnknownOptions('StopAfterNBatches', given, ['batches'])
    this.batches = given.batches ?? 2
    checkCount('StopAfterNBatches', 'batches', this.batches, 1)
  }

  override steering(): CallbackState {
    return { batches: this.batches }
  }

  override onBatchEnd({ train, iteration }: BatchEndContext) {
    // The running batch is not counted yet.
    if (!train || iteration + 1 < this.batches) return undefined
    return { stopEpoch: true, stopTraining: true, skipValidate: true }
  }
}
