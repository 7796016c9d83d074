import { readFileSync } from 'node:fs'
import { DataBunch, type DataBunchOptions, TensorDataset } from '../../../src/data/index.ts'
import { manualSeed, randn, type Tensor, zeros } from '../../../src/engine/index.ts'
import { type BatchEndContext, Callback } from '../../../src/learner/index.ts'
import * as nn from '../../../src/nn/index.ts'
import {
  GANLearner,
  type GANLearnerOptions,
  NoopLoss,
  WassersteinLoss,
} from '../../../src/vision/gan/index.ts'

/** What PyTorch and NumPy give; see test/fixtures/vision/make_gan.py. */
export const expected = JSON.parse(
  readFileSync(new URL('../../fixtures/vision/gan.json', import.meta.url), 'utf8'),
) as {
  dcgan: {
    size: number
    features: number
    batch: number
    steps: number
    latent: number
    epochs: number
    /** Loss_D, Loss_G, D(x), D(G(z1)), D(G(z2)) */
    rows: [number, number, number, number, number][]
    fixedMean: number
    fixedFirst: number[]
  }[]
  gradientPenalty: number[][]
  spectral: { rows: number[][]; u: number[] }
  measures: {
    real: number[][]
    fake: number[][]
    frechet: number
    kernel: number
    precision: number
    recall: number
  }[]
}

/** Pictures in [-1, 1] as targets, drawn from `seed`. */
export function pictureData(
  count: number,
  size: number,
  options: DataBunchOptions & { pictureSeed?: number } = {},
) {
  const { pictureSeed = 5, ...rest } = options
  manualSeed(pictureSeed)
  const pictures = randn([count, 3, size, size]).tanh()
  const dataset = new TensorDataset(zeros([count, 1]), pictures)
  return DataBunch.create(dataset, null, { batchSize: 8, shuffle: false, seed: 1, ...rest } as object)
}

/** Noise of four numbers as input, "pictures" of [N, 1, 2, 2] as target. */
export function smallData(batches = 8, validBatches = 0) {
  manualSeed(3)
  const set = (count: number) => new TensorDataset(randn([count, 4]), randn([count, 1, 2, 2]).add(1))
  return DataBunch.create(set(4 * batches), validBatches > 0 ? set(4 * validBatches) : null, {
    batchSize: 4,
    shuffle: false,
    seed: 1,
  })
}

class Picture extends nn.Module {
  override forward(x: Tensor): Tensor {
    return x.reshape([-1, 1, 2, 2])
  }
}

/** A generator and a critic of a few weights. */
export function smallNetworks() {
  manualSeed(9)
  const generator = new nn.Sequential(new nn.Linear(4, 6), new nn.ReLU(), new nn.Linear(6, 4), new Picture())
  const critic = new nn.Sequential(
    new nn.Flatten(),
    new nn.Linear(4, 5),
    new nn.LeakyReLU(0.2),
    new nn.Linear(5, 1),
  )
  return { generator, critic }
}

export function smallGan(
  data: ReturnType<typeof smallData>,
  options: Partial<GANLearnerOptions> = {},
): GANLearner {
  const { generator, critic } = smallNetworks()
  return new GANLearner(data, generator, critic, {
    generatorLoss: new NoopLoss(),
    criticLoss: new WassersteinLoss(),
    lr: 1e-2,
    silent: true,
    ...options,
  })
}

/** Whose turn each batch was: G or C; and g or c in validation. */
export class Turns extends Callback {
  turns = ''
  override onBatchEnd({ train, learner }: BatchEndContext) {
    const { genMode } = (learner as unknown as GANLearner).model
    if (train) this.turns += genMode ? 'G' : 'C'
    else this.turns += genMode ? 'g' : 'c'
  }
  override onEpochEnd() {
    this.turns += ' '
  }
  // Before switchers, which give the turn away when a batch ends.
  override order = -8
}
