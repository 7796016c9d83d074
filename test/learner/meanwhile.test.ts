import { expect, it } from 'vitest'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { ConfigError, manualSeed, randn, tensor, zeros } from '../../src/engine/index.ts'
import { F } from '../../src/index.ts'
import { inEvalMode } from '../../src/learner/evaluate.ts'
import { Callback, Learner, type LearnerOptions } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

/** Twelve points of three classes, in a loader that takes its time; a model with dropout and batch norm. */
function slowLearner(options: LearnerOptions = {}): Learner {
  manualSeed(3)
  const y = tensor(
    Array.from({ length: 12 }, (_, i) => i % 3),
    { dtype: 'int64' },
  )
  const dataset = new TensorDataset(randn([12, 4]), y)
  const slow = {
    length: dataset.length,
    get: async (index: number) => {
      await new Promise((done) => setTimeout(done, 1))
      return dataset.get(index)
    },
  }
  const loader = (shuffle: boolean) => new DataLoader(slow, { batchSize: 4, shuffle, seed: 5 })
  const model = new nn.Sequential(
    new nn.Linear(4, 8),
    new nn.BatchNorm1d(8),
    new nn.Dropout(0.5),
    new nn.Linear(8, 3),
  )
  const data = { trainDl: loader(true), validDl: loader(false), classes: ['a', 'b', 'c'] }
  return new Learner(data, model, { lossFunction: new nn.CrossEntropyLoss(), silent: true, ...options })
}

const bits = (learner: Learner) => [...learner.model.stateDict()['3.weight']!.dataSync()].join()

class Modes extends Callback {
  readonly seen = new Set<boolean>()
  override onLossBegin({ train, learner }: { train: boolean; learner: Learner }): void {
    if (train) for (const module of learner.model.modules()) this.seen.add(module.training)
  }
}

it('a fit that nobody awaits trains to the same bits while others validate and predict', async () => {
  const undisturbed = slowLearner()
  await undisturbed.fit(3)

  const learner = slowLearner()
  const modes = new Modes()
  const fit = learner.fit(3, { callbacks: [modes] })
  let over = false
  fit.finally(() => {
    over = true
  })
  let looks = 0
  while (!over) {
    await Promise.all([learner.validate(), learner.predict(zeros([4])), learner.validate()])
    looks++
    await new Promise((done) => setTimeout(done, 3))
  }
  await fit
  expect(looks).toBeGreaterThan(2)
  expect([...modes.seen]).toEqual([true])
  expect(bits(learner)).toBe(bits(undisturbed))
  expect(learner.model.modules().map(({ training }) => training)).not.toContain(true)
})

it('looks at the model that overlap put back the modes from before the first', async () => {
  const { model } = slowLearner()
  model.train()
  const modes = () => new Set(model.modules().map(({ training }) => training))
  const gates: (() => void)[] = []
  const look = () => inEvalMode(model, () => new Promise<void>((open) => gates.push(open)))
  const [first, second] = [look(), look()]
  gates[0]!()
  await first
  expect(modes()).toEqual(new Set([false]))
  gates[1]!()
  await second
  expect(modes()).toEqual(new Set([true]))
})

it('the functions of F are losses that know what outputs mean', async () => {
  const learner = slowLearner({ lossFunction: F.crossEntropy })
  const probabilities = (await learner.getPredictions()).predictions
  expect([...probabilities.sum(1).dataSync()].every((sum) => Math.abs(sum - 1) < 1e-6)).toBe(true)
  const { label, decoded } = await learner.predict(randn([4]))
  expect(['a', 'b', 'c']).toContain(label)
  expect(decoded).toBeTypeOf('number')
  await learner.interpret()
  const functions =
    'binaryCrossEntropy binaryCrossEntropyWithLogits huberLoss klDiv l1Loss mseLoss nllLoss rmseLoss smoothL1Loss'
  for (const name of functions.split(' ')) {
    const loss = slowLearner({ lossFunction: F[name as 'mseLoss'] }).lossFunction
    expect((loss as nn.Loss).constructor.name.replace('BCE', 'BinaryCrossEntropy').toLowerCase()).toBe(
      name.toLowerCase().replace(/(loss)?$/, 'loss'),
    )
  }
})

it('names what is no optimizer, and options that are none', async () => {
  const make = (optimizer: unknown) => slowLearner({ optimizer: optimizer as never })
  expect(() => make('adam')).toThrow(/optimizer option must be an optimizer class.*got "adam"/)
  const instance = new optim.Adam(new nn.Linear(1, 1).parameters())
  expect(() => make(instance)).toThrow(/got an object of class Adam/)
  for (const model of [() => {}, 'resnet', undefined, null, {}]) {
    const { data } = slowLearner()
    expect(() => new Learner(data, model as never)).toThrow(ConfigError)
    expect(() => new Learner(data, model as never)).toThrow(
      /model must be an nn.Module, got .* extends nn.Module/,
    )
  }
  expect(() => new Learner(slowLearner().data, class Net extends nn.Module {} as never)).toThrow(
    /class Net itself: construct it with new/,
  )
  const { data } = slowLearner()
  for (const wrong of [undefined, data.trainDl, {}, { trainDl: [] }]) {
    expect(() => new Learner(wrong as never, new nn.Linear(1, 1))).toThrow(
      /data must be a DataBunch, or \{ trainDl/,
    )
  }
  const learner = slowLearner()
  await expect(learner.fit(1, 0.5 as never)).rejects.toThrow(/fit: the options must be an object, got 0.5/)
  await expect(learner.fitOneCycle(1, 0.5 as never)).rejects.toThrow(
    /fitOneCycle: the options must be .* got 0.5/,
  )
  await expect(learner.lrFind(1e-3 as never)).rejects.toThrow(/the options must be an object, got 0.001/)
  await expect(learner.getPredictions('train' as never)).rejects.toThrow(/must be an object, got "train"/)
  await expect(learner.save('a', false as never)).rejects.toThrow(/save: the options must be an object/)
  await expect(learner.fit('2' as never)).rejects.toThrow(
    /epochs must be a whole number of at least 1, got "2"/,
  )
})
