import { describe, expect, it } from 'vitest'
import {
  CheckpointCallback,
  DCGANTrainer,
  GradientAccumulation,
  GradientClipping,
} from '../../../callbacks/index.ts'
import { DataBunch, TensorDataset } from '../../../src/data/index.ts'
import {
  getRngState,
  manualSeed,
  noGrad,
  randint,
  randn,
  type Tensor,
  zeros,
} from '../../../src/engine/index.ts'
import { Callback, CancelFit, Learner } from '../../../src/learner/index.ts'
import { dcganGenerator, GANLearner } from '../../../src/vision/gan/index.ts'
import { temporaryFolder } from '../../io/temporaryFolder.ts'
import { outcome } from '../../learner/resumable.ts'
import { expected, pictureData } from './support.ts'

const small = { latent: 6, features: 4, silent: true, fixedNoise: 4 }

/** Stops the fit after so many batches, as a kill would. */
class Kill extends Callback {
  override order = Number.POSITIVE_INFINITY
  readonly after: number
  constructor(after: number) {
    super()
    this.after = after
  }
  override onBatchEnd({ iteration }: { iteration: number }) {
    if (iteration + 1 === this.after) throw new CancelFit()
  }
}

describe('GANLearner.dcgan', () => {
  it.each(expected.dcgan)('goes step for step with PyTorch: $size pixels', async (run) => {
    const { size, features, batch, steps, latent, epochs, rows } = run
    const data = pictureData(batch * steps, size, { batchSize: batch })
    manualSeed(42)
    const gan = GANLearner.dcgan(data, { latent, features, silent: true })
    await gan.fit(epochs)
    const { criticLosses, genLosses, realScores, fakeScoresBefore, fakeScoresAfter } = gan.recorder
    const found = rows.map((_, i) =>
      [criticLosses, genLosses, realScores, fakeScoresBefore, fakeScoresAfter].map((list) => list[i]!),
    )
    for (const [i, row] of rows.entries()) {
      for (const [j, value] of row.entries()) {
        expect(Math.abs(found[i]![j]! - value), `step ${i}, figure ${j}`).toBeLessThan(1e-4)
      }
    }
    expect(genLosses).toHaveLength(rows.length)
    const { fixedNoise } = gan.trainer as DCGANTrainer
    for (const [i, value] of run.fixedFirst.entries()) {
      expect(fixedNoise!.flatten().index(i).item()).toBeCloseTo(value, 5)
    }
    const pictures = await gan.generate(fixedNoise!)
    expect(pictures.mean().item()).toBeCloseTo(run.fixedMean, 3)
  })

  it('draws the same noise whether or not the loader has a seed', async () => {
    const noise: number[][] = []
    for (const seed of [1, undefined]) {
      const data = pictureData(8, 8, { seed, shuffle: true } as object)
      manualSeed(12)
      const gan = GANLearner.dcgan(data, small)
      await gan.fit(1)
      noise.push(Array.from(randn([3]).dataSync()))
    }
    expect(noise[1]).toEqual(noise[0])
  })

  it('takes pictures as inputs too, and finds out their size and channels', async () => {
    manualSeed(1)
    const pictures = randn([8, 1, 16, 16]).tanh()
    const classified = DataBunch.create(new TensorDataset(pictures, randint(3, [8])), null, { batchSize: 4 })
    const gan = GANLearner.dcgan(classified, small)
    await gan.fit(1)
    expect(gan.recorder.genLosses).toHaveLength(2)
    expect((await gan.generate(3)).shape).toEqual([3, 1, 16, 16])
  })

  it('has two separate Adams in one: each network steps when it is its turn, and no other', async () => {
    manualSeed(2)
    const gan = GANLearner.dcgan(pictureData(8, 8), small)
    const before = gan.model.parameters().map((parameter) => parameter.detach().clone())
    await gan.fit(1)
    const { state, paramGroups } = gan.optimizer.inner
    expect(gan.model.parameters().map((parameter) => state.get(parameter)?.step)).toEqual(before.map(() => 1))
    expect(paramGroups.map((group) => group.betas)).toEqual(paramGroups.map(() => [0.5, 0.999]))
    expect(gan.optimizer.wd).toBe(0)
    expect(gan.optimizer.lrs).toEqual([2e-4, 2e-4])
  })

  it('shows grey pictures', async () => {
    manualSeed(1)
    const data = DataBunch.create(new TensorDataset(zeros([8, 1]), randn([8, 1, 8, 8]).tanh()), null, {
      batchSize: 4,
    })
    const gan = GANLearner.dcgan(data, { ...small, channels: 1 })
    const figure = await gan.showImages({ rows: 2 })
    expect((await figure.toPng()).length).toBeGreaterThan(300)
  })

  it('shows pictures, and leaves the random stream alone', async () => {
    const gan = GANLearner.dcgan(pictureData(8, 8), small)
    const before = getRngState()
    const figure = await gan.showImages({ rows: 3 })
    expect(getRngState()).toEqual(before)
    expect((await figure.toPng()).length).toBeGreaterThan(500)
    await gan.fit(1)
    expect((await gan.recorder.plotLosses().toPng()).length).toBeGreaterThan(500)
    const noise = randn([2, 6, 1, 1])
    const [first, second] = [await gan.generate(noise), await gan.generate(noise, { batchSize: 1 })]
    expect(first.sub(second).abs().max().item()).toBeLessThan(1e-5)
  })

  it('fills the columns of the epoch, and can be validated', async () => {
    const gan = GANLearner.dcgan(pictureData(16, 8), small)
    await gan.fit(2)
    const { values } = gan.recorder.epochs[1]!
    expect(Object.keys(values)).toEqual(['trainLoss', 'genLoss', 'criticLoss'])
    expect(values.genLoss).toBeCloseTo(values.trainLoss as number, 12)
    expect(gan.recorder.toCsv()).toMatch(/^epoch,trainLoss,genLoss,criticLoss,time/)
    expect(String(await gan.summary())).toMatch(/ConvTranspose2d/)
    expect((await gan.validate(gan.data.fixDl!)).loss).toBeGreaterThan(0)
    expect(gan.model.genMode).toBe(true)
  })

  it('goes with schedules, mixed precision and clipping', async () => {
    manualSeed(3)
    const gan = GANLearner.dcgan(pictureData(32, 8), small)
    await gan.fitOneCycle(2, { maxLr: 1e-3 })
    expect(Math.max(...gan.recorder.lrs)).toBe(1e-3)
    expect(gan.recorder.lrs[0]).toBeCloseTo(4e-5, 10)

    const runs: Record<string, number[]> = {}
    for (const kind of ['float32', 'bfloat16', 'float16', 'clipped']) {
      manualSeed(4)
      const learner = GANLearner.dcgan(pictureData(32, 8), { ...small, features: 8 })
      if (kind === 'bfloat16') learner.toBf16()
      if (kind === 'float16') learner.toFp16()
      if (kind === 'clipped') learner.callbacks.push(new GradientClipping(1e-3))
      await learner.fit(1)
      runs[kind] = [...learner.recorder.criticLosses, ...learner.recorder.genLosses]
    }
    expect(runs.float16).not.toEqual(runs.float32)
    for (const loss of runs.float16!) expect(Math.abs(loss - 1)).toBeLessThan(0.6)
    expect(runs.bfloat16).not.toEqual(runs.float32)
    expect(runs.clipped!.slice(1)).not.toEqual(runs.float32!.slice(1))
    for (const [i, loss] of runs.float32!.entries())
      expect(Math.abs(runs.bfloat16![i]! - loss)).toBeLessThan(0.03)
  })

  it('clips the discriminator’s gradients as well as the generator’s', async () => {
    // Plain steps of length lr times the gradient cannot be told from Adam's: its second moments can.
    manualSeed(4)
    const gan = GANLearner.dcgan(pictureData(8, 8), small).clipGrad(1e-3)
    await gan.fit(1)
    for (const network of [gan.model.generator, gan.model.critic]) {
      const squares = network
        .parameters()
        .map((parameter) => (gan.optimizer.inner.state.get(parameter)!.expAvgSq as Tensor).sum().item())
      const norm = Math.sqrt(squares.reduce((sum, value) => sum + value, 0) / (1 - 0.999))
      expect(norm).toBeLessThanOrEqual(1e-3 * 1.001)
      expect(norm).toBeGreaterThan(0.99e-3)
    }
  })

  it('resumes to the bit, wherever it was killed', async () => {
    const folder = await temporaryFolder()
    const make = (data: number) => {
      manualSeed(data)
      return GANLearner.dcgan(pictureData(24, 8, { shuffle: true }), { ...small, path: folder })
    }
    const whole = make(7)
    await whole.fitOneCycle(2, { maxLr: 1e-3 })
    for (const after of [2, 3, 5]) {
      const killed = make(7)
      const save = new CheckpointCallback({ every: 1, name: `dcgan-${after}` })
      await killed.fitOneCycle(2, { maxLr: 1e-3, callbacks: [save, new Kill(after)] })
      manualSeed(999)
      const resumed = await Learner.resume(`dcgan-${after}`, make(7))
      const nothing = new CheckpointCallback({ every: 1, name: `dcgan-${after}` })
      await resumed.fitOneCycle(2, { maxLr: 1e-3, callbacks: [nothing] })
      expect(outcome(resumed)).toEqual(outcome(whole))
      for (const name of ['genLosses', 'criticLosses', 'realScores', 'fakeScoresAfter'] as const) {
        expect(resumed.recorder[name]).toEqual(whole.recorder[name])
      }
    }
  })

  it('has a finder that leaves no trace', async () => {
    const run = async (finds: boolean) => {
      manualSeed(8)
      const gan = GANLearner.dcgan(pictureData(24, 8, { seed: undefined, shuffle: true } as object), small)
      if (finds) {
        const found = await gan.lrFind({ numIt: 12, startLr: 1e-6, endLr: 1e-2 })
        expect(found.losses.length).toBeGreaterThan(5)
        await gan.profile({ batches: 1, warmup: 1 })
        expect((await gan.findBatchSize({ max: 8 })).batchSize).toBe(8)
        await gan.fit(1, { fastDevRun: true })
      }
      await gan.fit(1)
      return outcome(gan)
    }
    expect(await run(true)).toEqual(await run(false))
  })

  it('keeps what the user has frozen', async () => {
    manualSeed(5)
    const gan = GANLearner.dcgan(pictureData(16, 8), small)
    const frozen = gan.model.critic.parameters()[0]!
    frozen.requiresGrad = false
    const before = frozen.detach().clone()
    await gan.fit(1)
    expect(frozen.requiresGrad).toBe(false)
    expect(frozen.equal(before)).toBe(true)
    expect(gan.model.parameters().filter(({ requiresGrad }) => !requiresGrad)).toEqual([frozen])
  })
})

describe('bad input', () => {
  it('a size that cannot be halved down to 4', () => {
    expect(() => GANLearner.dcgan(pictureData(8, 20), small)).toThrow(/20 pixels.*16 or 32.*option size/)
  })

  it('pictures of another size, or of other channels, than the networks', async () => {
    await expect(GANLearner.dcgan(pictureData(8, 8), { ...small, size: 16 }).fit(1)).rejects.toThrow(
      /pictures are 8 by 8.*made for 16 by 16.*size: 8/,
    )
    await expect(GANLearner.dcgan(pictureData(8, 8), { ...small, channels: 1 }).fit(1)).rejects.toThrow(
      /3 channel\(s\).*made for 1.*channels: 3/,
    )
  })

  it('a batch of one with batch norm', async () => {
    const gan = GANLearner.dcgan(pictureData(2, 8, { batchSize: 1 }), small)
    await expect(gan.fit(1)).rejects.toThrow(/batch of one.*BatchNorm2d.*larger batchSize/)
  })

  it('batches without pictures', async () => {
    const data = DataBunch.create(new TensorDataset(zeros([8, 3]), randint(2, [8])), null, { batchSize: 4 })
    await expect(GANLearner.dcgan(data, { ...small, size: 8 }).fit(1)).rejects.toThrow(
      /learns from pictures.*\[4, 3\]/,
    )
  })

  it('gradient accumulation', async () => {
    const gan = GANLearner.dcgan(pictureData(16, 8), { ...small, callbacks: [new GradientAccumulation(2)] })
    await expect(gan.fit(1)).rejects.toThrow(/GradientAccumulation.*larger batchSize/)
  })

  it('options that cannot be', () => {
    const data = pictureData(8, 8)
    expect(() => GANLearner.dcgan(data, { beta1: 1 })).toThrow(/beta1/)
    expect(() => GANLearner.dcgan(data, { latent: 0 })).toThrow(/latent/)
    expect(() => GANLearner.dcgan(data, { filters: 3 } as object)).toThrow(/unknown option filters/)
    expect(() => new DCGANTrainer({ fixedNoise: -1 })).toThrow(/fixedNoise/)
  })

  it('a discriminator that outputs NaN: says so, and keeps the best generator', async () => {
    manualSeed(6)
    class Poison extends Callback {
      override onBatchBegin({ learner, iteration }: { learner: Learner; iteration: number }) {
        if (iteration !== 3) return
        const { critic } = (learner as unknown as GANLearner).model
        noGrad(() => critic.parameters()[0]!.fill_(Number.NaN))
      }
    }
    const { GANGuard } = await import('../../../callbacks/index.ts')
    const guard = new GANGuard({ every: 2 })
    const gan = GANLearner.dcgan(pictureData(48, 8), { ...small, guard, callbacks: [new Poison()] })
    const kept: number[] = []
    class Sum extends Callback {
      override onBatchEnd({ learner }: { learner: Learner }) {
        kept.push((learner as unknown as GANLearner).model.generator.parameters()[0]!.detach().sum().item())
      }
    }
    gan.callbacks.push(new Sum())
    const failed = gan.fit(1)
    await expect(failed).rejects.toThrow(
      /batch 3.*not finite.*Lower the learning rate.*what it was after batch 2/,
    )
    await expect(failed).rejects.toMatchObject({ keptFrom: 2, iteration: 3 })
    expect(gan.model.generator.parameters()[0]!.detach().sum().item()).toBe(kept[1])
    const pictures = await gan.generate(4)
    expect(pictures.isfinite().all().item()).toBe(1)
  })

  it('networks that are none', () => {
    const data = pictureData(8, 8)
    const critic = dcganGenerator({ size: 8, features: 4 })
    const losses = { generatorLoss: (x: Tensor) => x.mean(), criticLoss: (x: Tensor) => x.mean() }
    expect(() => new GANLearner(data, 3 as never, critic, losses)).toThrow(/generator must be a module/)
    expect(() => new GANLearner(data, critic, critic, { ...losses, criticLoss: 3 as never })).toThrow(
      /criticLoss/,
    )
  })
})
