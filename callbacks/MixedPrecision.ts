import { ConfigError } from '../src/engine/errors.ts'
import type { Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import { eachOf, tensorsOf } from '../src/learner/data.ts'
import type { BatchBeginContext, LossBeginContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'

export interface MixedPrecisionOptions {
  /**
   * What convolutions and products compute in. Default 'bfloat16', which has float32's range; with 'float16' {@link LossScaling}
   * belongs beside it.
   */
  dtype?: 'bfloat16' | 'float16'
}

/**
 * Forward passes in half precision over float32 weights, as `autocast` (Micikevicius et al. 2018): convolutions, linear layers and
 * matrix products compute in it; normalisations keep statistics, and losses, gradients and the optimizer all they have, in float32.
 * Where it is among a Learner's callbacks (`learner.toBf16()`, `toFp16()`), `validate` and `getPredictions` compute so too; `predict` does not.
 */
export class MixedPrecision extends Callback {
  /** Its float32 outputs come after all else, as fastai's. */
  override order = 999
  readonly dtype: 'bfloat16' | 'float16'

  constructor(options: MixedPrecisionOptions = {}) {
    super()
    rejectUnknownOptions('MixedPrecision', options, ['dtype'])
    const { dtype = 'bfloat16' } = options
    if (dtype !== 'bfloat16' && dtype !== 'float16') {
      throw new ConfigError(`MixedPrecision: dtype must be 'bfloat16' or 'float16', got ${String(dtype)}`)
    }
    this.dtype = dtype
  }

  override steering(): CallbackState {
    return { dtype: this.dtype }
  }

  override onBatchBegin(_context: BatchBeginContext) {
    return { autocast: this.dtype }
  }

  /** The loss, metrics and predictions take float32. */
  override onLossBegin({ lastOutput }: LossBeginContext) {
    const isLow = ({ dtype }: Tensor) => dtype === 'bfloat16' || dtype === 'float16'
    if (!tensorsOf(lastOutput).some(isLow)) return undefined
    return { lastOutput: eachOf(lastOutput, (tensor) => (isLow(tensor) ? tensor.to('float32') : tensor)) }
  }
}
