import { ConfigError } from '../engine/errors.ts'
import { noGrad, Tensor } from '../engine/index.ts'
import * as nn from '../nn/index.ts'
import { batchSizeOf, type Output, type Target } from './data.ts'
import type { LossModule } from './lossFunction.ts'
import { activate, computeLoss, decode, type LossFunction, withoutReduction } from './lossFunction.ts'
import { targetWeights } from './targetWeights.ts'

/** Targets of mixed samples: those of the one, those of the other, and how much the one counts, `[N]`. */
export type MixedTarget = readonly [first: Tensor, second: Tensor, share: Tensor]

const reductions: readonly unknown[] = ['none', 'mean', 'batchmean', 'sum']

/**
 * A loss that weighs the losses of two targets of each sample: share · loss(first) + (1 - share) · loss(second), reduced as the loss
 * inside does it. What it would give for a batch with each sample so many times with the one target and so many times with the other is
 * what it gives: weights of classes weigh the mean, and an RMSELoss takes the root of the mixed mean of squares. A loss of one's own must
 * be the mean or sum that its reduction says of what it gives with 'none'.
 *
 * For targets that are not mixed, as in validation, it is the loss inside. Activation and decoding are those of the loss inside.
 */
export class MixedLoss implements LossModule {
  readonly inner: LossFunction
  readonly #owner: string

  /** @throws ConfigError for a reduction that nobody here knows */
  constructor(inner: LossFunction, owner: string) {
    this.inner = inner
    this.#owner = owner
    this.#check()
  }

  get reduction(): string | undefined {
    return typeof this.inner === 'function' ? undefined : this.inner.reduction
  }
  set reduction(value: string) {
    if (typeof this.inner !== 'function') this.inner.reduction = value
  }

  forward(output: Output, target: Target | MixedTarget): Tensor {
    if (!isMixed(target)) return computeLoss(this.inner, output, target)
    const [first, second, share] = target
    const reduction = this.reduction ?? 'mean'
    const [one, other] = withoutReduction(this.inner, () => [
      computeLoss(this.inner, output, first),
      computeLoss(this.inner, output, second),
    ]) as [Tensor, Tensor]
    this.#check()
    const isRoot = this.inner instanceof nn.RMSELoss && reduction !== 'none'
    const squared = (losses: Tensor) => (isRoot ? losses.square() : losses)
    const mixed = mix(squared(one), squared(other), share)
    if (reduction === 'none') return mixed
    if (reduction === 'batchmean') return mixed.sum().div(batchSizeOf(output) || 1)
    if (reduction === 'sum') return isRoot ? mixed.sum().sqrt() : mixed.sum()
    if (isRoot) return mixed.mean().sqrt()
    const weight = this.meanWeight(output, target)
    return weight ? mixed.sum().div(weight) : mixed.mean()
  }

  /** What a mean is divided by, where that is not the number of samples or elements. */
  meanWeight(output: Output, [first, second, share]: MixedTarget): Tensor | undefined {
    const one = targetWeights(this.inner, output, first)
    const other = targetWeights(this.inner, output, second)
    return one && other && noGrad(() => mix(one, other, share).sum())
  }

  #check(): void {
    if (this.reduction === undefined || reductions.includes(this.reduction)) return
    throw new ConfigError(
      `${this.#owner}: losses of samples can be mixed where the loss is their mean or sum, but the reduction of ` +
        `${this.inner.constructor.name} is '${this.reduction}'. Use a loss with the reduction 'mean', 'batchmean' or 'sum'; with ` +
        'targets that are numbers, MixUpCallback({ stackY: false }) mixes the targets, whatever the loss',
    )
  }

  activation(output: Output): Output {
    return activate(this.inner, output)
  }

  decode(output: Output): Output {
    return decode(this.inner, output)
  }

  toString(): string {
    return `${this.#owner} of ${this.inner.constructor.name}`
  }
}

/** Several targets that are not mixed are the affair of the loss inside. */
function isMixed(target: Target | MixedTarget): target is MixedTarget {
  return !(target instanceof Tensor) && target.length === 3
}

/** `shares` has one number a sample. */
function mix(one: Tensor, other: Tensor, shares: Tensor): Tensor {
  const share = shares.reshape([-1, ...one.shape.slice(1).map(() => 1)])
  return one.mul(share).add(other.mul(share.mul(-1).add(1)))
}
