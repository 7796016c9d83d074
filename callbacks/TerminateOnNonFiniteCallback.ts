import { AnnealError, ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { BatchEndContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'

export interface TerminateOnNonFiniteOptions {
  /** 'throw' ends the fit with an error; 'stop' ends it quietly, without validation. Default 'throw'. */
  action?: 'throw' | 'stop'
}

/** A training loss became NaN or infinite. `epoch`, `batch` and `lr` say where. */
export class DivergenceError extends AnnealError {
  readonly epoch: number
  readonly batch: number
  readonly lr: number
  readonly loss: number

  constructor({ epoch, numBatch, lossValue, learner }: BatchEndContext) {
    const { lr } = learner.optimizer
    super(
      `the training loss became ${lossValue} in epoch ${epoch}, batch ${numBatch}, at learning rate ${lr.toPrecision(3)}. ` +
        'Lower the learning rate (lrFind suggests one) or clip gradients, and see that inputs and targets are finite; ' +
        'the weights are spoilt: load a saved model or build a new one',
      'DIVERGENCE',
    )
    this.epoch = epoch
    this.batch = numBatch
    this.lr = lr
    this.loss = lossValue
  }
}

/**
 * Ends a fit whose training loss is not finite. Every fit has one that throws a {@link DivergenceError}, unless it is given
 * another.
 */
export class TerminateOnNonFiniteCallback extends Callback {
  override order = -5
  override readonly runsInLrFind = false
  readonly action: 'throw' | 'stop'

  constructor(options: TerminateOnNonFiniteOptions = {}) {
    super()
    rejectUnknownOptions('TerminateOnNonFiniteCallback', options, ['action'])
    const { action = 'throw' } = options
    if (action !== 'throw' && action !== 'stop') {
      throw new ConfigError(
        `TerminateOnNonFiniteCallback: action must be 'throw' or 'stop', got ${String(action)}`,
      )
    }
    this.action = action
  }

  override onBatchEnd(context: BatchEndContext) {
    if (!context.train || context.cancelled || Number.isFinite(context.lossValue)) return undefined
    if (this.action === 'throw') throw new DivergenceError(context)
    return { stopEpoch: true, stopTraining: true, skipValidate: true }
  }
}
