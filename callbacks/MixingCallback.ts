import { drawSeed } from '../src/data/drawSeed.ts'
import { checkSeed, RandomStream } from '../src/data/random.ts'
import { ConfigError } from '../src/engine/errors.ts'
import { type Answer, Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BatchBeginContext, TrainBeginContext, TrainEndContext } from '../src/learner/events.ts'
import type { LossFunction } from '../src/learner/lossFunction.ts'
import { MixedLoss } from '../src/learner/MixedLoss.ts'

/**
 * Base of callbacks that mix samples of training batches and weigh the losses of their targets. Validation sees samples, targets and
 * loss as they are. What is random follows from one seed, drawn with the first batch, the epoch and the batch's number.
 */
export abstract class MixingCallback extends Callback {
  /** Of the beta distribution that shares are drawn from. */
  readonly alpha: number
  #loss: LossFunction | undefined
  #active = false
  #seed: number | undefined

  constructor(alpha: number) {
    super()
    if (!(typeof alpha === 'number' && alpha > 0 && Number.isFinite(alpha))) {
      throw new ConfigError(`${new.target.name}: alpha must be a finite number above 0, got ${String(alpha)}`)
    }
    this.alpha = alpha
  }

  /** Mixes the batch: targets become a `MixedTarget`, unless {@link weighsLosses} is false. */
  protected abstract mix(context: BatchBeginContext, random: RandomStream): Answer<'onBatchBegin'>

  /** Whether it is the losses of both targets that are mixed. */
  protected get weighsLosses(): boolean {
    return true
  }

  /** @throws ConfigError if the loss cannot tell the loss of each sample, or has a reduction that is no mean or sum */
  override onTrainBegin({ learner }: TrainBeginContext): void {
    const { lossFunction } = learner
    const { name } = this.constructor
    if (this.weighsLosses && (typeof lossFunction === 'function' || lossFunction.reduction === undefined)) {
      throw new ConfigError(
        `${name} weighs the losses of single samples, which a plain function does not give: use a loss of nn`,
      )
    }
    this.#active = true
    this.#seed = undefined
    this.#loss = lossFunction
    if (this.weighsLosses) learner.lossFunction = new MixedLoss(lossFunction, name)
  }

  override steering(): CallbackState {
    return { alpha: this.alpha }
  }

  override stateDict(): CallbackState {
    return { seed: this.#seed }
  }

  override loadStateDict({ seed }: { seed?: number }): void {
    if (seed !== undefined) checkSeed(seed)
    this.#seed = seed
  }

  override onBatchBegin(context: BatchBeginContext) {
    if (!context.train || !this.#active) return undefined
    // Not before a batch is there: the finder has taken its snapshot by then.
    this.#seed ??= drawSeed()
    const { epoch, numBatch } = context
    return this.mix(context, new RandomStream({ seed: this.#seed, purpose: 'batch', epoch, index: numBatch }))
  }

  override onTrainEnd({ learner }: TrainEndContext): void {
    if (this.#loss) learner.lossFunction = this.#loss
    this.#loss = undefined
    this.#active = false
  }
}
