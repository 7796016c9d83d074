import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  CheckpointCallback,
  EMACallback,
  GradientAccumulation,
  SaveModelCallback,
  SWACallback,
  ValidateEvery,
} from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { getRngState, manualSeed, memoryStats, randn } from '../../src/engine/index.ts'
import { Callback, CancelFit, Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { Canned, Fail, lineLearner, on, weightOf } from '../learner/support.ts'

/** The weight after each training batch, in each validation, and at the end of each epoch (after the average has gone). */
class Weights extends Callback {
  override order = 70
  readonly trained: number[] = []
  readonly validated: number[] = []
  readonly ended: number[] = []
  override onBatchEnd({ train, learner, numBatch }: { train: boolean; learner: Learner; numBatch: number }) {
    if (train) this.trained.push(weightOf(learner))
    else if (numBatch === 0) this.validated.push(weightOf(learner))
  }
  override onEpochEnd({ learner }: { learner: Learner }) {
    this.ended.push(weightOf(learner))
  }
}

const near = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 5))

/** Averages by hand, from the start of 1. */
function exponential(weights: readonly number[], decayOf: (step: number) => number): number[] {
  let average = 1
  return weights.map((weight, i) => {
    const decay = decayOf(i + 1)
    average = decay * average + (1 - decay) * weight
    return average
  })
}

async function fit(callback: Callback, epochs = 3, more: Callback[] = []) {
  const learner = lineLearner()
  const weights = new Weights()
  await learner.fit(epochs, { lr: 0.05, callbacks: [weights, callback, ...more] })
  return { learner, weights }
}

describe('EMACallback', () => {
  it('averages after each step; the averages validate and stay, training goes on with its own weights', async () => {
    const plain = new Weights()
    await lineLearner().fit(3, { lr: 0.05, callbacks: [plain] })
    for (const [options, decay] of [
      [{ decay: 0.9 }, () => 0.9],
      [{ decay: 0.5, warmUp: true }, (step: number) => Math.min(0.5, (1 + step) / (10 + step))],
    ] as const) {
      const { learner, weights } = await fit(new EMACallback(options))
      expect(weights.trained).toEqual(plain.trained)
      const averages = exponential(plain.trained, decay)
      expect(weights.validated).toEqual(near([averages[4]!, averages[9]!, averages[14]!]))
      expect(weights.ended).toEqual([plain.trained[4], plain.trained[9], weights.validated[2]])
      expect(weightOf(learner)).toBe(weights.validated[2])
    }
  })

  it('validates with the weights of training, if told', async () => {
    const { learner, weights } = await fit(new EMACallback({ decay: 0.9, validate: false }))
    expect(weights.validated).toEqual([4, 9, 14].map((i) => weights.trained[i]))
    expect(weightOf(learner)).toBeCloseTo(exponential(weights.trained, () => 0.9)[14]!, 5)
  })

  it('counts steps, not batches, when gradients accumulate', async () => {
    const { learner, weights } = await fit(new EMACallback({ decay: 0.5 }), 1, [new GradientAccumulation(5)])
    expect(weightOf(learner)).toBeCloseTo(0.5 + 0.5 * weights.trained[4]!, 6)
  })

  it('keeps out of what a callback validates and predicts in the middle of a fit', async () => {
    const run = async (...more: Callback[]) => {
      const average = new EMACallback({ decay: 0.9 })
      const learner = lineLearner({ callbacks: [average, new CheckpointCallback({ every: 'interrupt' })] })
      const weights = new Weights()
      await learner.fit(3, { lr: 0.05, callbacks: [weights, ...more] })
      return [weights.trained, weights.validated, weightOf(learner)]
    }
    class Look extends Callback {
      override order = 70
      async look({ learner }: { learner: Learner }) {
        const before = weightOf(learner)
        const { loss } = await learner.validate()
        const { predictions } = await learner.getPredictions()
        expect(weightOf(learner)).toBe(before)
        expect(loss).toBeGreaterThan(0)
        expect(predictions.shape).toEqual([4, 1])
      }
      override async onBatchEnd(context: { learner: Learner; train: boolean }) {
        if (context.train) await this.look(context)
      }
      override async onEpochEnd(context: { learner: Learner }) {
        await this.look(context)
      }
    }
    expect(await run(new Look())).toEqual(await run())
  })

  it('is what SaveModelCallback saves, and loads at the end', async () => {
    const path = await temporaryFolder()
    const learner = lineLearner({ path })
    const weights = new Weights()
    const save = new SaveModelCallback({ name: 'best' })
    await learner.fit(3, { lr: 0.05, callbacks: [new EMACallback({ decay: 0.5 }), weights, save] })
    expect(existsSync(join(path, 'models', 'best.safetensors'))).toBe(true)
    expect(weightOf(learner)).toBe(weights.validated[save.savedEpochs.at(-1)!])
  })

  it.each([
    ['cancelled', () => new CancelFit()],
    ['failing', () => new Error('out of luck')],
  ])('leaves the best model that was saved after a %s fit, wherever it ended', async (_title, make) => {
    const leave = (event: string, epoch: number, order?: number) =>
      on<{ epoch: number; numBatch: number }>(
        event,
        (context) => {
          if (context.epoch === epoch && context.numBatch > 0) throw make()
        },
        order,
      )
    for (const end of [
      leave('onBatchBegin', 2),
      leave('onBackwardEnd', 2),
      leave('onStepEnd', 2, 80),
      leave('onEpochEnd', 1, 10),
      leave('onEpochEnd', 1, 80),
    ]) {
      for (const average of [new EMACallback({ decay: 0.5 }), new SWACallback({ startEpoch: 0 })]) {
        const learner = lineLearner({ path: await temporaryFolder() })
        const weights = new Weights()
        // The first epoch is the best.
        const save = new SaveModelCallback({ name: 'best' })
        const callbacks = [average, weights, save, end, new Canned([1, 2, 3])]
        await learner
          .fit(3, { lr: 0.05, callbacks })
          .catch(({ message }) => expect(message).toBe('out of luck'))
        expect(save.savedEpochs).toEqual([0])
        expect(weights.trained.length).toBeGreaterThanOrEqual(10)
        expect(weightOf(learner)).toBe(weights.validated[0])
        const saved = lineLearner({ path: learner.path })
        await saved.load('best')
        expect(weightOf(saved)).toBe(weights.validated[0])
      }
    }
  })

  it('leaves the weights of training after an error, and the averages after a cancelled fit', async () => {
    const learner = lineLearner()
    const weights = new Weights()
    // In the second batch of validation.
    await expect(
      learner.fit(3, { lr: 0.05, callbacks: [weights, new EMACallback({ decay: 0.9 }), new Fail(6)] }),
    ).rejects.toThrow('out of luck')
    expect(weightOf(learner)).toBe(weights.trained[4])
    class Cancel extends Callback {
      override onEpochBegin({ epoch }: { epoch: number }) {
        if (epoch === 1) throw new CancelFit()
      }
    }
    const cancelled = await fit(new EMACallback({ decay: 0.9 }), 3, [new Cancel()])
    expect(weightOf(cancelled.learner)).toBe(cancelled.weights.validated[0])
    expect(cancelled.weights.trained).toHaveLength(5)
  })

  it('keeps memory level, and stays out of validation and sweeps', async () => {
    const learner = lineLearner({ callbacks: [new EMACallback()] })
    await learner.fit(1)
    const before = memoryStats().tensors
    await learner.fit(3)
    await learner.lrFind({ numIt: 10 })
    await learner.validate()
    expect(memoryStats().tensors).toBeLessThanOrEqual(before)
  })

  it('refuses what cannot be', () => {
    expect(() => new EMACallback({ decay: 1 })).toThrow(/decay must be at least 0 and below 1, got 1/)
    expect(() => new EMACallback({ decay: Number.NaN })).toThrow(/got NaN/)
    expect(() => new EMACallback({ batchNorm: 'none' as 'average' })).toThrow(/got none/)
    expect(() => new EMACallback({ momentum: 0.9 } as never)).toThrow(/unknown option momentum/)
    expect(() => new SWACallback({ startEpoch: -1 })).toThrow(/startEpoch/)
    expect(() => new SWACallback({ start: 3 } as never)).toThrow(/unknown option start;/)
    expect(() => new SWACallback({ batchNorm: 1 as never })).toThrow(/got 1/)
  })
})

describe('SWACallback', () => {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

  it('averages the weights at the ends of the last epochs', async () => {
    const { learner, weights } = await fit(new SWACallback(), 8) // epochs 6 and 7
    const ends = [0, 1, 2, 3, 4, 5, 6, 7].map((epoch) => weights.trained[5 * epoch + 4]!)
    expect(weights.validated).toEqual(near([...ends.slice(0, 7), mean(ends.slice(6))]))
    expect(weightOf(learner)).toBe(weights.validated[7])
    const from = await fit(new SWACallback({ startEpoch: 1 }), 4)
    expect(weightOf(from.learner)).toBeCloseTo(mean([9, 14, 19].map((i) => from.weights.trained[i]!)), 6)
    await expect(fit(new SWACallback({ startEpoch: 4 }), 4)).rejects.toThrow(/4 is never reached in 4 epoch/)
  })

  it('does not count what is validated in the middle of an epoch', async () => {
    const run = async (...more: Callback[]) => {
      const average = new SWACallback({ startEpoch: 0 })
      const learner = lineLearner({ callbacks: [average, ...more] })
      const weights = new Weights()
      await learner.fit(3, { lr: 0.05, callbacks: [weights] })
      expect(average.epochs).toBe(3)
      return { learner, weights }
    }
    const { learner, weights } = await run(new ValidateEvery(1))
    const ends = [4, 9, 14].map((i) => weights.trained[i]!)
    expect(weightOf(learner)).toBeCloseTo(mean(ends), 6)
    expect(weightOf(learner)).toBe(weightOf((await run()).learner))
    const [first, second, third] = ends as [number, number, number]
    const regular = [first, (first + second) / 2, (first + second + third) / 3]
    expect((await run()).weights.validated).toEqual(near(regular))
  })

  it('averages without validation data too, and sets its own rate', async () => {
    const learner = lineLearner({ validBatches: 0 })
    const weights = new Weights()
    await learner.fit(4, { lr: 0.01, callbacks: [weights, new SWACallback({ startEpoch: 2, lr: 0.05 })] })
    expect(weightOf(learner)).toBeCloseTo((weights.trained[14]! + weights.trained[19]!) / 2, 6)
    expect(learner.recorder.lrs).toEqual([...new Array(10).fill(0.01), ...new Array(10).fill(0.05)])
  })

  /** One layer of batch norm; 32 training samples in two batches. */
  async function normalised(make: () => Callback, epochs = 2) {
    manualSeed(4)
    const norm = new nn.BatchNorm1d(3)
    const layer = new nn.Linear(3, 3)
    const model = new nn.Sequential(layer, norm, new nn.Linear(3, 1))
    const [x, y] = [randn([32, 3]).mul(3).add(1), randn([32, 1])]
    const trainDl = new DataLoader(new TensorDataset(x, y), { batchSize: 16, shuffle: true, seed: 1 })
    const validDl = new DataLoader(new TensorDataset(x, y), { batchSize: 32 })
    const learner = new Learner({ trainDl, validDl }, model, { lossFunction: new nn.MSELoss(), silent: true })
    await learner.fit(epochs, { lr: 0.1, callbacks: [make()] })
    const random = getRngState()
    // What the running statistics should be: the mean of those of the two batches that the next epoch brings.
    const means: number[][] = []
    const next = new DataLoader(new TensorDataset(x, y), { batchSize: 16, shuffle: true, seed: 1 })
    next.loadState({ seed: 1, epoch: epochs, batch: 0 })
    for await (const batch of next) means.push(layer.forward(batch.x).mean(0).toArray() as number[])
    const expected = means[0]!.map((value, i) => (value + means[1]![i]!) / 2)
    return {
      found: norm.runningMean!.toArray() as number[],
      expected,
      random,
      trainDl,
      count: norm.numBatchesTracked!.item(),
    }
  }

  it('computes the statistics of batch norm anew, and disturbs neither loader nor random stream', async () => {
    class Nothing extends Callback {}
    const plain = await normalised(() => new Nothing())
    for (const make of [
      () => new SWACallback({ startEpoch: 0 }),
      () => new EMACallback({ decay: 0.5, batchNorm: 'recompute' }),
    ]) {
      const { found, expected, random, trainDl, count } = await normalised(make)
      expect(found).toEqual(near(expected))
      expect(random).toEqual(plain.random)
      expect(trainDl.state()).toEqual(plain.trainDl.state())
      expect(count).toBe(4)
    }
    const averaged = await normalised(() => new SWACallback({ startEpoch: 0, batchNorm: 'average' }))
    expect(averaged.found).not.toEqual(near(averaged.expected))
    expect(plain.found).not.toEqual(near(plain.expected))
  })
})
