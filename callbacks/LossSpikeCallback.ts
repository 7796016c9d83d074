import { AnnealError, ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import { CancelBatch } from '../src/learner/cancel.ts'
import type { BackwardBeginContext, TrainBeginContext } from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { SmoothedValue } from '../src/learner/SmoothedValue.ts'
import { anyNumber, count, fields, listOf, smoothing } from '../src/learner/stateChecks.ts'

export interface LossSpikeOptions {
  /** A loss of so many times the average before it is a spike. Default 3. */
  factor?: number
  /** Batches at first that only make the average. Default 20. */
  warmUp?: number
  /** Leave the batch out (`skip`), say so and go on (`warn`), or end the fit with an error (`throw`). Default 'skip'. */
  action?: 'skip' | 'warn' | 'throw'
  /** So many spikes in a row are no spikes any more but divergence: an error. Default 10. */
  limit?: number
}

/** A batch whose loss stood out. */
export interface LossSpike {
  readonly epoch: number
  readonly iteration: number
  readonly loss: number
  /** Smoothed loss of the batches before. */
  readonly average: number
}

/**
 * Keeps single batches with outlandish losses (broken items, as a rule) from spoiling the weights. A loss that is not finite is a spike
 * too. It reads each loss before the backward pass, which the engine otherwise need not wait for.
 */
export class LossSpikeCallback extends Callback {
  /** Before gradient accumulation, which scales the loss. */
  override order = -4
  override readonly runsInLrFind = false
  readonly factor: number
  readonly warmUp: number
  readonly action: 'skip' | 'warn' | 'throw'
  readonly limit: number
  /** Those of the latest fit. */
  spikes: LossSpike[] = []
  #average = new SmoothedValue()
  #inARow = 0

  constructor(options: LossSpikeOptions = {}) {
    super()
    rejectUnknownOptions('LossSpikeCallback', options, ['factor', 'warmUp', 'action', 'limit'])
    const { factor = 3, warmUp = 20, action = 'skip', limit = 10 } = options
    if (!(typeof factor === 'number' && factor > 1)) {
      throw new ConfigError(`LossSpikeCallback: factor must be above 1, got ${String(factor)}`)
    }
    checkCount('LossSpikeCallback', 'warmUp', warmUp, 1)
    checkCount('LossSpikeCallback', 'limit', limit, 1)
    if (!['skip', 'warn', 'throw'].includes(action)) {
      throw new ConfigError(
        `LossSpikeCallback: action must be 'skip', 'warn' or 'throw', got ${String(action)}`,
      )
    }
    this.factor = factor
    this.warmUp = warmUp
    this.action = action
    this.limit = limit
  }

  override steering(): CallbackState {
    const { factor, warmUp, action, limit } = this
    return { factor, warmUp, action, limit }
  }

  override onTrainBegin(_context: TrainBeginContext): void {
    this.spikes = []
    this.#average = new SmoothedValue()
    this.#inARow = 0
  }

  override stateDict(): CallbackState {
    return {
      spikes: this.spikes.map((spike) => ({ ...spike })),
      average: this.#average.state,
      inARow: this.#inARow,
    }
  }

  override loadStateDict(state: {
    spikes: LossSpike[]
    average: SmoothedValue['state']
    inARow: number
  }): void {
    const spike = { epoch: count(), iteration: count(), loss: anyNumber, average: anyNumber }
    const known = { spikes: listOf(fields(spike)), average: smoothing(), inARow: count(this.limit) }
    fields(known)(state, 'LossSpikeCallback')
    this.spikes = [...state.spikes]
    this.#average.state = state.average
    this.#inARow = state.inARow
  }

  override async onBackwardBegin({ lastLoss, epoch, iteration }: BackwardBeginContext): Promise<void> {
    const loss = Number((await lastLoss.data())[0])
    const average = this.#average.value
    // Said so that it also holds for losses below zero.
    const isSpike = !(loss <= average + (this.factor - 1) * Math.abs(average))
    if (this.#average.state.count < this.warmUp || !isSpike) {
      if (Number.isFinite(loss)) this.#average.add(loss)
      this.#inARow = 0
      return
    }
    this.spikes.push({ epoch, iteration, loss, average })
    const what = `the loss of batch ${iteration} is ${loss.toPrecision(4)}, above ${this.factor} times the average of before, ${average.toPrecision(4)}`
    if (this.action === 'throw')
      throw new AnnealError(`LossSpikeCallback: ${what}. Look at the batch's items`)
    if (++this.#inARow >= this.limit) {
      throw new AnnealError(
        `LossSpikeCallback: ${what}, as in ${this.limit} batches in a row: this is no spike, training diverges. Lower the learning rate`,
      )
    }
    process.emitWarning(`${what}${this.action === 'skip' ? '; left out' : ''}`)
    if (this.action === 'skip') throw new CancelBatch()
  }
}
