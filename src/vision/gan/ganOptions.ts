import type { GANGuard } from '../../../callbacks/GANGuard.ts'
import type { GANTrainer } from '../../../callbacks/GANTrainer.ts'
import type { ImageStats } from '../../data/stats.ts'
import type { Tensor } from '../../engine/index.ts'
import type { Callback } from '../../learner/Callback.ts'
import { type LearnerOptions, learnerOptionNames } from '../../learner/learnerOptions.ts'
import type { LearningRate } from '../../learner/lrRange.ts'
import type { CriticLossOption, GeneratorLossOption } from './GANLoss.ts'
import type { GradientPenaltyOptions } from './gradientPenalty.ts'

/** Options that all GANs share, next to the Learner's. */
export interface GANOptions extends Omit<LearnerOptions, 'lossFunction'> {
  /** Learning rate of fits that do not say otherwise; a slice gives the generator the first and the critic the last. */
  lr?: LearningRate
  /** Who trains both networks: says whose turn it is after each batch. Default: five batches for the critic, one for the generator. */
  switcher?: Callback
  /** The generator's turn comes first. Default false. */
  genFirst?: boolean
  /** The network whose turn it is not is in evaluation mode. */
  switchEval?: boolean
  /** Limits the critic's parameters to ±clip after each of its steps. */
  clip?: number | null
  /** Numbers of noise that a picture is made of, where the data brings pictures only. Default: the generator's own, or the data's. */
  latent?: number
  /** Watches for collapse and divergence. Default: a GANGuard; null for none. */
  guard?: GANGuard | null
}

export interface GANLearnerOptions extends GANOptions {
  generatorLoss: GeneratorLossOption
  criticLoss: CriticLossOption
  /** Who trains. Default: a GANTrainer of the options `genFirst`, `switchEval`, `clip` and `latent`. */
  trainer?: GANTrainer
  /** Adds a gradient penalty to the critic's loss. */
  penalty?: GradientPenaltyOptions
}

export interface WganOptions extends GANOptions {
  /** Weight of a gradient penalty (10 in the paper), which takes the place of clipping; or its options. Default none. */
  gradientPenalty?: number | GradientPenaltyOptions
}

export interface FromLearnersOptions extends GANOptions {
  /** Factors of the adversarial loss and of the generator's own loss. Default [1, 1]. */
  weightsGen?: readonly [number, number]
}

export interface DcganOptions extends Omit<LearnerOptions, 'lossFunction' | 'optimizer'> {
  /** Numbers of noise that a picture is made of. Default: the data's `noise`, or 100. */
  latent?: number
  /** Channels of the layers next to the pictures. Default 64. */
  features?: number
  /** Height and width of the pictures. Default: the data's, if it says, or 64. */
  size?: number
  /** Channels of the pictures. Default: the data's, if it says, or 3. */
  channels?: number
  /** Learning rate of both networks. Default 2e-4. */
  lr?: LearningRate
  /** Adam's first beta. Default 0.5. */
  beta1?: number
  /** Pictures of noise that stays the same; see DCGANTrainer. Default 64. */
  fixedNoise?: number
  /** Watches for collapse and divergence. Default: a GANGuard; null for none. */
  guard?: GANGuard | null
}

export interface ShowFakesOptions {
  /** Pictures in a row, and rows. Default 8. */
  rows?: number
  /** What the pictures are made of, [N, latent, 1, 1]. Default: the fixed noise of a DCGAN, or new noise. */
  noise?: Tensor
  /** What pictures were normalised with. Default: 0.5 and 0.5, for pictures in [-1, 1]. */
  stats?: ImageStats
}

/** Names of {@link GANOptions} beside the Learner's. */
export const ganOptionNames = ['lr', 'switcher', 'genFirst', 'switchEval', 'clip', 'latent', 'guard'] as const

/** Names of the Learner's options but for the loss. */
export const plainOptionNames = learnerOptionNames.filter((name) => name !== 'lossFunction')
