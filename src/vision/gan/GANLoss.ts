import { ConfigError } from '../../engine/errors.ts'
import { ones, type Tensor, zeros } from '../../engine/index.ts'
import { type Target, tensorsOf } from '../../learner/data.ts'
import { computeLoss, type LossFunction, type LossModule } from '../../learner/lossFunction.ts'
import type { GANModule } from './GANModule.ts'
import { type GradientPenaltyOptions, gradientPenalty } from './gradientPenalty.ts'

/** What a generator minimises, of the critic's scores of its pictures; beside them the targets and the pictures themselves. */
export type GeneratorLoss = (fakeScores: Tensor, target: Tensor, output: Tensor) => Tensor

/** What a critic minimises, of its scores of real and of made pictures. */
export type CriticLoss = (realScores: Tensor, fakeScores: Tensor) => Tensor

/** A function, or a module with it as `forward`. */
export type GeneratorLossOption = GeneratorLoss | { forward: GeneratorLoss }
export type CriticLossOption = CriticLoss | { forward: CriticLoss }

export interface GANLossOptions {
  /** Adds a gradient penalty to the critic's loss. Default none. */
  penalty?: GradientPenaltyOptions | undefined
}

function toFunction<F extends (...inputs: never[]) => Tensor>(name: string, loss: F | { forward: F }): F {
  if (typeof loss === 'function') return loss
  if (typeof loss?.forward === 'function') {
    return ((...inputs: Parameters<F>) => loss.forward(...inputs)) as F
  }
  throw new ConfigError(`GANLoss: ${name} must be a function or a loss module, got ${String(loss)}`)
}

/**
 * The loss of the network whose turn it is. The generator's: `generatorLoss(critic(output), target, output)`; gradients pass through
 * the critic, not into it. The critic's: `criticLoss(output, critic(fake))`, with the output of real pictures and fakes that the
 * generator makes of the target, which is noise then.
 *
 * Source: fastai's GANLoss.
 */
export class GANLoss implements LossModule {
  readonly generatorLoss: GeneratorLoss
  readonly criticLoss: CriticLoss
  readonly penalty: GradientPenaltyOptions | undefined
  readonly #model: GANModule
  /** The critic's scores of the latest made pictures. */
  fakeScores: Tensor | undefined

  constructor(
    generatorLoss: GeneratorLossOption,
    criticLoss: CriticLossOption,
    model: GANModule,
    { penalty }: GANLossOptions = {},
  ) {
    this.generatorLoss = toFunction<GeneratorLoss>('generatorLoss', generatorLoss)
    this.criticLoss = toFunction<CriticLoss>('criticLoss', criticLoss)
    this.#model = model
    this.penalty = penalty
  }

  forward(output: Tensor, target: Target): Tensor {
    return this.#model.genMode
      ? this.ofGenerator(output, target as Tensor)
      : this.ofCritic(output, tensorsOf(target))
  }

  /** The generator's loss of pictures that it has made. */
  ofGenerator(output: Tensor, target: Tensor): Tensor {
    this.fakeScores = this.#model.criticise(output, { frozen: true })
    return this.generatorLoss(this.fakeScores, target, output)
  }

  /** The critic's loss, of its scores of the real pictures that the model was given, and of noise. */
  ofCritic(realScores: Tensor, noise: readonly Tensor[]): Tensor {
    const model = this.#model
    const fake = model.generate(...noise).detach()
    this.fakeScores = model.criticise(fake)
    const loss = this.criticLoss(realScores, this.fakeScores)
    const [real] = model.latestInput
    if (!this.penalty || !real) return loss
    // In float32, for a gradient of a gradient has little to spare.
    return loss.add(gradientPenalty((x) => model.critic.forward(x), real, fake.to(real.dtype), this.penalty))
  }

  toString(): string {
    return 'GANLoss'
  }
}

/**
 * fastai's `gan_loss_from_func`, the losses of a GAN whose pictures have targets: the generator's is
 * w₀ · criticLoss(scores, 1) + w₁ · generatorLoss(output, target), the critic's the mean of criticLoss(real, 1) and
 * criticLoss(fake, 0). Targets of scores are `[N]`: for scores of another shape wrap the loss in AdaptiveLoss.
 */
export function ganLossFromFunctions(
  generatorLoss: LossFunction,
  criticLoss: LossFunction,
  weightsGen: readonly [number, number] = [1, 1],
): { generatorLoss: GeneratorLoss; criticLoss: CriticLoss } {
  const [adversarial, content] = weightsGen
  const judged = (scores: Tensor, real: boolean) => {
    const { dtype, device } = scores
    const target = (real ? ones : zeros)([scores.shape[0] ?? 1], { dtype, device })
    return computeLoss(criticLoss, scores, target)
  }
  return {
    generatorLoss: (fakeScores, target, output) =>
      judged(fakeScores, true)
        .mul(adversarial)
        .add(computeLoss(generatorLoss, output, target).mul(content)),
    criticLoss: (realScores, fakeScores) => judged(realScores, true).add(judged(fakeScores, false)).div(2),
  }
}
