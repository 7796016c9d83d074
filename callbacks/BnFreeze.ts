import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { EpochBeginContext } from '../src/learner/events.ts'
import { isBatchNorm } from '../src/learner/layerGroups.ts'

/**
 * Keeps the running statistics of frozen batch norm: layers whose weight and bias do not train stay in evaluation mode. (The
 * Learner's `trainBn: false` freezes weights and biases; without this callback their statistics go on moving.)
 */
export class BnFreeze extends Callback {
  override steering(): CallbackState {
    return {} // there or not, that is all
  }

  override onEpochBegin({ learner }: EpochBeginContext): void {
    for (const module of learner.model.modules()) {
      if (!isBatchNorm(module)) continue
      const parameters = module.parameters()
      if (parameters.length > 0 && parameters.every(({ requiresGrad }) => !requiresGrad)) module.eval()
    }
  }
}
