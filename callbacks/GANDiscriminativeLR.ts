import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type {
  BatchBeginContext,
  BatchEndContext,
  EpochEndContext,
  StepEndContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import type { Learner } from '../src/learner/Learner.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { GANModule } from '../src/vision/gan/GANModule.ts'

export interface GANDiscriminativeLROptions {
  /** Factor on the critic's learning rate. Default 5. */
  multLr?: number | undefined
}

/**
 * The critic steps at a higher rate than the generator: its layer groups have `multLr` times the rate during each training batch. The
 * recorder shows the rate without the factor.
 *
 * Source: fastai's GANDiscriminativeLR.
 */
export class GANDiscriminativeLR extends Callback {
  /** After the recorder has noted the rate. */
  override order = 100
  readonly multLr: number
  /** The rates of the groups without the factor and with it, while it is in force. */
  #rates: { before: readonly number[]; raised: readonly number[] } | undefined

  /** `new GANDiscriminativeLR(5)` is `new GANDiscriminativeLR({ multLr: 5 })`. */
  constructor(options: number | GANDiscriminativeLROptions = {}) {
    super()
    const given = typeof options === 'number' ? { multLr: options } : options
    rejectUnknownOptions('GANDiscriminativeLR', given, ['multLr'])
    this.multLr = given.multLr ?? 5
    if (!(this.multLr > 0 && Number.isFinite(this.multLr))) {
      throw new ConfigError(`GANDiscriminativeLR: multLr must be above 0, got ${String(this.multLr)}`)
    }
  }

  override steering(): CallbackState {
    return { multLr: this.multLr }
  }

  override onBatchBegin({ train, learner }: BatchBeginContext): void {
    if (!train) return
    const { lrs } = learner.optimizer
    const critics = criticGroups(learner)
    const raised = lrs.map((lr, i) => (critics[i] ? lr * this.multLr : lr))
    this.#rates = { before: lrs, raised }
    learner.optimizer.lr = raised
  }

  override onStepEnd({ learner }: StepEndContext): void {
    this.#restore(learner)
  }

  /** Also after a batch that was cancelled; a schedule has set the next rates by then. */
  override onBatchEnd({ learner }: BatchEndContext): void {
    this.#restore(learner)
  }

  /** A batch with which the epoch was left has told nobody of its end. Who lowers rates here has lowered the raised ones. */
  override onEpochEnd({ learner }: EpochEndContext): void {
    this.#restore(learner, this.multLr)
  }

  /** The same where the whole fit was left. */
  override onTrainEnd({ learner }: TrainEndContext): void {
    this.#restore(learner)
  }

  /** Raised rates that somebody has changed meanwhile are only divided by `factor`. */
  #restore({ optimizer }: Learner, factor = 1): void {
    if (!this.#rates) return
    const { before, raised } = this.#rates
    this.#rates = undefined
    optimizer.lr = optimizer.lrs.map((lr, i) => {
      if (lr === raised[i]) return before[i]!
      return raised[i] === before[i] ? lr : lr / factor
    })
  }
}

/** For each layer group, whether it is the critic's. */
function criticGroups({ model, layerGroups }: Learner): boolean[] {
  const gan: unknown = model
  if (!(gan instanceof GANModule)) {
    throw new ConfigError('GANDiscriminativeLR: the model must be a GANModule, as GANLearner makes one')
  }
  const ofCritic = new Set(gan.critic.parameters())
  return layerGroups.map((group) => {
    const parameters = group.parameters()
    return parameters.length > 0 && parameters.every((parameter) => ofCritic.has(parameter))
  })
}
