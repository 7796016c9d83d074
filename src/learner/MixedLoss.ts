import { Tensor } from '../engine/index.ts'
import type { LossModule } from './lossFunction.ts'
import { activate, computeLoss, decode, type LossFunction, withoutReduction } from './lossFunction.ts'

/** Targets of mixed samples: those of the one, those of the other, and how much the one counts, `[N]`. */
export type MixedTarget = readonly [first: Tensor, second: Tensor, share: Tensor]

/**
 * A loss that weighs the losses of two targets of each sample: share · loss(first) + (1 - share) · loss(second). For targets that are
 * not mixed, as in validation, it is the loss inside. Activation and decoding are those of the loss inside.
 */
export class MixedLoss implements LossModule {
  readonly inner: LossFunction
  readonly #owner: string

  constructor(inner: LossFunction, owner: string) {
    this.inner = inner
    this.#owner = owner
  }

  get reduction(): string | undefined {
    return typeof this.inner === 'function' ? undefined : this.inner.reduction
  }
  set reduction(value: string) {
    if (typeof this.inner !== 'function') this.inner.reduction = value
  }

  forward(output: Tensor, target: Tensor | MixedTarget): Tensor {
    if (target instanceof Tensor) return computeLoss(this.inner, output, target)
    const [first, second, share] = target
    const reduction = this.reduction ?? 'mean'
    const [one, other] = withoutReduction(this.inner, () => [
      computeLoss(this.inner, output, first),
      computeLoss(this.inner, output, second),
    ]) as [Tensor, Tensor]
    const weight = share.reshape([-1, ...one.shape.slice(1).map(() => 1)])
    const losses = one.mul(weight).add(other.mul(weight.mul(-1).add(1)))
    if (reduction === 'none') return losses
    return reduction === 'sum' ? losses.sum() : losses.mean()
  }

  activation(output: Tensor): Tensor {
    return activate(this.inner, output)
  }

  decode(output: Tensor): Tensor {
    return decode(this.inner, output)
  }

  toString(): string {
    return `${this.#owner} of ${this.inner.constructor.name}`
  }
}
