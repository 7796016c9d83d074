import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BatchEndContext, TrainBeginContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { trainerOf } from './GANTrainer.ts'

export interface AdaptiveGANSwitcherOptions {
  /** The generator's turn ends when its loss falls below this. Default: after every batch. */
  genThresh?: number | null | undefined
  /** The critic's turn ends when its loss falls below this. Default: after every batch. */
  criticThresh?: number | null | undefined
}

/**
 * Changes turns when the loss of the network whose turn it is falls below a threshold; without one, after every training batch.
 *
 * Source: fastai's AdaptiveGANSwitcher; but validation does not count.
 */
export class AdaptiveGANSwitcher extends Callback {
  readonly genThresh: number | null
  readonly criticThresh: number | null

  constructor(options: AdaptiveGANSwitcherOptions = {}) {
    super()
    rejectUnknownOptions('AdaptiveGANSwitcher', options, ['genThresh', 'criticThresh'])
    this.genThresh = options.genThresh ?? null
    this.criticThresh = options.criticThresh ?? null
    for (const [name, threshold] of Object.entries({
      genThresh: this.genThresh,
      criticThresh: this.criticThresh,
    })) {
      if (threshold !== null && !Number.isFinite(threshold)) {
        throw new ConfigError(`AdaptiveGANSwitcher: ${name} must be a number, got ${String(threshold)}`)
      }
    }
  }

  override steering(): CallbackState {
    return { genThresh: this.genThresh, criticThresh: this.criticThresh }
  }

  override onTrainBegin({ learner }: TrainBeginContext): void {
    trainerOf(learner, 'AdaptiveGANSwitcher')
  }

  override onBatchEnd({ train, cancelled, learner, lossValue }: BatchEndContext): void {
    if (!train || cancelled) return
    const trainer = trainerOf(learner, 'AdaptiveGANSwitcher')
    const threshold = trainer.genMode ? this.genThresh : this.criticThresh
    if (threshold === null || lossValue < threshold) trainer.switch()
  }
}
