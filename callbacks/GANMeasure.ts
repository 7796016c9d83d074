import { ConfigError, DataError } from '../src/engine/errors.ts'
import { cat, getRngState, manualSeed, randn, setRngState, type Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import { type BatchLoader, tensorsOf } from '../src/learner/data.ts'
import { eachBatch } from '../src/learner/eachBatch.ts'
import type { EpochEndContext, TrainBeginContext } from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import type { GANLearner } from '../src/vision/gan/GANLearner.ts'
import { extractFeatures, type FeatureNetwork } from '../src/vision/gan/measures/features.ts'
import {
  type FeatureStatistics,
  featureStatistics,
  frechetDistance,
} from '../src/vision/gan/measures/frechetDistance.ts'
import { kernelDistance } from '../src/vision/gan/measures/kernelDistance.ts'
import { precisionRecall } from '../src/vision/gan/measures/precisionRecall.ts'

/** A value that GANMeasure adds to an epoch. */
export type GANMeasureName = 'frechetDistance' | 'kernelDistance' | 'precision' | 'recall'

const allMeasures: readonly GANMeasureName[] = ['frechetDistance', 'kernelDistance', 'precision', 'recall']

export interface GANMeasureOptions {
  /** Makes features of pictures as the data brings them, in [-1, 1]: normalise and resize in a function, if need be. */
  network: FeatureNetwork
  /** Pictures of each kind. Default 1000, or as many real ones as there are. */
  samples?: number | undefined
  /** Default: all. */
  measures?: readonly GANMeasureName[] | undefined
  /** Measure after every so many epochs, and null in the others. Default 1. */
  every?: number | undefined
  /** What the noise of the made pictures follows from. The engine's generator is left alone. Default 0. */
  seed?: number | undefined
}

/**
 * Measures after each epoch how far the generator's pictures (in evaluation mode, of the same noise each time) are from the real ones, by
 * features of a network: columns `frechetDistance`, `kernelDistance`, `precision` and `recall`, which can be monitored. Compare figures of
 * one network and one number of samples only.
 */
export class GANMeasure extends Callback {
  /** After the trainer, before the recorder. */
  override order = -15
  override readonly runsInLrFind = false
  override readonly extraMetrics: readonly GANMeasureName[]
  readonly network: FeatureNetwork
  readonly samples: number
  readonly every: number
  readonly seed: number
  /** The real pictures that were measured against last. */
  #real: { dataset: object; features: Tensor; statistics: FeatureStatistics } | undefined

  constructor(options: GANMeasureOptions) {
    super()
    rejectUnknownOptions('GANMeasure', options ?? {}, ['network', 'samples', 'measures', 'every', 'seed'])
    const { network, samples = 1000, measures = allMeasures, every = 1, seed = 0 } = options ?? {}
    if (!network) throw new ConfigError('GANMeasure: give it the network to compare pictures by')
    checkCount('GANMeasure', 'samples', samples, 5)
    checkCount('GANMeasure', 'every', every, 1)
    const unknown = measures.filter((name) => !allMeasures.includes(name))
    if (unknown.length > 0 || measures.length === 0) {
      throw new ConfigError(
        `GANMeasure: measures are some of ${allMeasures.join(', ')}, got ${unknown.join(', ') || 'none'}`,
      )
    }
    this.network = network
    this.samples = samples
    this.extraMetrics = measures
    this.every = every
    this.seed = seed
  }

  override async onTrainBegin({ learner }: TrainBeginContext): Promise<void> {
    const { fixDl } = learner.data
    if (!fixDl) throw new DataError('GANMeasure: the data needs a loader of all pictures in order, fixDl')
    const { dataset } = fixDl
    if (this.#real?.dataset === dataset) return
    const features = await realFeatures(fixDl, this.samples, this.network)
    const statistics = await featureStatistics(features)
    this.#real?.features.dispose()
    this.#real = { dataset, features, statistics }
  }

  override async onEpochEnd({ learner, epoch, epochs }: EpochEndContext) {
    const due = (epoch + 1) % this.every === 0 || epoch + 1 === epochs
    if (!due) return { lastMetrics: Object.fromEntries(this.extraMetrics.map((name) => [name, null])) }
    return { lastMetrics: await this.measure(learner as unknown as GANLearner) }
  }

  /** Measures a learner's generator now, against the real pictures of its data: they are taken in where they are others than before. */
  async measure(learner: GANLearner): Promise<Record<string, number>> {
    await this.onTrainBegin({ learner } as unknown as TrainBeginContext)
    const { features: real, statistics } = this.#real!
    const { latent } = learner.trainer
    if (latent === undefined) throw new ConfigError('GANMeasure: the generator must take noise')
    const noise = this.#noise([real.size(0), latent, 1, 1])
    const pictures = await learner.generate(noise)
    const fake = await extractFeatures(pictures, this.network)
    pictures.dispose()
    noise.dispose()
    const wants = (...names: GANMeasureName[]) => names.some((name) => this.extraMetrics.includes(name))
    const values: Record<string, number> = {}
    if (wants('frechetDistance')) values.frechetDistance = await frechetDistance(statistics, fake)
    if (wants('kernelDistance')) values.kernelDistance = (await kernelDistance(real, fake)).mean
    if (wants('precision', 'recall')) Object.assign(values, await precisionRecall(real, fake))
    fake.dispose()
    return Object.fromEntries(this.extraMetrics.map((name) => [name, values[name]!]))
  }

  #noise(shape: number[]): Tensor {
    const state = getRngState()
    try {
      manualSeed(this.seed)
      return randn(shape)
    } finally {
      setRngState(state)
    }
  }
}

/** Features of the first pictures of a loader: of its targets, or of its inputs where those are none. */
async function realFeatures(loader: BatchLoader, count: number, network: FeatureNetwork): Promise<Tensor> {
  const parts: Tensor[] = []
  let left = count
  await eachBatch(loader, async ({ x, y }) => {
    const pictures = [...tensorsOf(y), ...tensorsOf(x)].find((each) => each.ndim === 4)
    if (!pictures) throw new DataError('GANMeasure: the data brings no pictures [N, C, H, W]')
    const part = await extractFeatures(pictures.index(`:${Math.min(left, pictures.size(0))}`), network)
    parts.push(part)
    left -= part.size(0)
    return left <= 0 ? 'enough' : undefined
  })
  const all = cat(parts, 0).keep()
  for (const part of parts) part.dispose()
  return all
}
