import { drawBeta } from '../src/data/beta.ts'
import type { RandomStream } from '../src/data/random.ts'
import { ConfigError, DTypeError } from '../src/engine/errors.ts'
import { isFloatingPoint, type Tensor, tensor } from '../src/engine/index.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import { type Input, tensorsOf } from '../src/learner/data.ts'
import type { BatchBeginContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { MixingCallback } from './MixingCallback.ts'

export interface MixUpOptions {
  /** Of the beta distribution that shares are drawn from: the larger, the more is mixed. Default 0.4. */
  alpha?: number
  /**
   * Give the model both samples and the share, as three arguments, and let it mix them itself: inside, for example. Default
   * false.
   */
  stackX?: boolean
  /** Mix the losses of both targets; otherwise the targets themselves, which must be floating then. Default true. */
  stackY?: boolean
}

/**
 * Mixup (Zhang et al., "mixup: Beyond empirical risk minimization", 2018) as in fastai: each sample of a training batch is mixed with
 * another of it, share · x + (1 - share) · x', the share drawn for each sample from Beta(alpha, alpha) and at least a half. Validation
 * sees samples, targets and loss as they are.
 */
export class MixUpCallback extends MixingCallback {
  readonly stackX: boolean
  readonly stackY: boolean

  /** `new MixUpCallback(0.4)` is `new MixUpCallback({ alpha: 0.4 })`. */
  constructor(options: number | MixUpOptions = {}) {
    const given = typeof options === 'number' ? { alpha: options } : options
    rejectUnknownOptions('MixUpCallback', given, ['alpha', 'stackX', 'stackY'])
    const { alpha = 0.4, stackX = false, stackY = true } = given
    super(alpha)
    this.stackX = stackX
    this.stackY = stackY
  }

  protected override get weighsLosses(): boolean {
    return this.stackY
  }

  override steering(): CallbackState {
    return { ...super.steering(), stackX: this.stackX, stackY: this.stackY }
  }

  protected override mix({ lastInput, lastTarget }: BatchBeginContext, random: RandomStream) {
    const [x] = tensorsOf(lastInput)
    const y = singleTensor('target', lastTarget)
    const { device, shape } = x!
    const shares = Float32Array.from({ length: shape[0]! }, () => {
      const share = drawBeta(random, this.alpha)
      return Math.max(share, 1 - share)
    })
    const order = BigInt64Array.from(random.permutation(shape[0]!), BigInt)
    const share = tensor(shares, { shape: [shares.length], device })
    const others = tensor(order, { shape: [order.length], device })
    return {
      lastInput: this.#mixInput(lastInput, others, share),
      lastTarget: this.stackY
        ? [y, y.indexSelect(0, others), share]
        : blend(y, y.indexSelect(0, others), share, 'target'),
    }
  }

  #mixInput(input: Input, others: Tensor, share: Tensor): Input {
    if (this.stackX) {
      const x = singleTensor('input, with stackX,', input)
      return [x, x.indexSelect(0, others), share]
    }
    const mixed = tensorsOf(input).map((x) => blend(x, x.indexSelect(0, others), share, 'input'))
    return mixed.length === 1 ? mixed[0]! : mixed
  }
}

function blend(x: Tensor, other: Tensor, share: Tensor, what: string): Tensor {
  if (!isFloatingPoint(x.dtype)) {
    throw new DTypeError(`MixUpCallback: the ${what} must be floating to be mixed, but is ${x.dtype}`)
  }
  const weight = share.to(x.dtype).reshape([-1, ...x.shape.slice(1).map(() => 1)])
  return x.mul(weight).add(other.mul(weight.mul(-1).add(1)))
}

function singleTensor(what: string, value: Input): Tensor {
  const [first, ...more] = tensorsOf(value)
  if (more.length === 0) return first!
  throw new ConfigError(`MixUpCallback: the ${what} must be one tensor, here are ${more.length + 1}`)
}
