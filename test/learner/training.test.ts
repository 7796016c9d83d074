import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  BnFreeze,
  EarlyStoppingCallback,
  GradientAccumulation,
  GradientClipping,
  ReduceLROnPlateauCallback,
  SaveModelCallback,
} from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { manualSeed, ones, randint, randn, type Tensor } from '../../src/engine/index.ts'
import {
  Learner,
  type LearnerOptions,
  metrics,
  type OptimizerOption,
  slice,
} from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'

interface Run {
  name: string
  lrs: number[]
  momentums: number[]
  rawLosses: number[]
  losses: number[]
  validLosses: number[]
  accuracies: number[]
  saved: number[]
  reduced: number[]
  weights: Record<string, number[]>
}

// fastai v1's loop, written anew on PyTorch from its description: see make_training.py.
const { cases } = JSON.parse(readFileSync(new URL('./fixtures/training.json', import.meta.url), 'utf8')) as {
  cases: Run[]
}

type Pair = [x: Tensor, y: Tensor]

function points(): Pair {
  manualSeed(3)
  const x = randn([38, 6])
  return [x, x.index(':', ':3').argmax(1)]
}

function pictures(): Pair {
  manualSeed(4)
  return [randn([38, 1, 6, 6]), randint(0, 3, [38])]
}

function curve(): Pair {
  manualSeed(5)
  const x = randn([38, 6])
  return [x, x.mul(x).sum(1, { keepdim: true })]
}

/** Holds a parameter itself, beside its child. */
class Scaled extends nn.Module {
  scale = new nn.Parameter(ones([8]))
  norm = new nn.LayerNorm(8)
  forward(x: Tensor) {
    return this.norm.forward(x).mul(this.scale)
  }
}

function dense(classes = 3) {
  manualSeed(6)
  return new nn.Sequential(
    new nn.Sequential(new nn.Linear(6, 8, { bias: false }), new nn.BatchNorm1d(8), new nn.ReLU()),
    new nn.Sequential(new nn.Linear(8, 8), new Scaled(), new nn.Tanh()),
    new nn.Linear(8, classes),
  )
}

function convolutional() {
  manualSeed(7)
  return new nn.Sequential(
    new nn.Sequential(
      new nn.Conv2d(1, 4, 3, { padding: 1 }),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
    ),
    new nn.Sequential(
      new nn.ConvTranspose2d(4, 3, 2, { stride: 2 }),
      new nn.GroupNorm(3, 3),
      new nn.LeakyReLU(0.1),
    ),
    new nn.Sequential(new nn.AdaptiveAvgPool2d(1), new nn.Flatten(), new nn.Linear(3, 3)),
  )
}

function plain() {
  manualSeed(8)
  return new nn.Sequential(new nn.Linear(6, 8), new nn.ReLU(), new nn.Linear(8, 3))
}

function learnerOf(
  model: nn.Sequential,
  [x, y]: Pair,
  { batchSize = 8, ...options }: LearnerOptions & { batchSize?: number } = {},
): Learner {
  const part = (rows: string, size: number) =>
    new DataLoader(new TensorDataset(x.index(rows).clone(), y.index(rows).clone()), { batchSize: size })
  const isClasses = y.shape.length === 1
  return new Learner({ trainDl: part(':30', batchSize), validDl: part('30:', 5) }, model, {
    lossFunction: isClasses ? new nn.CrossEntropyLoss() : new nn.MSELoss(),
    metrics: isClasses ? [metrics.accuracy] : [],
    layerGroups: model.at(0) instanceof nn.Linear ? [[model]] : [model.at(1)!, model.at(2)!],
    silent: true,
    ...options,
  })
}

const sgd =
  (momentum: number): OptimizerOption =>
  (params, { lr }) =>
    new optim.SGD(params, { lr, momentum })

/** How each case is run here, and what else it found. */
const runs: Record<string, () => Promise<{ learner: Learner; saved?: number[]; reduced?: number[] }>> = {
  async 'adam, one-cycle, slice(1e-3, 3e-2)'() {
    const learner = learnerOf(dense(), points())
    await learner.fitOneCycle(3, { maxLr: slice(1e-3, 3e-2) })
    return { learner }
  },
  async 'sgd, one-cycle, slice(0.2), bnWd false'() {
    const learner = learnerOf(convolutional(), pictures(), { optimizer: optim.SGD, bnWd: false })
    const shape = { moms: [0.9, 0.8] as const, divFactor: 10, pctStart: 0.4, finalDiv: 100 }
    await learner.fitOneCycle(3, { maxLr: slice(0.2), wd: 0.3, ...shape })
    return { learner }
  },
  async 'rmsprop, trueWd and bnWd false'() {
    const optimizer: OptimizerOption = (params, { lr }) => new optim.RMSprop(params, { lr, momentum: 0.5 })
    const learner = learnerOf(dense(), points(), { optimizer, trueWd: false, bnWd: false })
    await learner.fit(3, { lr: 2e-3, wd: 0.2 })
    return { learner }
  },
  async 'adam, frozen, whole, partly frozen'() {
    const learner = learnerOf(dense(), points())
    learner.freeze()
    await learner.fitOneCycle(2, { maxLr: slice(1e-2) })
    learner.unfreeze()
    await learner.fit(1, { lr: 1e-3, wd: 0.1 })
    learner.freezeTo(1)
    await learner.fitOneCycle(2, { maxLr: slice(1e-4, 1e-2) })
    return { learner }
  },
  async 'sgd, trainBn false, BnFreeze'() {
    const learner = learnerOf(dense(), points(), { optimizer: sgd(0.9), trainBn: false })
    learner.freezeTo(1)
    await learner.fit(2, { lr: 0.05, callbacks: [new BnFreeze()] })
    return { learner }
  },
  async 'adam, flat-cosine, clip 0.1, MSE'() {
    const learner = learnerOf(dense(1), curve()).clipGrad()
    await learner.fitFlatCosine(3, { lr: 1e-2 })
    return { learner }
  },
  async 'sgd, 3 batches accumulated, clip 0.5'() {
    const learner = learnerOf(plain(), points(), { optimizer: sgd(0.9), batchSize: 4 })
    const callbacks = [new GradientClipping(0.5), new GradientAccumulation(3)]
    await learner.fit(2, { lr: 0.1, wd: 0.05, callbacks })
    return { learner }
  },
  async 'sgd, watched'() {
    const learner = learnerOf(plain(), points(), { optimizer: sgd(0.9), path: await temporaryFolder() })
    const plateau = new ReduceLROnPlateauCallback({ factor: 0.5, minLr: 0.02 })
    const best = new SaveModelCallback()
    const stop = new EarlyStoppingCallback({ patience: 1, minDelta: 1e-3 })
    let weights: Record<string, Tensor> = {}
    // The best model comes back at the end; the figures are of the last one.
    class Last extends SaveModelCallback {
      override async onTrainEnd({ learner }: Parameters<SaveModelCallback['onTrainEnd']>[0]) {
        weights = Object.fromEntries(
          Object.entries(learner.model.stateDict()).map(([name, tensor]) => [name, tensor.clone().keep()]),
        )
      }
    }
    await learner.fit(20, { lr: 0.3, callbacks: [plateau, stop, new Last({ every: 'epoch' }), best] })
    const { validLosses } = learner.recorder
    expect((await learner.validate()).loss).toBeCloseTo(Math.min(...validLosses), 6)
    learner.model.loadStateDict(weights)
    return { learner, saved: best.savedEpochs, reduced: plateau.reducedEpochs }
  },
  async lrFind() {
    const learner = learnerOf(dense(1), curve(), { optimizer: sgd(0.9) })
    const { lrs, losses } = await learner.lrFind({ startLr: 1e-4, endLr: 10, numIt: 40 })
    learner.recorder.lrs.push(...lrs)
    learner.recorder.losses.push(...losses)
    return { learner }
  },
}

it('has a run for each case', () => {
  expect(Object.keys(runs)).toEqual(cases.map(({ name }) => name))
})

describe.each(cases)('$name', (expected) => {
  it('has the rates, momenta, losses and weights of fastai’s loop', async () => {
    const { learner, ...found } = await runs[expected.name]!()
    const { recorder } = learner
    const near = (values: readonly number[], wanted: readonly number[], what: string) => {
      expect(values, what).toHaveLength(wanted.length)
      for (const [i, value] of values.entries()) {
        const error = Math.abs(value - wanted[i]!) / Math.max(1, Math.abs(wanted[i]!))
        expect(error, `${what}[${i}]: ${value}, not ${wanted[i]}`).toBeLessThan(2e-5)
      }
    }
    if (expected.name === 'lrFind') {
      near(recorder.lrs, expected.lrs, 'lrs')
      near(recorder.losses, expected.losses, 'losses')
      return
    }
    for (const list of ['lrs', 'momentums', 'rawLosses', 'losses', 'validLosses'] as const) {
      near(recorder[list], expected[list], list)
    }
    if (recorder.metricNames.length > 0) {
      near(
        recorder.metrics.map(([accuracy]) => accuracy!),
        expected.accuracies,
        'accuracies',
      )
    }
    for (const [name, wanted] of Object.entries(expected.weights)) {
      near(Array.from(learner.model.stateDict()[name]!.dataSync(), Number), wanted, name)
    }
    if (expected.saved) expect(found).toEqual({ saved: expected.saved, reduced: expected.reduced })
  })
})
