import { ConfigError } from '../src/engine/errors.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { StepEndContext, TrainBeginContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { count } from '../src/learner/stateChecks.ts'
import { WeightAverageCallback, type WeightAverageOptions } from './WeightAverageCallback.ts'

export interface EMAOptions extends WeightAverageOptions {
  /** Share of the average that each step keeps. Default 0.999. */
  decay?: number
  /** Keep less at first: no more than (1 + steps) / (10 + steps), so that the beginning is soon forgotten. Default false. */
  warmUp?: boolean
  /** Statistics of batch norm are averaged too, or computed anew by a pass over the training data. Default 'average'. */
  batchNorm?: 'average' | 'recompute'
}

/**
 * Exponential moving average of the weights (Polyak & Juditsky 1992), after each step: average = decay · average + (1 - decay) ·
 * weights, from the weights at the beginning. See {@link WeightAverageCallback} for where the averages stand when.
 */
export class EMACallback extends WeightAverageCallback {
  readonly decay: number
  readonly warmUp: boolean
  protected override readonly recomputes: boolean
  #steps = 0

  constructor(options: EMAOptions = {}) {
    rejectUnknownOptions('EMACallback', options, ['decay', 'warmUp', 'batchNorm', 'validate'])
    const { decay = 0.999, warmUp = false, batchNorm = 'average', validate = true } = options
    super(validate)
    if (!(typeof decay === 'number' && decay >= 0 && decay < 1)) {
      throw new ConfigError(`EMACallback: decay must be at least 0 and below 1, got ${String(decay)}`)
    }
    if (batchNorm !== 'average' && batchNorm !== 'recompute') {
      throw new ConfigError(
        `EMACallback: batchNorm must be 'average' or 'recompute', got ${String(batchNorm)}`,
      )
    }
    this.decay = decay
    this.warmUp = warmUp
    this.recomputes = batchNorm === 'recompute'
  }

  override onTrainBegin(context: TrainBeginContext): void {
    super.onTrainBegin(context)
    this.#steps = 0
    this.average(1)
  }

  override steering(): CallbackState {
    return { ...super.steering(), decay: this.decay, warmUp: this.warmUp }
  }

  override stateDict(): CallbackState {
    return { ...super.stateDict(), steps: this.#steps }
  }

  override loadStateDict(state: Parameters<WeightAverageCallback['loadStateDict']>[0] & { steps: number }) {
    count()(state.steps, 'EMACallback.steps')
    super.loadStateDict(state)
    this.#steps = state.steps
  }

  override onStepEnd({ skipStep }: StepEndContext): void {
    if (skipStep) return
    this.#steps++
    const decay = this.warmUp ? Math.min(this.decay, (1 + this.#steps) / (10 + this.#steps)) : this.decay
    this.average(1 - decay)
  }
}
