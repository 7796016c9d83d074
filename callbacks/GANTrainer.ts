import { ConfigError, DataError } from '../src/engine/errors.ts'
import { isFloatingPoint, noGrad, randn, Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import { batchSizeOf } from '../src/learner/data.ts'
import type {
  BatchBeginContext,
  BatchEndContext,
  EpochBeginContext,
  EpochEndContext,
  StepEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import type { Learner } from '../src/learner/Learner.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { SmoothedValue } from '../src/learner/SmoothedValue.ts'
import { smoothing, truth } from '../src/learner/stateChecks.ts'
import * as nn from '../src/nn/index.ts'
import { checkPictures } from '../src/vision/gan/checkPictures.ts'
import { GANModule } from '../src/vision/gan/GANModule.ts'

export interface GANTrainerOptions {
  /** The network whose turn it is not is in evaluation mode. Default false. */
  switchEval?: boolean | undefined
  /** Limits every parameter of the critic to ±clip after each of its steps (Arjovsky et al. 2017). Default: no limit. */
  clip?: number | null | undefined
  /** Weight of the past in the smoothed losses. Default 0.98. */
  beta?: number | undefined
  /** The generator begins. Default false. */
  genFirst?: boolean | undefined
  /** Numbers of noise to draw for each picture where batches bring none. Default: batches must bring it. */
  latent?: number | undefined
}

export const ganTrainerOptions = ['switchEval', 'clip', 'beta', 'genFirst', 'latent'] as const

/** What the two networks of a batch lost; undefined for the one whose turn it was not. */
export interface GANLosses {
  genLoss?: number | undefined
  criticLoss?: number | undefined
}

/**
 * Trains the generator and the critic of a GANModule in turns, a batch each; a switcher says whose turn comes next. In the generator's
 * turn the input is noise and the target pictures, in the critic's the other way round. Only the network whose turn it is gets
 * gradients, and what the user has frozen stays frozen. Validation is always the generator's. Each epoch gets the columns `genLoss`
 * and `criticLoss`, smoothed.
 *
 * Source: fastai's GANTrainer; but the critic is clipped after its steps, as in the paper.
 */
export class GANTrainer extends Callback {
  /** Before the recorder. */
  override order = -20
  override readonly extraMetrics: readonly string[] = ['genLoss', 'criticLoss']
  readonly switchEval: boolean
  readonly clip: number | null
  readonly genFirst: boolean
  readonly latent: number | undefined
  /** Losses of the latest training batch. */
  latest: GANLosses = {}
  #genMode: boolean
  readonly #smoothed: { genLoss: SmoothedValue; criticLoss: SmoothedValue }
  #model: GANModule | undefined

  constructor(options: GANTrainerOptions = {}) {
    super()
    rejectUnknownOptions('GANTrainer', options, ganTrainerOptions)
    const { switchEval = false, clip, beta = 0.98, genFirst = false, latent } = options
    this.switchEval = switchEval
    this.clip = clip ?? null
    if (this.clip !== null && !(this.clip > 0)) {
      throw new ConfigError(`GANTrainer: clip must be above 0, got ${String(clip)}`)
    }
    if (!(beta >= 0 && beta < 1)) throw new ConfigError(`GANTrainer: beta must be in [0, 1), got ${beta}`)
    if (latent !== undefined) checkCount('GANTrainer', 'latent', latent, 1)
    this.genFirst = genFirst
    this.latent = latent
    this.#genMode = genFirst
    this.#smoothed = { genLoss: new SmoothedValue(beta), criticLoss: new SmoothedValue(beta) }
  }

  /** Whether the next training batch is the generator's. */
  get genMode(): boolean {
    return this.#genMode
  }

  /** Gives the turn to the generator (true) or the critic (false); without an argument, to the other. */
  switch(genMode: boolean = !this.#genMode): void {
    this.#genMode = genMode
    this.#apply()
  }

  override onTrainBegin({ learner }: TrainBeginContext): { skipValidate?: boolean } | undefined {
    this.#model = ganOf(learner)
    for (const smoothed of Object.values(this.#smoothed)) smoothed.state = { average: 0, count: 0 }
    this.latest = {}
    this.switch(this.genFirst)
    return undefined
  }

  /** The loop has put everything in training mode. */
  override onEpochBegin(_context: EpochBeginContext): void {
    this.#apply()
  }

  override onBatchBegin(context: BatchBeginContext) {
    const model = ganOf(context.learner)
    const { noise, pictures } = this.pair(context)
    if (!context.train) {
      model.switch(true)
      return { lastInput: noise, lastTarget: pictures }
    }
    this.latest = {}
    model.switch(this.#genMode)
    checkPictures(model, pictures)
    refuseLoneItem(model, pictures)
    for (const network of this.idle(model)) refuseGradients(network)
    return this.#genMode
      ? { lastInput: noise, lastTarget: pictures }
      : { lastInput: pictures, lastTarget: noise }
  }

  override onStepEnd({ learner, skipStep }: StepEndContext): void {
    if (!this.#genMode && !skipStep) this.clipCritic(ganOf(learner))
  }

  override async onBatchEnd({ train, cancelled, lossValue }: BatchEndContext): Promise<void> {
    if (!train || cancelled) return
    this.note(this.#genMode ? { genLoss: lossValue } : { criticLoss: lossValue })
  }

  override onEpochEnd(_context: EpochEndContext) {
    const value = ({ value }: SmoothedValue) => (Number.isNaN(value) ? null : value)
    const { genLoss, criticLoss } = this.#smoothed
    return { lastMetrics: { genLoss: value(genLoss), criticLoss: value(criticLoss) } }
  }

  /** What comes after a fit, such as predictions, is the generator's. */
  override onTrainEnd({ learner }: TrainEndContext): void {
    ganOf(learner).switch(true)
  }

  override steering(): CallbackState {
    const { switchEval, clip, genFirst } = this
    return { switchEval, clip, genFirst }
  }

  override stateDict(): CallbackState {
    const { genLoss, criticLoss } = this.#smoothed
    return { genMode: this.#genMode, genLoss: genLoss.state, criticLoss: criticLoss.state }
  }

  override loadStateDict({ genMode, genLoss, criticLoss }: TrainerState): void {
    truth(genMode, 'GANTrainer.genMode')
    smoothing()(genLoss, 'GANTrainer.genLoss')
    smoothing()(criticLoss, 'GANTrainer.criticLoss')
    this.#smoothed.genLoss.state = genLoss
    this.#smoothed.criticLoss.state = criticLoss
    this.switch(genMode)
  }

  /** Networks that must have no gradients when a batch begins. */
  protected idle({ critic, generator }: GANModule): nn.Module[] {
    return [this.#genMode ? critic : generator]
  }

  /** Takes in the losses of a batch. */
  protected note(losses: GANLosses): void {
    this.latest = losses
    for (const name of ['genLoss', 'criticLoss'] as const) {
      if (losses[name] !== undefined) this.#smoothed[name].add(losses[name])
    }
  }

  protected clipCritic(model: GANModule): void {
    const { clip } = this
    if (clip === null) return
    noGrad(() => {
      for (const parameter of model.critic.parameters()) parameter.clamp_(-clip, clip)
    })
  }

  /**
   * Noise (or whatever the generator takes) and pictures of a batch: its input and target; or, where the input is pictures and the
   * target is none, as of a classifier's data, those pictures with new noise.
   */
  protected pair({ lastInput, lastTarget }: BatchBeginContext): { noise: Tensor; pictures: Tensor } {
    if (isPictures(lastTarget)) return { noise: lastInput as Tensor, pictures: lastTarget }
    if (!isPictures(lastInput)) {
      throw new DataError(
        `a GAN learns from pictures [N, C, H, W] of a floating dtype; the batch has ${describe(lastInput)} as input and ` +
          `${describe(lastTarget)} as target. GanDataBunch.fromFolder brings noise and pictures`,
      )
    }
    return { noise: this.draw(lastInput), pictures: lastInput }
  }

  /** Noise [N, latent, 1, 1] from the engine's generator. */
  protected draw(pictures: Tensor): Tensor {
    if (this.latent === undefined) {
      throw new DataError(
        'the batches bring pictures without noise: say how many numbers of noise a picture is made of, with the option latent',
      )
    }
    return randn([batchSizeOf(pictures), this.latent, 1, 1], { device: pictures.device })
  }

  #apply(): void {
    const model = this.#model
    if (!model) return
    model.switch(this.#genMode)
    if (!this.switchEval) return
    model.generator.train(this.#genMode)
    model.critic.train(!this.#genMode)
  }
}

interface TrainerState {
  genMode: boolean
  genLoss: SmoothedValue['state']
  criticLoss: SmoothedValue['state']
}

function ganOf({ model }: Learner): GANModule {
  if (model instanceof GANModule) return model
  throw new ConfigError(
    `this callback is for adversarial training: the Learner's model must be a GANModule, it is ${model.constructor.name}. ` +
      'GANLearner makes one',
  )
}

/** The GANTrainer among a Learner's callbacks. @throws ConfigError if there is none */
export function trainerOf({ callbacks }: Learner, asker: string): GANTrainer {
  const trainer = callbacks.find((callback) => callback instanceof GANTrainer)
  if (trainer) return trainer
  throw new ConfigError(`${asker} needs a GANTrainer among the Learner's callbacks; GANLearner has one`)
}

function isPictures(value: unknown): value is Tensor {
  return value instanceof Tensor && isFloatingPoint(value.dtype) && value.ndim >= 3
}

function describe(value: unknown): string {
  return value instanceof Tensor ? `[${value.shape.join(', ')}] of ${value.dtype}` : 'several tensors'
}

const batchNorms = [nn.BatchNorm1d, nn.BatchNorm2d] as const

function refuseLoneItem(model: GANModule, pictures: Tensor): void {
  if (pictures.shape[0] !== 1) return
  const norm = model
    .modules()
    .find((layer) => layer.training && batchNorms.some((type) => layer instanceof type))
  if (!norm) return
  throw new ConfigError(
    `a batch of one picture, and ${norm.constructor.name} in the networks, which compares the pictures of a batch: ` +
      'take a larger batchSize (dropLast: true leaves out a short last batch), or networks without batch norm',
  )
}

function refuseGradients(network: nn.Module): void {
  if (network.parameters().every(({ accumulated }) => accumulated === null)) return
  throw new ConfigError(
    'gradients have been left from an earlier batch, as GradientAccumulation does, and would go into another network’s step; ' +
      'adversarial training steps with every batch: take a larger batchSize instead',
  )
}
