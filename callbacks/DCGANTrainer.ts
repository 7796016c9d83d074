import { ConfigError } from '../src/engine/errors.ts'
import { randn, stack, Tensor } from '../src/engine/index.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type {
  BackwardBeginContext,
  BackwardEndContext,
  BatchBeginContext,
  BatchEndContext,
  LossBeginContext,
  TrainBeginContext,
} from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { nullable, tensorOf } from '../src/learner/stateChecks.ts'
import type { GANLoss } from '../src/vision/gan/GANLoss.ts'
import { asFloat, type GANModule } from '../src/vision/gan/GANModule.ts'
import { realOrFake } from '../src/vision/gan/losses.ts'
import { GANTrainer } from './GANTrainer.ts'
import { GradientClipping } from './GradientClipping.ts'
import { LossScaling } from './LossScaling.ts'

export interface DCGANTrainerOptions {
  /** Numbers of noise that a picture is made of. Default 100. */
  latent?: number | undefined
  /** Pictures of noise that stays the same, to watch the generator by. Drawn at once, in one `randn`. Default 64; 0 for none. */
  fixedNoise?: number | undefined
}

/** Mean probabilities that the discriminator gave in a batch. */
export interface DCGANScores {
  /** Of the real pictures: D(x). */
  real: number
  /** Of made ones, before the discriminator's step: D(G(z₁)). */
  fakeBefore: number
  /** Of the same ones after it: D(G(z₂)). */
  fakeAfter: number
}

/**
 * Trains both networks with every batch, as Radford et al. (2016) and PyTorch's DCGAN tutorial: the discriminator on the real pictures
 * and on made ones, two backward passes before one step; then the generator, by what the discriminator now says of the same made
 * pictures. The discriminator ends in a sigmoid; losses are binary cross-entropies.
 *
 * Every batch draws its noise with one `randn([N, latent, 1, 1])` from the engine's generator, whatever noise the data brings. There
 * is no validation.
 */
export class DCGANTrainer extends GANTrainer {
  /** Noise for progress pictures, [fixedNoise, latent, 1, 1]; undefined if there is none. */
  readonly fixedNoise: Tensor | undefined
  /** Of the latest training batch. */
  scores: DCGANScores | undefined
  #losses: Tensor[] = []
  #values: Promise<ArrayLike<number>> | undefined

  constructor(options: DCGANTrainerOptions = {}) {
    rejectUnknownOptions('DCGANTrainer', options, ['latent', 'fixedNoise'])
    const { latent = 100, fixedNoise = 64 } = options
    super({ latent, genFirst: true })
    checkCount('DCGANTrainer', 'fixedNoise', fixedNoise, 0)
    if (fixedNoise > 0) this.fixedNoise = randn([fixedNoise, latent, 1, 1]).keep()
  }

  /** @throws ConfigError after `learner.compile()` */
  override onTrainBegin(context: TrainBeginContext) {
    if (context.learner.compiled) {
      throw new ConfigError(
        "compile: DCGANTrainer trains the discriminator between the generator's forward and backward pass, which would be one " +
          'recording; learner.compile(false) trains without',
      )
    }
    super.onTrainBegin(context)
    return { skipValidate: true }
  }

  /** Both networks train together: there are no turns. */
  override switch(_genMode?: boolean): void {
    super.switch(true)
  }

  override onBatchBegin(context: BatchBeginContext) {
    this.scores = undefined
    return super.onBatchBegin(context)
  }

  protected override pair(context: BatchBeginContext) {
    const { pictures } = super.pair(context)
    return { noise: this.draw(pictures), pictures }
  }

  protected override idle({ critic, generator }: GANModule) {
    return [critic, generator]
  }

  /** The discriminator's part: it comes between the generator's forward pass and its loss. */
  override async onLossBegin({
    learner,
    lastOutput,
    lastTarget,
    train,
  }: LossBeginContext): Promise<undefined> {
    if (!train) return
    const model = learner.model as unknown as GANModule
    const scaling = learner.callbacks.find((callback) => callback instanceof LossScaling)
    const backward = (loss: Tensor) => (scaling ? loss.mul(scaling.scale) : loss).backward()
    const ofReal = model.criticise(lastTarget as Tensor)
    const realLoss = realOrFake(ofReal, true)
    backward(realLoss)
    const ofFake = model.criticise(asFloat(lastOutput.detach()))
    const fakeLoss = realOrFake(ofFake, false)
    backward(fakeLoss)
    // The loop tells of one backward pass a batch, the generator's: these are told of the discriminator's here.
    const context = { learner, skipStep: false } as BackwardEndContext
    const scaled = await scaling?.onBackwardEnd(context)
    for (const callback of learner.callbacks) {
      if (callback instanceof GradientClipping) callback.onBackwardEnd(context)
    }
    if (!scaled?.skipStep) learner.optimizer.step()
    learner.optimizer.zeroGrad()
    this.#losses = [realLoss.detach().add(fakeLoss.detach()), ofReal.detach().mean(), ofFake.detach().mean()]
  }

  /** One read for all figures of the batch, which nobody waits for now. */
  override onBackwardBegin({ learner }: BackwardBeginContext): void {
    const { fakeScores } = learner.lossFunction as GANLoss
    if (!fakeScores) throw new ConfigError('DCGANTrainer: the loss of the Learner must be a GANLoss')
    this.#values = stack([...this.#losses, fakeScores.detach().mean()]).dataAhead()
    this.#values.catch(() => {})
    this.#losses = []
  }

  override async onBatchEnd({ train, cancelled, lossValue }: BatchEndContext): Promise<void> {
    if (!train || cancelled || !this.#values) return
    const [criticLoss, real, fakeBefore, fakeAfter] = Array.from(await this.#values) as [
      number,
      number,
      number,
      number,
    ]
    this.#values = undefined
    this.scores = { real, fakeBefore, fakeAfter }
    this.note({ genLoss: lossValue, criticLoss })
  }

  override steering(): CallbackState {
    return { ...super.steering(), latent: this.latent }
  }

  override stateDict() {
    return { ...super.stateDict(), fixedNoise: this.fixedNoise ?? null }
  }

  override loadStateDict({
    fixedNoise,
    ...state
  }: Parameters<GANTrainer['loadStateDict']>[0] & { fixedNoise: Tensor | null }): void {
    nullable(tensorOf())(fixedNoise, 'DCGANTrainer.fixedNoise')
    super.loadStateDict(state)
    if (fixedNoise instanceof Tensor && this.fixedNoise?.shape.join() === fixedNoise.shape.join()) {
      this.fixedNoise.copy_(fixedNoise)
    }
  }
}
