import { describe, expect, it } from 'vitest'
import { GANMeasure, SaveModelCallback } from '../../../callbacks/index.ts'
import {
  getRngState,
  manualSeed,
  memoryStats,
  randn,
  type Tensor,
  tensor,
} from '../../../src/engine/index.ts'
import * as nn from '../../../src/nn/index.ts'
import {
  extractFeatures,
  featureStatistics,
  frechetDistance,
  GANLearner,
  kernelDistance,
  precisionRecall,
} from '../../../src/vision/gan/index.ts'
import { temporaryFolder } from '../../io/temporaryFolder.ts'
import { expected, pictureData } from './support.ts'

const matrix = (rows: number[][]) => tensor(rows, { dtype: 'float64' })

describe.each(expected.measures)('measures of $real.length and $fake.length pictures', (numbers) => {
  const [real, fake] = [matrix(numbers.real), matrix(numbers.fake)]

  it('the Fréchet distance is NumPy’s, also of fewer pictures than features', async () => {
    const distance = await frechetDistance(real, fake)
    expect(Math.abs(distance - numbers.frechet)).toBeLessThan(1e-6 * numbers.frechet)
    expect(await frechetDistance(await featureStatistics(real), fake)).toBe(distance)
    expect(Math.abs((await frechetDistance(fake, real)) - distance)).toBeLessThan(1e-6 * distance)
    expect(await frechetDistance(real, real)).toBeLessThan(1e-6 * distance)
  })

  it('the kernel distance is NumPy’s', async () => {
    const count = Math.min(real.size(0), fake.size(0))
    if (real.size(0) === fake.size(0)) {
      expect((await kernelDistance(real, fake)).mean).toBeCloseTo(numbers.kernel, 6)
    } else {
      // Of subsets, the expectation is that of all pictures.
      const { mean, std } = await kernelDistance(real, fake, { subsets: 300, subsetSize: count - 1 })
      expect(Math.abs(mean - numbers.kernel)).toBeLessThan((5 * std) / Math.sqrt(300))
      expect(std).toBeGreaterThan(0)
    }
  })

  it('precision and recall are NumPy’s', async () => {
    const { precision, recall } = await precisionRecall(real, fake, { k: 3 })
    expect(precision).toBeCloseTo(numbers.precision, 12)
    expect(recall).toBeCloseTo(numbers.recall, 12)
  })
})

describe('measures', () => {
  it('the Fréchet distance of normal numbers has a closed form', async () => {
    // Of one feature: (μ₁ - μ₂)² + (σ₁ - σ₂)².
    const [a, b] = [matrix([[1], [3]]), matrix([[2], [8]])]
    const deviation = (x: number, y: number) => Math.abs(x - y) / Math.SQRT2
    expect(await frechetDistance(a, b)).toBeCloseTo(9 + (deviation(1, 3) - deviation(2, 8)) ** 2, 10)
  })

  it('the Fréchet distance of few pictures is that of their covariances', async () => {
    manualSeed(6)
    const [few, fewer, many] = [12, 8, 40].map((count) => randn([count, 20], { dtype: 'float64' }))
    for (const [a, b] of [
      [few, fewer],
      [few, many],
      [many, fewer],
    ] as const) {
      const [one, other] = await Promise.all([a!, b!].map(featureStatistics))
      expect([one!.factor?.length, other!.factor?.length]).toEqual(
        [a!, b!].map((set) => (set === many ? undefined : set.numel)),
      )
      const whole = await frechetDistance({ ...one!, factor: undefined }, { ...other!, factor: undefined })
      expect(Math.abs((await frechetDistance(a!, b!)) - whole)).toBeLessThan(1e-6 * whole)
      expect(Math.abs((await frechetDistance(b!, a!)) - whole)).toBeLessThan(1e-6 * whole)
    }
  })

  it('leave no tensors behind', async () => {
    const [a, b] = [randn([20, 3]), randn([30, 3])]
    const before = memoryStats().tensors
    await kernelDistance(a, b, { subsets: 3 })
    await frechetDistance(a, b)
    await precisionRecall(a, b)
    expect(memoryStats().tensors).toBe(before)
  })

  it('leave the random stream alone, and say what cannot be', async () => {
    const [a, b] = [randn([20, 3]), randn([30, 3])]
    const before = getRngState()
    const first = await kernelDistance(a, b, { subsets: 3, subsetSize: 5 })
    expect(getRngState()).toEqual(before)
    expect(await kernelDistance(a, b, { subsets: 3, subsetSize: 5 })).toEqual(first)
    expect(await kernelDistance(a, b, { subsets: 3, subsetSize: 5, seed: 1 })).not.toEqual(first)
    await expect(kernelDistance(a, b, { subsetSize: 21 })).rejects.toThrow(/from 2 to 20/)
    await expect(frechetDistance(a, randn([4, 2]))).rejects.toThrow(/3 and of 2 numbers/)
    await expect(frechetDistance(randn([1, 3]), a)).rejects.toThrow(/at least 2/)
    await expect(
      frechetDistance(
        a,
        tensor([
          [Number.NaN, 1, 1],
          [1, 2, 3],
        ]),
      ),
    ).rejects.toThrow(/not finite/)
    await expect(precisionRecall(a, b, { k: 20 })).rejects.toThrow(/at least 21/)
    await expect(precisionRecall(a, randn([30]))).rejects.toThrow(/\[N, F\]/)
  })

  it('take features from networks and functions, in evaluation mode', async () => {
    const network = new nn.Sequential(new nn.Conv2d(3, 5, 3), new nn.BatchNorm2d(5))
    const pictures = randn([7, 3, 6, 6])
    const features = await extractFeatures(pictures, network, { batchSize: 3 })
    expect([features.shape, features.dtype]).toEqual([[7, 5], 'float64'])
    expect(network.training).toBe(true)
    const whole = network.eval().forward(pictures).mean([2, 3]).double()
    expect(features.sub(whole).abs().max().item()).toBeLessThan(1e-6)
    const flat = await extractFeatures([pictures, pictures], (x: Tensor) => x.flatten(1))
    expect(flat.shape).toEqual([14, 108])
    await expect(extractFeatures(pictures, (x: Tensor) => x.mean())).rejects.toThrow(/must give \[N, F\]/)
  })
})

describe('GANMeasure', () => {
  it('adds its columns, and a generator is chosen by them', async () => {
    const folder = await temporaryFolder()
    manualSeed(3)
    const measure = new GANMeasure({ network: (x: Tensor) => x.mean([2, 3]), samples: 20 })
    const gan = GANLearner.dcgan(pictureData(24, 8), {
      ...{ latent: 6, features: 4, fixedNoise: 0, silent: true, path: folder },
      callbacks: [measure, new SaveModelCallback({ monitor: 'frechetDistance', mode: 'min', name: 'best' })],
    })
    await gan.fit(3, { lr: 2e-3 })
    const column = gan.recorder.epochs.map(({ values }) => values.frechetDistance as number)
    expect(Object.keys(gan.recorder.epochs[0]!.values)).toEqual([
      'trainLoss',
      'genLoss',
      'criticLoss',
      'frechetDistance',
      'kernelDistance',
      'precision',
      'recall',
    ])
    // The best is back, and the same noise gives the same figure.
    expect((await measure.measure(gan)).frechetDistance).toBeCloseTo(Math.min(...column), 8)
  })

  it('measures against the pictures of the learner that is trained', async () => {
    const network = (x: Tensor) => x.mean([2, 3])
    const measure = new GANMeasure({ network, samples: 12, measures: ['frechetDistance'] })
    const run = async (pictureSeed: number, callback: GANMeasure) => {
      const data = pictureData(16, 8, { pictureSeed })
      const gan = GANLearner.dcgan(data, { latent: 6, features: 4, silent: true })
      await gan.fit(1, { callbacks: [callback] })
      return gan.recorder.epochs[0]!.values.frechetDistance
    }
    const first = await run(1, measure)
    const second = await run(2, measure)
    expect(second).toBe(await run(2, new GANMeasure({ network, samples: 12, measures: ['frechetDistance'] })))
    expect(second).not.toBe(first)
  })

  it('leaves training as it is', async () => {
    const run = async (measures: boolean) => {
      manualSeed(4)
      const gan = GANLearner.dcgan(pictureData(16, 8), { latent: 6, features: 4, silent: true })
      const network = (x: Tensor) => x.mean([2, 3])
      if (measures)
        gan.callbacks.push(new GANMeasure({ network, samples: 8, measures: ['recall'], every: 2 }))
      await gan.fit(3)
      return gan.recorder
    }
    const [measured, plain] = [await run(true), await run(false)]
    expect(measured.genLosses).toEqual(plain.genLosses)
    expect(measured.epochs.map(({ values }) => values.recall === null)).toEqual([true, false, false])
    expect(() => new GANMeasure({} as never)).toThrow(/network/)
    expect(() => new GANMeasure({ network: (x: Tensor) => x, measures: ['fid' as 'recall'] })).toThrow(
      /got fid/,
    )
  })
})
