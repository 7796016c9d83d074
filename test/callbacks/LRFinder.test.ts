import { describe, expect, it } from 'vitest'
import { GradientAccumulation, LossScaling, LRFinder, MixUpCallback } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import {
  getRngState,
  manualSeed,
  memoryStats,
  noGrad,
  rand,
  randint,
  randn,
  type Tensor,
  zeros,
} from '../../src/engine/index.ts'
import {
  type BackwardEndContext,
  type BatchEndContext,
  Callback,
  Learner,
  type LearnerOptions,
  slice,
} from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { lineLearner } from '../learner/support.ts'

/** All that can move: batch norm, dropout, shuffling, Adam, layer groups. */
function make({ batches = 8, ...options }: LearnerOptions & { batches?: number } = {}): Learner {
  manualSeed(6)
  const body = new nn.Sequential(
    new nn.Linear(4, 12),
    new nn.BatchNorm1d(12),
    new nn.ReLU(),
    new nn.Dropout(0.3),
  )
  const head = new nn.Linear(12, 3)
  const dataset = new TensorDataset(randn([8 * batches, 4]), randint(0, 3, [8 * batches]))
  const trainDl = new DataLoader(dataset, { batchSize: 8, shuffle: true })
  return new Learner(
    { trainDl, validDl: new DataLoader(dataset, { batchSize: 8 }) },
    new nn.Sequential(body, head),
    {
      lossFunction: new nn.CrossEntropyLoss(),
      layerGroups: [head],
      silent: true,
      ...options,
    },
  )
}

function everything({ model, optimizer, recorder, data }: Learner) {
  return {
    state: Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.toArray()]),
    remembered: [...optimizer.inner.state.values()].map((state) =>
      Object.values(state).map((value) => (typeof value === 'number' ? value : value.toArray())),
    ),
    hyperParameters: optimizer.hyperParameters,
    modes: model.modules().map(({ training }) => training),
    grads: model.parameters().map(({ grad }) => grad),
    random: Array.from(getRngState()),
    loader: data.trainDl.state?.(),
    losses: [...recorder.rawLosses],
  }
}

/** Draws when a fit begins, as a callback of a user's may. */
class Draws extends Callback {
  override onTrainBegin() {
    rand([3])
  }
}

/** Gradients of every second batch overflow. */
class Infinite extends Callback {
  override order = -2
  override onBackwardEnd({ learner, iteration }: BackwardEndContext) {
    if (iteration % 2 === 0) learner.optimizer.parameters()[0]!.accumulated!.fill_(Number.POSITIVE_INFINITY)
  }
}

/** Remembers over all fits, and can tell so only during one. */
class Counts extends Callback {
  most = 0
  readonly #batches: number[] = []
  readonly #total = zeros([]).keep()
  #running = false
  get remembered() {
    return { batches: [...this.#batches], total: this.#total.item() }
  }
  override onTrainBegin() {
    this.#running = true
  }
  override onBatchEnd({ iteration, train }: BatchEndContext) {
    if (!train) return
    this.#batches.push(iteration)
    noGrad(() => this.#total.add_(1))
    this.most = Math.max(this.most, this.#total.item())
  }
  override onTrainEnd() {
    this.#running = false
  }
  override stateDict() {
    if (!this.#running) throw new Error('not in a fit')
    return { batches: this.#batches, total: this.#total }
  }
  override loadStateDict({ batches, total }: { batches: number[]; total: Tensor }) {
    if (!this.#running) throw new Error('not in a fit')
    this.#batches.splice(0, this.#batches.length, ...batches)
    this.#total.copy_(total)
  }
}

describe('lrFind', () => {
  it.each([
    ['before the first fit', 0],
    ['between fits', 2],
  ])('puts everything back, %s: rates, decay, modes and random streams too', async (_title, epochs) => {
    const learner = make({ callbacks: [new Draws(), new MixUpCallback(), new GradientAccumulation(2)] })
    if (epochs > 0) await learner.fitOneCycle(epochs, { maxLr: slice(1e-3, 1e-2), wd: 0.2 })
    for (const loader of [learner.data.trainDl, learner.data.validDl!]) loader.state?.() // seeds are drawn
    const before = everything(learner)
    await learner.lrFind({ numIt: 20, wd: 0.5 })
    expect(everything(learner)).toEqual(before)
    const first = await learner.lrFind({ numIt: 20 })
    expect(await learner.lrFind({ numIt: 20 })).toEqual(first)
    expect(everything(learner)).toEqual(before)
  })

  it('puts back what callbacks remember: the scale of losses, lists and tensors of their own', async () => {
    const scaling = new LossScaling()
    const counts = new Counts()
    const learner = make({ optimizer: optim.SGD, callbacks: [scaling, new Infinite(), counts] })
    await learner.lrFind({ numIt: 20, stopDiv: false })
    expect(counts.most).toBe(20)
    expect(scaling.stateDict()).toEqual({ scale: 65536, goodSteps: 0 })
    expect(counts.remembered).toEqual({ batches: [], total: 0 })
    await learner.fit(1, { lr: 1e-3 })
    const state = scaling.stateDict()
    const { remembered } = counts
    expect(state).toEqual({ scale: 65536 / 2 ** 4, goodSteps: 1 })
    expect(remembered.total).toBe(8)
    const { tensors } = memoryStats()
    await learner.lrFind({ numIt: 20 })
    expect(scaling.stateDict()).toEqual(state)
    expect(counts.remembered).toEqual(remembered)
    await learner.profile({ batches: 5, warmup: 1 })
    await learner.fit(1, { fastDevRun: 3 })
    expect(scaling.stateDict()).toEqual(state)
    expect(counts.remembered).toEqual(remembered)
    expect(memoryStats().tensors).toBeLessThanOrEqual(tensors)
  })

  it('as a callback of a fit puts back what others remember, but for the history', async () => {
    const scaling = new LossScaling()
    const learner = make({ optimizer: optim.SGD, callbacks: [scaling, new Infinite()] })
    await learner.fit(1, { callbacks: [new LRFinder({ numIt: 6, stopDiv: false })] })
    expect(scaling.scale).toBe(65536)
    expect(learner.recorder.losses).toHaveLength(6)
  })

  it('puts everything back after an error, in a callback or in the model', async () => {
    class Fail extends Callback {
      at: 'onTrainBegin' | 'onBackwardEnd' | 'never' = 'never'
      override onTrainBegin() {
        if (this.at === 'onTrainBegin') throw new Error('out of luck')
      }
      override onBackwardEnd({ iteration }: { iteration: number }) {
        if (this.at === 'onBackwardEnd' && iteration === 5) throw new Error('out of luck')
      }
    }
    const fail = new Fail()
    const learner = make({ callbacks: [new Draws(), fail] })
    await learner.fit(1)
    const before = everything(learner)
    for (const at of ['onTrainBegin', 'onBackwardEnd'] as const) {
      fail.at = at
      await expect(learner.lrFind({ numIt: 10 })).rejects.toThrow('out of luck')
      expect(everything(learner)).toEqual(before)
    }
  })

  it('works with one batch an epoch, and with fewer batches than asked for', async () => {
    const learner = make({ batches: 1 })
    const { lrs, losses } = await learner.lrFind({ numIt: 9, stopDiv: false })
    expect(lrs.map((lr) => Math.log10(lr))).toEqual(
      Array.from({ length: 9 }, (_, i) => expect.closeTo(-7 + (8 * i) / 9, 9)),
    )
    expect(losses.every(Number.isFinite)).toBe(true)
    expect((await make({ batches: 4 }).lrFind({ numIt: 6, stopDiv: false })).lrs).toHaveLength(6)
  })

  it('sweeps each layer group by itself, and leaves frozen ones frozen', async () => {
    const learner = make()
    learner.freeze()
    const body = learner.layerGroups[0]!.parameters()[0]!
    const weights = body.toArray()
    const seen: number[][] = []
    class Watch extends Callback {
      override onBatchBegin() {
        seen.push(learner.optimizer.lrs)
      }
    }
    learner.callbacks.push(new Watch())
    const { lrs } = await learner.lrFind({
      startLr: slice(1e-7, 1e-5),
      endLr: [1e-3, 0.1],
      numIt: 8,
      stopDiv: false,
    })
    expect(seen[0]).toEqual([1e-7, 1e-5])
    expect(seen.map((rates) => rates[1])).toEqual(lrs)
    expect(seen[4]).toEqual([1e-5, 1e-3].map((lr) => expect.closeTo(lr, 9)))
    expect(body.requiresGrad).toBe(false)
    expect(body.toArray()).toEqual(weights)
  })

  it('stops at once when a loss of 1 jumps to 100: smoothed, 6.7268', async () => {
    let batch = 0
    const learner = lineLearner({
      batches: 30,
      lossFunction: (output) =>
        output
          .sum()
          .mul(0)
          .add(batch++ < 20 ? 1 : 100),
    })
    const { losses } = await learner.lrFind({ numIt: 30 })
    expect(losses).toHaveLength(21)
    expect(losses[19]).toBeCloseTo(1, 6)
    expect(losses[20]).toBeCloseTo(6.7268, 4)
  })

  it('keeps memory level', async () => {
    const learner = make({ optimizer: optim.Adam })
    await learner.fit(1)
    await learner.lrFind({ numIt: 10 })
    const before = memoryStats().tensors
    for (let i = 0; i < 3; i++) await learner.lrFind({ numIt: 10 })
    expect(memoryStats().tensors).toBeLessThanOrEqual(before)
  })

  it('refuses what cannot be', async () => {
    const find = (options: object) => make().lrFind(options)
    await expect(find({ startLr: Number.NaN })).rejects.toThrow(/learning rate must be.*NaN/)
    await expect(find({ endLr: [1, 2, 3] })).rejects.toThrow(/3 learning rates for 2/)
    await expect(find({ numIt: 7.5 })).rejects.toThrow(/numIt.*7.5/)
    await expect(find({ stopDiv: 'no' })).rejects.toThrow(/stopDiv must be true or false, got no/)
    await expect(find({ start: 1 })).rejects.toThrow(/unknown option start/)
    expect(() => new LRFinder({ numIter: 1 } as never)).toThrow(/unknown option numIter/)
  })
})
