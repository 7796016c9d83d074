import { drawBeta } from '../src/data/beta.ts'
import { drawSeed } from '../src/data/drawSeed.ts'
import { RandomStream } from '../src/data/random.ts'
import { ConfigError, ShapeError } from '../src/engine/errors.ts'
import { full, noGrad, Tensor, tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BatchBeginContext, TrainBeginContext, TrainEndContext } from '../src/learner/events.ts'
import type { LossFunction } from '../src/learner/lossFunction.ts'
import { MixedLoss } from '../src/learner/MixedLoss.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'

export interface CutMixOptions {
  /** Of the beta distribution that the share of the picture that stays is drawn from. Default 1: each share is equally likely. */
  alpha?: number
}

/**
 * CutMix (Yun et al. 2019): a rectangle of each picture of a training batch `[N, C, H, W]` is replaced by that of another of it, the same
 * rectangle for the whole batch, and the losses of both targets are weighed by their areas. Validation sees pictures, targets
 * and loss as they are.
 */
export class CutMixCallback extends Callback {
  readonly alpha: number
  #loss: LossFunction | undefined
  #active = false
  #seed: number | undefined

  /** `new CutMixCallback(1)` is `new CutMixCallback({ alpha: 1 })`. */
  constructor(options: number | CutMixOptions = {}) {
    super()
    const given = typeof options === 'number' ? { alpha: options } : options
    rejectUnknownOptions('CutMixCallback', given, ['alpha'])
    const { alpha = 1 } = given
    if (!(typeof alpha === 'number' && alpha > 0 && Number.isFinite(alpha))) {
      throw new ConfigError(`CutMixCallback: alpha must be a finite number above 0, got ${String(alpha)}`)
    }
    this.alpha = alpha
  }

  /** @throws ConfigError if the loss cannot tell the loss of each sample */
  override onTrainBegin({ learner }: TrainBeginContext): void {
    const { lossFunction } = learner
    if (typeof lossFunction === 'function' || lossFunction.reduction === undefined) {
      throw new ConfigError(
        'CutMixCallback weighs the losses of single samples, which a plain function does not give: use a loss of nn',
      )
    }
    this.#active = true
    this.#seed = undefined
    this.#loss = lossFunction
    learner.lossFunction = new MixedLoss(lossFunction, 'CutMixCallback')
  }

  override stateDict(): CallbackState {
    return { seed: this.#seed }
  }

  override loadStateDict({ seed }: { seed?: number }): void {
    this.#seed = seed
  }

  override onBatchBegin({ train, lastInput, lastTarget, epoch, numBatch }: BatchBeginContext) {
    if (!train || !this.#active) return undefined
    if (!(lastInput instanceof Tensor && lastTarget instanceof Tensor) || lastInput.shape.length !== 4) {
      throw new ShapeError(
        'CutMixCallback takes pictures [N, C, H, W] and one target tensor; the input is ' +
          (lastInput instanceof Tensor ? `[${lastInput.shape.join(', ')}]` : 'a list of tensors'),
      )
    }
    // Not before a batch is there: the finder has taken its snapshot by then.
    this.#seed ??= drawSeed()
    const random = new RandomStream({ seed: this.#seed, purpose: 'batch', epoch, index: numBatch })
    const [samples, , height, width] = lastInput.shape as [number, number, number, number]
    const { device } = lastInput
    const order = BigInt64Array.from(random.permutation(samples), BigInt)
    const others = tensor(order, { shape: [samples], device })
    const cut = Math.sqrt(1 - drawBeta(random, this.alpha))
    const [top, bottom] = spanOf(random, height, cut)
    const [left, right] = spanOf(random, width, cut)
    const mixed = noGrad(() => {
      const pictures = lastInput.detach().clone()
      const window = (x: Tensor) => x.narrow(2, top, bottom - top).narrow(3, left, right - left)
      if (bottom > top && right > left) window(pictures).copy_(window(lastInput).indexSelect(0, others))
      return pictures
    })
    const kept = 1 - ((bottom - top) * (right - left)) / (height * width)
    const share = full([samples], kept, { device })
    return { lastInput: mixed, lastTarget: [lastTarget, lastTarget.indexSelect(0, others), share] }
  }

  override onTrainEnd({ learner }: TrainEndContext): void {
    if (this.#loss) learner.lossFunction = this.#loss
    this.#loss = undefined
    this.#active = false
  }
}

/** A stretch of `size · share` about a centre drawn evenly, cut off at the edges. */
function spanOf(random: RandomStream, size: number, share: number): [from: number, to: number] {
  const half = Math.trunc(size * share) / 2
  const centre = random.integer(size)
  return [Math.max(0, Math.floor(centre - half)), Math.min(size, Math.floor(centre + half))]
}
