import { describe, expect, it } from 'vitest'
import { ActivationStats, ValidateEvery } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { manualSeed, memoryStats, randn, type Tensor } from '../../src/engine/index.ts'
import { type BatchEndContext, Callback, Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'

function make() {
  manualSeed(1)
  const model = new nn.Sequential(new nn.Linear(3, 5), new nn.ReLU(), new nn.Linear(5, 1))
  const loader = (samples: number) =>
    new DataLoader(new TensorDataset(randn([samples, 3]), randn([samples, 1])), { batchSize: 4 })
  const learner = new Learner({ trainDl: loader(12), validDl: loader(8) }, model, {
    lossFunction: new nn.MSELoss(),
    silent: true,
  })
  return { model, learner }
}

/** The output of the last layer, which is the model's, by hand. */
class Outputs extends Callback {
  readonly values: number[][] = []
  override onBatchEnd({ train, lastOutput }: BatchEndContext) {
    if (train) this.values.push(Array.from((lastOutput as Tensor).dataSync(), Number))
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const std = (values: readonly number[]) =>
  Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1))

describe('ActivationStats', () => {
  it('follows layers with parameters over the training batches: 2 layers, 2 epochs of 3 batches', async () => {
    const { learner, model } = make()
    const [stats, outputs] = [new ActivationStats({ nearZero: 0.2 }), new Outputs()]
    await learner.fit(2, { lr: 0.01, callbacks: [stats, outputs] })
    expect(stats.layers.map(({ name }) => name)).toEqual(['0', '2'])
    for (const { batches, means, stds, nearZero } of stats.layers) {
      expect(batches).toEqual([0, 1, 2, 3, 4, 5])
      for (const list of [means, stds, nearZero]) expect(list).toHaveLength(6)
    }
    const last = stats.layers[1]!
    const near = (list: number[]) => list.map((value) => expect.closeTo(value, 5))
    expect(last.means).toEqual(near(outputs.values.map(mean)))
    expect(last.stds).toEqual(near(outputs.values.map(std)))
    expect(last.nearZero).toEqual(
      near(outputs.values.map((batch) => mean(batch.map((value) => Number(Math.abs(value) <= 0.2))))),
    )
    expect(Object.hasOwn(model.at(0)!, 'forward')).toBe(false)
  })

  it('looks as seldom and at what it is told, goes on over fits, and leaves nothing behind', async () => {
    const { learner, model } = make()
    const stats = new ActivationStats({ every: 2, modules: [model.at(1)!] })
    await learner.fit(1, { callbacks: [stats] })
    const before = memoryStats().tensors
    await learner.fit(1, { callbacks: [stats] })
    await learner.validate()
    expect(memoryStats().tensors).toBeLessThanOrEqual(before)
    expect(stats.layers.map(({ name, batches }) => [name, batches])).toEqual([['1', [0, 2, 4]]])
    expect(stats.layers[0]!.nearZero.every((share) => share > 0.2 && share < 0.9)).toBe(true)
  })

  it('sees every batch of a compiled Learner, whose other batches are repeated from recordings', async () => {
    const figures = async (every: number, compiled: boolean) => {
      const { learner } = make()
      const stats = new ActivationStats({ every })
      await learner.compile(compiled).fit(3, { callbacks: [stats] })
      return [stats.layers, learner.compiled?.recordings] as const
    }
    for (const [every, recordings] of [
      [1, 0],
      [3, 1],
    ] as const) {
      const [plain] = await figures(every, false)
      expect(plain[0]!.batches).toHaveLength(9 / every)
      expect(await figures(every, true)).toEqual([plain, recordings])
    }
  })

  it('does not take a validation between two batches for a part of the batch before it', async () => {
    const figures = async (...others: Callback[]) => {
      const stats = new ActivationStats()
      await make().learner.fit(1, { callbacks: [...others, stats] })
      return stats.layers
    }
    expect(await figures(new ValidateEvery(2))).toEqual(await figures())
  })

  it('takes up the figures of very many batches', async () => {
    const stats = new ActivationStats()
    await make().learner.fit(1, { callbacks: [stats] })
    const long = new Float64Array(300_000).fill(0.5)
    const layers = stats.layers.map(({ name }) => ({
      name,
      batches: long,
      means: long,
      stds: long,
      nearZero: long,
    }))
    stats.loadStateDict({ batches: long.length, layers, unread: [] })
    expect(stats.layers[1]!.means).toHaveLength(long.length)
  })

  it('draws a panel each', async () => {
    const { learner } = make()
    const stats = new ActivationStats()
    expect(() => stats.plot()).toThrow(/no activations to plot/)
    await learner.fit(2, { callbacks: [stats] })
    const svg = await stats.plot().toSvg()
    for (const label of ['mean', 'standard deviation', 'share within 0.05 of 0', 'training batch'])
      expect(svg).toContain(label)
  })

  it('refuses what cannot be', async () => {
    const { learner } = make()
    const foreign = new ActivationStats({ modules: [new nn.ReLU()] })
    await expect(learner.fit(1, { callbacks: [foreign] })).rejects.toThrow(
      /ReLU to watch is not in the model/,
    )
    expect(() => new ActivationStats({ every: 0 })).toThrow(/every/)
    expect(() => new ActivationStats({ nearZero: Number.NaN })).toThrow(/nearZero/)
    expect(() => new ActivationStats({ layers: [] } as never)).toThrow(/unknown option layers/)
  })
})
