import { ConfigError } from '../src/engine/errors.ts'
import { noGrad, Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import { batchSizeOf } from '../src/learner/data.ts'
import type {
  BackwardBeginContext,
  BackwardEndContext,
  BatchEndContext,
  EpochBeginContext,
  EpochEndContext,
  StepEndContext,
  TrainBeginContext,
} from '../src/learner/events.ts'
import { MixedLoss, type MixedTarget } from '../src/learner/MixedLoss.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { anyNumber, count as countOf, tensorOf } from '../src/learner/stateChecks.ts'
import { targetWeights } from '../src/learner/targetWeights.ts'

export interface GradientAccumulationOptions {
  /** Batches whose gradients make one step. */
  batches: number
  /** Take no step with the last group of an epoch if it is short. Default false: it makes a step of its own. */
  dropLast?: boolean
  /**
   * What a plain function as loss makes of its samples, or a loss module whose own reduction is none of 'mean', 'batchmean' and 'sum'.
   * Default 'mean'.
   */
  reduction?: 'mean' | 'sum'
}

/**
 * Steps once in so many batches, with the gradient that one large batch of all of them would give: means are weighed by the samples
 * that they are of (by the class weights and without the ignored targets, where the loss has such), also in a short last group.
 * Only means and sums over samples add up like that. Of RMSELoss, and of losses that divide by something they find in the batch, it is
 * the batches' losses that are averaged, each weighed by its samples (or added, with 'sum'): not the loss of one large batch.
 *
 * Reported losses stay those of the batches. Batch norm still sees the small batches: with it, the large batch gives other values.
 *
 * Batches that are cancelled before their backward pass, or cannot be read, do not count. If that leaves the last group of an epoch
 * without its last batch, it makes its step (unless `dropLast`) once the epoch's training data is over, at the rate that a schedule has
 * set by then. Gradients of a group that is cut short because a callback leaves the epoch, or cancels a batch after its backward pass,
 * are dropped.
 */
export class GradientAccumulation extends Callback {
  /** Before gradients are clipped, which is done to the finished sum. */
  override order = -3
  readonly batches: number
  readonly dropLast: boolean
  readonly reduction: 'mean' | 'sum'
  #count = 0
  #weight: number | Tensor = 0
  /** The weight of the running batch. */
  #latest: number | Tensor = 0
  #steps = false
  /** The data is over, and the group with it. */
  #ends = false

  /** `new GradientAccumulation(4)` is `new GradientAccumulation({ batches: 4 })`. */
  constructor(options: number | GradientAccumulationOptions) {
    super()
    const given = typeof options === 'number' ? { batches: options } : (options ?? {})
    rejectUnknownOptions('GradientAccumulation', given, ['batches', 'dropLast', 'reduction'])
    const { batches, dropLast = false, reduction = 'mean' } = given as GradientAccumulationOptions
    checkCount('GradientAccumulation', 'batches', batches, 1)
    if (reduction !== 'mean' && reduction !== 'sum') {
      throw new ConfigError(
        `GradientAccumulation: reduction must be 'mean' or 'sum', got ${String(reduction)}`,
      )
    }
    this.batches = batches
    this.dropLast = dropLast
    this.reduction = reduction
  }

  override steering(): CallbackState {
    return { batches: this.batches, dropLast: this.dropLast, reduction: this.reduction }
  }

  override onTrainBegin(_context: TrainBeginContext): void {
    this.#begin()
  }

  override onEpochBegin(_context: EpochBeginContext): void {
    this.#begin()
  }

  override stateDict(): CallbackState {
    return { count: this.#count, weight: this.#weight }
  }

  override loadStateDict({ count, weight }: { count: number; weight: number | Tensor }): void {
    countOf()(count, 'GradientAccumulation.count')
    if (!(weight instanceof Tensor)) anyNumber(weight, 'GradientAccumulation.weight')
    else tensorOf([])(weight, 'GradientAccumulation.weight')
    this.#begin()
    this.#count = count
    this.#weight = weight instanceof Tensor ? weight.detach().clone().keep() : weight
  }

  /** The sum over the batch's samples is what adds up. */
  override onBackwardBegin(context: BackwardBeginContext) {
    const { lastLoss } = context
    const reduction = this.#reductionOf(context)
    this.#latest = 0
    if (reduction === 'sum') return undefined
    this.#latest =
      reduction === 'batchmean'
        ? batchSizeOf(context.lastOutput) || 1
        : (meanWeight(context) ?? batchSizeOf(context.lastInput))
    return { lastLoss: lastLoss.mul(this.#latest) }
  }

  override finishesGroup(): boolean {
    this.#ends = this.#count > 0 && !this.dropLast
    return this.#ends
  }

  override onBackwardEnd({ learner, numBatch, batchesPerEpoch, skipStep, skipBackward }: BackwardEndContext) {
    if (!this.#ends) {
      this.#count++
      if (!skipBackward) this.#add(this.#latest)
    }
    const full = this.#count >= this.batches
    const last = numBatch + 1 >= batchesPerEpoch
    this.#steps = !skipStep && (full || this.#ends || (last && !this.dropLast))
    if (!this.#steps) return { skipStep: true }
    const weight = this.#weight
    if (weight !== 0) {
      noGrad(() => {
        for (const { accumulated } of learner.optimizer.parameters()) accumulated?.div_(weight)
      })
    }
    return undefined
  }

  override onStepEnd({ skipZero }: StepEndContext) {
    if (this.#steps) this.#begin()
    return this.#count > 0 ? { skipZero: true } : { skipZero }
  }

  /** A batch cancelled after its backward pass has taken the group's gradients with it. */
  override onBatchEnd({ train, cancelled, learner }: BatchEndContext): void {
    if (!train || !cancelled || this.#count === 0) return
    if (learner.optimizer.parameters().every(({ accumulated }) => !accumulated)) this.#begin()
  }

  override onEpochEnd({ learner }: EpochEndContext): void {
    if (this.#count > 0) learner.optimizer.zeroGrad()
    this.#begin()
  }

  #begin(): void {
    if (this.#weight instanceof Tensor) this.#weight.dispose()
    this.#weight = 0
    this.#count = 0
    this.#steps = this.#ends = false
  }

  #reductionOf({ learner: { lossFunction } }: TrainBeginContext): string {
    const reduction = typeof lossFunction === 'function' ? undefined : lossFunction.reduction
    return reduction === 'mean' || reduction === 'batchmean' || reduction === 'sum'
      ? reduction
      : this.reduction
  }

  #add(weight: number | Tensor): void {
    const before = this.#weight
    if (typeof weight === 'number' && typeof before === 'number') this.#weight = before + weight
    else {
      this.#weight = noGrad(() =>
        (weight instanceof Tensor ? weight.add(before) : (before as Tensor).add(weight)).keep(),
      )
      if (before instanceof Tensor) before.dispose()
    }
  }
}

/** What the mean of the loss is divided by, where that is not simply the number of samples. */
function meanWeight({
  learner: { lossFunction },
  lastTarget,
  lastOutput,
}: BackwardBeginContext): Tensor | undefined {
  if (lossFunction instanceof MixedLoss && !(lastTarget instanceof Tensor)) {
    return lossFunction.meanWeight(lastOutput, lastTarget as unknown as MixedTarget)
  }
  const loss = lossFunction instanceof MixedLoss ? lossFunction.inner : lossFunction
  const weights = targetWeights(loss, lastOutput, lastTarget)
  return weights && noGrad(() => weights.sum())
}
