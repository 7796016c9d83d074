import { drawBeta } from '../src/data/beta.ts'
import type { RandomStream } from '../src/data/random.ts'
import { ShapeError } from '../src/engine/errors.ts'
import { full, noGrad, Tensor, tensor } from '../src/engine/index.ts'
import type { Input, Target } from '../src/learner/data.ts'
import type { BatchBeginContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { MixingCallback } from './MixingCallback.ts'

export interface CutMixOptions {
  /** Of the beta distribution that the share of the picture that stays is drawn from. Default 1: each share is equally likely. */
  alpha?: number
}

/**
 * CutMix (Yun et al. 2019): a rectangle of each picture of a training batch `[N, C, H, W]` is replaced by that of another of it, the same
 * rectangle for the whole batch, and the losses of both targets are weighed by their areas. Validation sees pictures, targets
 * and loss as they are.
 */
export class CutMixCallback extends MixingCallback {
  /** `new CutMixCallback(1)` is `new CutMixCallback({ alpha: 1 })`. */
  constructor(options: number | CutMixOptions = {}) {
    const given = typeof options === 'number' ? { alpha: options } : options
    rejectUnknownOptions('CutMixCallback', given, ['alpha'])
    super(given.alpha ?? 1)
  }

  /** @throws ShapeError for what is no batch of pictures with one target tensor */
  protected override mix({ lastInput, lastTarget }: BatchBeginContext, random: RandomStream) {
    if (!(lastInput instanceof Tensor && lastTarget instanceof Tensor) || lastInput.shape.length !== 4) {
      throw new ShapeError(
        'CutMixCallback takes pictures [N, C, H, W] and one target tensor; ' +
          `the input is ${describe(lastInput)}, the target ${describe(lastTarget)}`,
      )
    }
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
}

function describe(value: Input | Target): string {
  return value instanceof Tensor ? `[${value.shape.join(', ')}]` : 'a list of tensors'
}

/** A stretch of `size · share` about a centre drawn evenly, cut off at the edges. */
function spanOf(random: RandomStream, size: number, share: number): [from: number, to: number] {
  const half = Math.trunc(size * share) / 2
  const centre = random.integer(size)
  return [Math.max(0, Math.floor(centre - half)), Math.min(size, Math.floor(centre + half))]
}
