import { AnnealError } from '../src/engine/errors.ts'
import { noGrad, scope, stack, Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type {
  BackwardBeginContext,
  BatchEndContext,
  EpochEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import { checkMonitor, type Monitor } from '../src/learner/monitors.ts'
import { checkCount, checkNotNegative, rejectUnknownOptions } from '../src/learner/options.ts'
import type { GANModule } from '../src/vision/gan/GANModule.ts'
import { trainerOf } from './GANTrainer.ts'

export interface GANGuardOptions {
  /**
   * A value of the epoch, as `frechetDistance` of GANMeasure, by which the best generator is told; the lowest is best. Default:
   * the latest sound generator is kept.
   */
  monitor?: Monitor | undefined
  /** Batches between two copies of the generator, and between two looks at the diversity of its pictures. Default 100. */
  every?: number | undefined
  /** Warn when made pictures differ from each other less than this share of what real ones do. Default 0.1; 0 for no warning. */
  diversity?: number | undefined
  /** Warn when the critic's loss lies this near to zero … Default 1e-3; 0 for no warning. */
  zeroLoss?: number | undefined
  /** … for so many batches of its own in a row. Default 100. */
  zeroSteps?: number | undefined
}

/** Adversarial training has broken down: a loss is not finite. The best generator so far is back in the model. */
export class GANDivergenceError extends AnnealError {
  readonly epoch: number
  readonly iteration: number
  /** Training batches after which the generator was as it is again now; undefined if none was kept. */
  readonly keptFrom: number | undefined

  constructor(message: string, place: { epoch: number; iteration: number; keptFrom: number | undefined }) {
    super(message, 'DIVERGENCE')
    this.epoch = place.epoch
    this.iteration = place.iteration
    this.keptFrom = place.keptFrom
  }
}

/**
 * Watches over adversarial training. When a loss is no longer finite it puts the best generator so far back and ends the fit with a
 * {@link GANDivergenceError}. It warns, once a fit, when the generator has collapsed (its pictures are all alike), and when the critic
 * has won (its loss stays at zero, so that the generator learns nothing more). GANLearner has one.
 */
export class GANGuard extends Callback {
  /** After the trainer and the recorder, before others end the fit because of a loss that is not finite. */
  override order = -6
  override readonly runsInLrFind = false
  readonly monitor: Monitor | undefined
  readonly every: number
  readonly diversity: number
  readonly zeroLoss: number
  readonly zeroSteps: number
  /** What was warned of in the latest fit. */
  readonly warnings: string[] = []
  #kept: { tensors: [Tensor, Tensor][]; iteration: number; value: number } | undefined
  #spread: Promise<ArrayLike<number>> | undefined
  /** The batch after which the pictures were compared last. */
  #looked = 0
  #zeros = 0
  #warned = new Set<string>()

  constructor(options: GANGuardOptions = {}) {
    super()
    rejectUnknownOptions('GANGuard', options, ['monitor', 'every', 'diversity', 'zeroLoss', 'zeroSteps'])
    const { monitor, every = 100, diversity = 0.1, zeroLoss = 1e-3, zeroSteps = 100 } = options
    checkCount('GANGuard', 'every', every, 1)
    checkCount('GANGuard', 'zeroSteps', zeroSteps, 1)
    checkNotNegative('GANGuard', 'diversity', diversity)
    checkNotNegative('GANGuard', 'zeroLoss', zeroLoss)
    this.monitor = monitor
    this.every = every
    this.diversity = diversity
    this.zeroLoss = zeroLoss
    this.zeroSteps = zeroSteps
  }

  override async onTrainBegin(context: TrainBeginContext): Promise<void> {
    const { learner, iteration } = context
    trainerOf(learner, 'GANGuard')
    if (this.monitor !== undefined) checkMonitor('GANGuard', this.monitor, context)
    this.warnings.length = 0
    this.#warned.clear()
    this.#zeros = 0
    this.#looked = iteration
    await this.#keep(generatorOf(learner), iteration, Number.POSITIVE_INFINITY)
  }

  /** The spread of made and of real pictures: the deviation over the batch, mean over all places. */
  override onBackwardBegin({ iteration, lastOutput, lastTarget, learner }: BackwardBeginContext): void {
    this.#spread = undefined
    const due = this.diversity > 0 && iteration + 1 - this.#looked >= this.every
    if (!due || !trainerOf(learner, 'GANGuard').genMode || !(lastTarget instanceof Tensor)) return
    if (lastTarget.shape[0] === 1 || lastTarget.ndim !== lastOutput.ndim) return
    this.#looked = iteration + 1
    const spread = (x: Tensor) => x.detach().float().std(0).mean()
    this.#spread = noGrad(() => stack([spread(lastOutput), spread(lastTarget)])).dataAhead()
    this.#spread.catch(() => {})
  }

  override async onBatchEnd(context: BatchEndContext): Promise<void> {
    const { train, cancelled, learner, iteration } = context
    if (!train || cancelled) return
    const { latest } = trainerOf(learner, 'GANGuard')
    if (Object.values(latest).some((loss) => loss !== undefined && !Number.isFinite(loss))) {
      throw this.#diverged(context)
    }
    this.#watchCritic(latest.criticLoss)
    await this.#watchDiversity()
    if (this.monitor === undefined && (iteration + 1) % this.every === 0) {
      await this.#keep(generatorOf(learner), iteration + 1, 0)
    }
  }

  override async onEpochEnd({ lastMetrics, learner, iteration }: EpochEndContext): Promise<void> {
    if (this.monitor === undefined) return
    const value = lastMetrics[this.monitor]
    if (typeof value === 'number' && value < (this.#kept?.value ?? Number.POSITIVE_INFINITY)) {
      await this.#keep(generatorOf(learner), iteration, value)
    }
  }

  override onTrainEnd(_context: TrainEndContext): void {
    for (const [, copy] of this.#kept?.tensors ?? []) copy.dispose()
    this.#kept = undefined
  }

  /** Copies the generator, unless something in it is not finite. */
  async #keep(generator: GANModule['generator'], iteration: number, value: number): Promise<void> {
    const own: Tensor[] = [...generator.parameters(), ...generator.buffers()]
    const floating = own.filter(({ dtype }) => dtype.startsWith('float'))
    const sound = await scope(async () => {
      const sums = noGrad(() => stack(floating.map((tensor) => tensor.detach().sum().float())).sum())
      return Number.isFinite((await sums.data())[0])
    })
    if (!sound) return
    for (const [, copy] of this.#kept?.tensors ?? []) copy.dispose()
    const tensors = noGrad(() =>
      own.map((tensor): [Tensor, Tensor] => [tensor, tensor.detach().clone().keep()]),
    )
    this.#kept = { tensors, iteration, value }
  }

  #diverged({ learner, epoch, iteration }: BatchEndContext): GANDivergenceError {
    const trainer = trainerOf(learner, 'GANGuard')
    const { genLoss, criticLoss } = trainer.latest
    noGrad(() => {
      for (const [tensor, copy] of this.#kept?.tensors ?? []) tensor.copy_(copy)
    })
    const keptFrom = this.#kept?.iteration
    const losses = [
      criticLoss !== undefined && `the critic's loss is ${criticLoss}`,
      genLoss !== undefined && `the generator's loss is ${genLoss}`,
    ].filter(Boolean)
    return new GANDivergenceError(
      `adversarial training has broken down in batch ${iteration} (epoch ${epoch}): ${losses.join(', ')}, since the critic's ` +
        `scores are not finite. Lower the learning rate (now ${learner.optimizer.lr.toPrecision(3)}), clip gradients ` +
        '(learner.clipGrad()), and see that the pictures are finite. ' +
        (keptFrom === undefined
          ? 'No generator was kept'
          : `The generator is again what it was after batch ${keptFrom}; the critic is spoilt`),
      { epoch, iteration, keptFrom },
    )
  }

  #watchCritic(loss: number | undefined): void {
    if (loss === undefined || this.zeroLoss === 0) return
    this.#zeros = Math.abs(loss) < this.zeroLoss ? this.#zeros + 1 : 0
    if (this.#zeros < this.zeroSteps) return
    this.#warn(
      'critic',
      `the critic's loss has been below ${this.zeroLoss} for ${this.zeroSteps} of its batches: it tells real from made without fail, and ` +
        'the generator gets no gradient any more. Train the generator more often (FixedGANSwitcher), lower the critic’s rate, or use ' +
        'fewer features in the critic',
    )
  }

  async #watchDiversity(): Promise<void> {
    if (!this.#spread) return
    const [made, real] = Array.from(await this.#spread) as [number, number]
    this.#spread = undefined
    if (!(made < this.diversity * real)) return
    this.#warn(
      'diversity',
      `the generator has collapsed: its pictures differ from each other by ${made.toPrecision(2)}, real ones by ${real.toPrecision(2)}. ` +
        'Go back to an earlier checkpoint, and lower the learning rate or take larger batches',
    )
  }

  #warn(kind: string, message: string): void {
    if (this.#warned.has(kind)) return
    this.#warned.add(kind)
    this.warnings.push(message)
    process.emitWarning(message, { code: 'ANNEAL_GAN_COLLAPSE' })
  }
}

function generatorOf({ model }: { model: unknown }): GANModule['generator'] {
  return (model as GANModule).generator
}
