import { describe, expect, it } from 'vitest'
import { OneCycleScheduler, OverSamplingCallback } from '../../callbacks/index.ts'
import { DataLoader, RandomStream, TensorDataset, WeightedSampler } from '../../src/data/index.ts'
import { randn, type Tensor, tensor } from '../../src/engine/index.ts'
import { type BatchEndContext, Callback, Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'

const labels = [...new Array(12).fill(0), ...new Array(3).fill(1), 2]

class Count extends Callback {
  readonly counts = [0, 0, 0]
  readonly orders: string[] = []
  override onBatchEnd({ train, lastTarget }: BatchEndContext) {
    if (!train) return
    const targets = Array.from((lastTarget as Tensor).dataSync(), Number)
    for (const target of targets) this.counts[target]!++
    this.orders.push(String(targets))
  }
}

function make(callbacks: Callback[] = []) {
  const y = tensor(labels, { dtype: 'int64' })
  const trainDl = new DataLoader(new TensorDataset(randn([16, 2]), y), {
    batchSize: 4,
    shuffle: true,
    seed: 3,
  })
  const learner = new Learner({ trainDl }, new nn.Linear(2, 3), {
    lossFunction: new nn.CrossEntropyLoss(),
    silent: true,
    callbacks,
  })
  return { learner, trainDl }
}

describe('OverSamplingCallback', () => {
  it('brings all classes equally often, in epochs of classes · largest class', async () => {
    const { learner, trainDl } = make()
    const count = new Count()
    await learner.fit(20, { callbacks: [count, new OverSamplingCallback()] })
    expect(count.orders).toHaveLength((20 * 3 * 12) / 4)
    // Each is binomial: 720 draws of a third; six standard deviations are 76.
    for (const found of count.counts) expect(Math.abs(found - 240)).toBeLessThan(76)
    expect(new Set(count.orders).size).toBeGreaterThan(50) // of the 81 that there are
    expect(learner.data.trainDl).toBe(trainDl)
    expect(trainDl.state()).toEqual({ seed: 3, epoch: 20, batch: 0 })
  })

  it('comes before schedules, which span the longer epochs', async () => {
    const { learner } = make()
    await learner.fitOneCycle(1, { maxLr: 0.1, callbacks: [new OverSamplingCallback()] })
    expect(learner.recorder.lrs).toHaveLength(9)
    const { learner: alone } = make()
    await alone.fit(1, { callbacks: [new OneCycleScheduler({ maxLr: 0.1 })] })
    expect(alone.recorder.lrs).toHaveLength(4)
    const { learner: limited } = make()
    await limited.fitOneCycle(2, { maxLr: 0.1, maxBatches: 3, callbacks: [new OverSamplingCallback()] })
    expect(limited.recorder.lrs).toHaveLength(6)
    expect(limited.optimizer.lr).toBeCloseTo(0.1 / 25e4, 12)
  })

  it('takes weights and labels of your own, and leaves sweeps alone', async () => {
    const { learner } = make([new OverSamplingCallback()])
    expect((await learner.lrFind({ numIt: 8, stopDiv: false })).losses).toHaveLength(8)
    const count = new Count()
    const weights = labels.map((label) => (label === 1 ? 1 : 0))
    await make().learner.fit(1, { callbacks: [count, new OverSamplingCallback({ weights })] })
    expect(count.counts).toEqual([0, 36, 0])
    const two = new Count()
    const halves = new OverSamplingCallback({ labels: labels.map((_, i) => i % 2) })
    await make().learner.fit(1, { callbacks: [two, halves] })
    expect(two.orders).toHaveLength(4)
  })

  it('refuses what it cannot do', async () => {
    const fit = (callback: Callback, learner = make().learner) => learner.fit(1, { callbacks: [callback] })
    await expect(fit(new OverSamplingCallback({ labels: [0, 1] }))).rejects.toThrow(
      /2 labels for 16 training items/,
    )
    await expect(fit(new OverSamplingCallback({ weights: labels.map(() => 0) }))).rejects.toThrow(/above 0/)
    await expect(fit(new OverSamplingCallback({ weights: labels.map(() => Number.NaN) }))).rejects.toThrow(
      /item 0.*NaN/,
    )
    expect(() => new OverSamplingCallback({ label: [] } as never)).toThrow(/unknown option label/)
    const regression = new DataLoader(new TensorDataset(randn([8, 2]), randn([8, 3])), { batchSize: 4 })
    const learner = new Learner({ trainDl: regression }, new nn.Linear(2, 3), {
      lossFunction: new nn.MSELoss(),
      silent: true,
    })
    await expect(fit(new OverSamplingCallback(), learner)).rejects.toThrow(
      /does not know the classes.*pass \{ labels \}/,
    )
  })
})

describe('WeightedSampler', () => {
  it('draws in proportion, never what has no weight', () => {
    const sampler = new WeightedSampler([0, 1, 0, 3, 0], 8000)
    const drawn = sampler.indices(new RandomStream({ seed: 1, purpose: 'order' }))
    const counts = [0, 0, 0, 0, 0]
    for (const index of drawn) counts[index]!++
    expect([counts[0], counts[2], counts[4]]).toEqual([0, 0, 0])
    expect(Math.abs(counts[3]! - 6000)).toBeLessThan(240)
    expect(() => new WeightedSampler([1], 0)).toThrow(/length/)
  })
})
