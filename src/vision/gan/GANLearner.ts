import { DCGANTrainer } from '../../../callbacks/DCGANTrainer.ts'
import { FixedGANSwitcher } from '../../../callbacks/FixedGANSwitcher.ts'
import { GANGuard } from '../../../callbacks/GANGuard.ts'
import { GANTrainer, trainerOf } from '../../../callbacks/GANTrainer.ts'
import type { LrFindResult } from '../../../callbacks/LRFinder.ts'
import { ganStats } from '../../data/GanDataBunch.ts'
import { showImages } from '../../data/showImages.ts'
import { show } from '../../engine/check.ts'
import { ConfigError } from '../../engine/errors.ts'
import {
  cat,
  getRngState,
  manualSeed,
  noGrad,
  randn,
  scope,
  setRngState,
  Tensor,
} from '../../engine/index.ts'
import type { LearnerData } from '../../learner/data.ts'
import { inEvalMode } from '../../learner/evaluate.ts'
import {
  type BatchSizeResult,
  type FindBatchSizeOptions,
  type FitFlatCosineOptions,
  type FitOneCycleOptions,
  type FitOptions,
  type FitProfile,
  Learner,
  type LrFindOptions,
  type ProfileOptions,
} from '../../learner/index.ts'
import { type LearnerSummary, summarizeLearner } from '../../learner/LearnerSummary.ts'
import type { LearningRate } from '../../learner/lrRange.ts'
import { checkCount, rejectUnknownOptions } from '../../learner/options.ts'
import type * as nn from '../../nn/index.ts'
import { Adam } from '../../optim/index.ts'
import type { Figure } from '../../plot/index.ts'
import { dcganDiscriminator, dcganGenerator } from './dcgan.ts'
import { GANLoss, ganLossFromFunctions } from './GANLoss.ts'
import { GANModule } from './GANModule.ts'
import { GANRecorder } from './GANRecorder.ts'
import {
  type DcganOptions,
  type FromLearnersOptions,
  type GANLearnerOptions,
  ganOptionNames,
  plainOptionNames,
  type ShowFakesOptions,
  type WganOptions,
} from './ganOptions.ts'
import { NoopLoss, realOrFake, WassersteinLoss } from './losses.ts'

/**
 * A Learner of a generator and a critic (or discriminator): fits, schedules, mixed precision, checkpoints and resuming are those of
 * every Learner. Both networks share one optimizer of two layer groups, the generator's and the critic's; what it remembers is each
 * parameter's own. `recorder.genLosses` and `recorder.criticLosses` have the losses of all batches.
 *
 * Source: fastai's GANLearner; PyTorch's tutorial for {@link GANLearner.dcgan}.
 *
 * @example
 * const gan = GANLearner.dcgan(await GanDataBunch.fromFolder('faces', { size: 64, batchSize: 128 }))
 * await gan.fit(5)
 * await (await gan.showImages({ rows: 8 })).save('fakes.png')
 */
export class GANLearner extends Learner<GANModule> {
  declare readonly recorder: GANRecorder
  readonly trainer: GANTrainer
  /** Learning rate of fits that do not say otherwise. */
  readonly lr: LearningRate

  /** @throws ConfigError for unknown options, what is no network, or no loss */
  constructor(data: LearnerData, generator: nn.Module, critic: nn.Module, options: GANLearnerOptions) {
    rejectUnknownOptions('GANLearner', options ?? {}, [
      ...ganOptionNames,
      ...plainOptionNames,
      ...['generatorLoss', 'criticLoss', 'trainer', 'penalty'],
    ])
    const { generatorLoss, criticLoss, penalty, trainer: given, ...rest } = options
    const { lr = 2e-4, switcher, genFirst, switchEval = true, clip, guard, ...others } = rest
    const { latent = latentOf(generator, data), callbacks = [], ...learner } = others
    const trainer = given ?? new GANTrainer({ genFirst, switchEval, clip, latent })
    const turns = switcher ?? (given ? undefined : new FixedGANSwitcher({ nCrit: 5, nGen: 1 }))
    // A Wasserstein loss near zero says that the critic cannot tell real from made, not that it can.
    const settled = criticLoss instanceof WassersteinLoss ? { zeroLoss: 0 } : {}
    const watcher = guard === undefined ? new GANGuard(settled) : guard
    const model = new GANModule(generator, critic, { genMode: trainer.genMode })
    super(data, model, {
      layerGroups: [[generator], [critic]],
      ...learner,
      lossFunction: new GANLoss(generatorLoss, criticLoss, model, { penalty }),
      callbacks: [trainer, ...(turns ? [turns] : []), ...(watcher ? [watcher] : []), ...callbacks],
    })
    this.trainer = trainer
    this.lr = lr
  }

  /**
   * A DCGAN (Radford et al. 2016), trained step for step as PyTorch's DCGAN tutorial: the discriminator on real and on made pictures,
   * then the generator by the updated discriminator, with binary cross-entropy and Adam (0.5, 0.999) without weight decay; see
   * {@link DCGANTrainer}. `recorder.criticLosses` are the tutorial's Loss_D, `recorder.genLosses` its Loss_G; D(x) and both D(G(z))
   * are `recorder.realScores`, `fakeScoresBefore` and `fakeScoresAfter`.
   *
   * With the same seed the losses are PyTorch's. The engine's generator is drawn from in this order: the generator's layers as they
   * are made, its N(0, 0.02) weights, the same of the discriminator, the fixed noise `randn([64, latent, 1, 1])`; in a fit, for each
   * batch `randn([N, latent, 1, 1])`. A loader that was given no seed takes one from where the generator stands, without moving it on.
   *
   * The batches' pictures are targets (as GanDataBunch has them) or inputs (as a classifier's data has them), in [-1, 1].
   * @throws ShapeError for a size that is not 4 times a power of two; ConfigError
   */
  static dcgan(data: LearnerData, options: DcganOptions = {}): GANLearner {
    rejectUnknownOptions('GANLearner.dcgan', options, [
      ...plainOptionNames.filter((name) => name !== 'optimizer'),
      ...['latent', 'features', 'size', 'channels', 'lr', 'beta1', 'fixedNoise', 'guard'],
    ])
    const known = pictureShape(data)
    const { features = 64, size = known?.size ?? 64, channels = known?.channels ?? 3, ...rest } = options
    const { latent = latentOf(undefined, data) ?? 100, beta1 = 0.5, fixedNoise, ...learner } = rest
    if (!(typeof beta1 === 'number' && beta1 >= 0 && beta1 < 1)) {
      throw new ConfigError(`GANLearner.dcgan: beta1 must be in [0, 1), got ${show(beta1)}`)
    }
    // In this order, since each draws random numbers.
    const generator = dcganGenerator({ size, channels, features, latent })
    const critic = dcganDiscriminator({ size, channels, features })
    const trainer = new DCGANTrainer({ latent, fixedNoise })
    return new GANLearner(data, generator, critic, {
      wd: 0,
      optimizer: (params, made) => new Adam(params, { ...made, betas: [beta1, 0.999] }),
      ...learner,
      trainer,
      generatorLoss: (scores) => realOrFake(scores, true),
      criticLoss: (real, fake) => realOrFake(real, true).add(realOrFake(fake, false)),
    })
  }

  /**
   * A Wasserstein GAN (Arjovsky et al. 2017): the critic minimises mean(real) - mean(fake), its parameters limited to ±`clip` (default
   * 0.01) after its steps, the generator mean(critic(fake)); five batches of the critic for one of the generator. With
   * `gradientPenalty: 10` (Gulrajani et al. 2017) the critic's gradient is drawn to 1 instead of clipping: take a critic without
   * batch norm for it. Unless told otherwise Adam (0, 0.99) at 2e-4 without weight decay, as in fastai's course, and both networks in
   * training mode.
   */
  static wgan(
    data: LearnerData,
    generator: nn.Module,
    critic: nn.Module,
    options: WganOptions = {},
  ): GANLearner {
    rejectUnknownOptions('GANLearner.wgan', options, [
      ...ganOptionNames,
      ...plainOptionNames,
      'gradientPenalty',
    ])
    const { gradientPenalty, clip = gradientPenalty === undefined ? 0.01 : null, ...rest } = options
    const penalty = typeof gradientPenalty === 'number' ? { weight: gradientPenalty } : gradientPenalty
    return new GANLearner(data, generator, critic, {
      wd: 0,
      switchEval: false,
      optimizer: (params, made) => new Adam(params, { ...made, betas: [0, 0.99] }),
      ...rest,
      clip,
      generatorLoss: new NoopLoss(),
      criticLoss: new WassersteinLoss(),
      ...(penalty && { penalty }),
    })
  }

  /**
   * A GAN of two Learners that have been trained apart, for pictures out of pictures: the generator is trained by its Learner's loss and
   * by the critic's, weighed by `weightsGen`; the critic by its Learner's loss, with targets 1 for real and 0 for made pictures.
   * Data and folder are the generator's Learner's.
   */
  static fromLearners(
    learnGenerator: Learner,
    learnCritic: Learner,
    options: FromLearnersOptions = {},
  ): GANLearner {
    for (const [name, learner] of Object.entries({ learnGenerator, learnCritic })) {
      if (!(learner instanceof Learner)) {
        throw new ConfigError(`GANLearner.fromLearners: ${name} must be a Learner, got ${show(learner)}`)
      }
    }
    rejectUnknownOptions('GANLearner.fromLearners', options, [
      ...ganOptionNames,
      ...plainOptionNames,
      'weightsGen',
    ])
    const { weightsGen = [1, 1], ...rest } = options
    if (!(Array.isArray(weightsGen) && weightsGen.length === 2 && weightsGen.every(Number.isFinite))) {
      throw new ConfigError(
        `GANLearner.fromLearners: weightsGen must be two numbers, got ${show(weightsGen)}`,
      )
    }
    const { path, modelDir, silent } = learnGenerator
    return new GANLearner(learnGenerator.data, learnGenerator.model, learnCritic.model, {
      ...{ path, modelDir, silent },
      ...rest,
      ...ganLossFromFunctions(learnGenerator.lossFunction, learnCritic.lossFunction, weightsGen),
    })
  }

  protected override makeRecorder(): GANRecorder {
    return new GANRecorder(trainerOf(this.self, 'GANLearner'))
  }

  override async fit(epochs: number, options: FitOptions = {}): Promise<void> {
    this.#seedLoaders()
    return super.fit(epochs, { lr: this.lr, ...options })
  }

  override async fitOneCycle(epochs: number, options: FitOneCycleOptions = {}): Promise<void> {
    return super.fitOneCycle(epochs, { maxLr: this.lr, ...options })
  }

  override async fitFlatCosine(epochs: number, options: FitFlatCosineOptions = {}): Promise<void> {
    return super.fitFlatCosine(epochs, { lr: this.lr, ...options })
  }

  override async lrFind(options: LrFindOptions = {}): Promise<LrFindResult> {
    this.#seedLoaders()
    return super.lrFind(options)
  }

  override async profile(options: ProfileOptions = {}): Promise<FitProfile> {
    this.#seedLoaders()
    return super.profile(options)
  }

  /** As every Learner's; 6 steps a trial by default, so that with five turns of the critic to one of the generator both have been seen. */
  override async findBatchSize(options: FindBatchSizeOptions = {}): Promise<BatchSizeResult> {
    this.#seedLoaders()
    return super.findBatchSize({ steps: 6, ...options })
  }

  /** Layers of the network whose turn it is (after a fit and before a DCGAN's, the generator) with their output shapes; optimizer, loss. */
  override async summary(): Promise<LearnerSummary> {
    if (!this.model.genMode || this.trainer.latent === undefined) return super.summary()
    return summarizeLearner(this.self, async () => {
      const x = aside(() => this.#noise(1))
      return { x, y: x }
    })
  }

  /**
   * Pictures of the generator in evaluation mode, on the CPU, with nothing recorded.
   * @param noise [N, latent, 1, 1] (or whatever the generator takes), or how many pictures: their noise is drawn by `randn`
   * @returns [N, C, H, W]
   */
  async generate(noise: Tensor | number, { batchSize = 64 }: { batchSize?: number } = {}): Promise<Tensor> {
    checkCount('generate', 'batchSize', batchSize, 1)
    const { generator } = this.model
    const input = typeof noise === 'number' ? this.#noise(noise) : noise
    const device = generator.parameters()[0]?.device ?? input.device
    const parts: Tensor[] = []
    await inEvalMode(generator, async () => {
      for (let first = 0; first < input.size(0); first += batchSize) {
        const part = scope(() =>
          noGrad(() =>
            generator
              .forward(input.index(`${first}:${first + batchSize}`).to(device))
              .float()
              .to('cpu')
              .keep(),
          ),
        )
        parts.push(part)
        await part.data() // one batch at a time
      }
    })
    const all = noGrad(() => cat(parts, 0))
    for (const part of parts) part.dispose()
    return all
  }

  /** Pictures of the generator in rows, as a figure that saves itself. Draws from a random stream of its own. */
  async showImages(options: ShowFakesOptions = {}): Promise<Figure> {
    rejectUnknownOptions('showImages', options, ['rows', 'noise', 'stats'])
    const { rows = 8, noise, stats = ganStats } = options
    checkCount('showImages', 'rows', rows, 1)
    const count = rows * rows
    return scope(async () => {
      const pictures = await this.generate(noise ?? this.#noiseToShow(count))
      return showImages(pictures, { stats, columns: rows, count })
    })
  }

  /** Loaders draw their seeds when first asked where they stand: aside, so that noise is the same with and without. */
  #seedLoaders(): void {
    aside(() => {
      for (const loader of [this.data.trainDl, this.data.validDl]) loader?.state?.()
    })
  }

  #noise(count: number): Tensor {
    checkCount('generate', 'number of pictures', count, 1)
    const { latent } = this.trainer
    if (latent === undefined) {
      throw new ConfigError(
        'this generator does not say how many numbers of noise it takes: pass what it makes pictures of, or the option latent',
      )
    }
    return randn([count, latent, 1, 1], { device: this.data.device ?? 'cpu' })
  }

  // The fixed noise as far as it reaches, and more from a stream that is put back.
  #noiseToShow(count: number): Tensor {
    const fixed = this.trainer instanceof DCGANTrainer ? this.trainer.fixedNoise : undefined
    const missing = count - (fixed?.size(0) ?? 0)
    if (fixed && missing <= 0) return fixed.index(`:${count}`)
    return aside(() => {
      manualSeed(0)
      const more = this.#noise(missing)
      return fixed ? cat([fixed, more.to(fixed.device)], 0) : more
    })
  }
}

/** Runs `body`, and puts the engine's generator back where it stood. */
function aside<Result>(body: () => Result): Result {
  const state = getRngState()
  try {
    return body()
  } finally {
    setRngState(state)
  }
}

/** How many numbers of noise the generator takes, or else the data brings. */
function latentOf(generator: nn.Module | undefined, data: LearnerData): number | undefined {
  const own = (generator as { latent?: unknown } | undefined)?.latent
  if (typeof own === 'number') return own
  const { noise } = data as { noise?: unknown }
  return typeof noise === 'number' ? noise : undefined
}

/** Size and channels of the pictures, of data that knows them before its first batch. */
function pictureShape(data: LearnerData): { size: number; channels: number } | undefined {
  const { size } = data as { size?: unknown }
  if (typeof size === 'number') return { size, channels: 3 }
  const { x, y } = data.trainDl.dataset as { x?: unknown; y?: unknown }
  const pictures = [y, x].find((each): each is Tensor => each instanceof Tensor && each.ndim === 4)
  return pictures && { size: pictures.size(3), channels: pictures.size(1) }
}
