import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OneCycleScheduler } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { CheckpointError, ConfigError, DataError } from '../../src/engine/errors.ts'
import { manualSeed, memoryStats, randn, type Tensor, tensor } from '../../src/engine/index.ts'
import { readSafetensors } from '../../src/io/index.ts'
import { Learner, type LearnerOptions, metrics, slice } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { lineData, lineLearner, lineModel, Witness, weightOf } from './support.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-learner-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Two clouds of points, two classes; a model with batch norm and dropout, cut in two layer groups. */
function cloudLearner(options: LearnerOptions = {}): Learner {
  manualSeed(1)
  const x = randn([40, 4])
  const y = tensor(
    Array.from({ length: 40 }, (_, i) => i % 2),
    { dtype: 'int64' },
  )
  x.add_(y.to('float32').reshape([40, 1]).mul(2))
  const dataset = new TensorDataset(x, y)
  const loader = (shuffle: boolean) => new DataLoader(dataset, { batchSize: 8, shuffle })
  const body = new nn.Sequential(
    new nn.Linear(4, 8),
    new nn.BatchNorm1d(8),
    new nn.ReLU(),
    new nn.Dropout(0.2),
  )
  const head = new nn.Linear(8, 2)
  const data = {
    trainDl: loader(true),
    validDl: loader(false),
    fixDl: loader(false),
    classes: ['even', 'odd'],
  }
  return new Learner(data, new nn.Sequential(body, head), {
    lossFunction: new nn.CrossEntropyLoss(),
    metrics: [metrics.accuracy],
    layerGroups: [head],
    path: folder,
    silent: true,
    ...options,
  })
}

const weightsOf = (learner: Learner) =>
  learner.model.parameters().map((parameter) => [...parameter.dataSync()])

describe('fit', () => {
  it('is gradient descent: 5 batches of y = 3x', async () => {
    const learner = lineLearner()
    await learner.fit(2, { lr: 0.1 })
    let weight = 1
    const losses: number[] = []
    for (let epoch = 0; epoch < 2; epoch++) {
      for (let i = 0; i < 10; i += 2) {
        const meanSquare = (((i + 1) / 10) ** 2 + ((i + 2) / 10) ** 2) / 2
        losses.push((weight - 3) ** 2 * meanSquare)
        weight -= 0.1 * 2 * (weight - 3) * meanSquare
      }
    }
    expect(weightOf(learner)).toBeCloseTo(weight, 5)
    expect(learner.recorder.rawLosses).toEqual(losses.map((loss) => expect.closeTo(loss, 5)))
    const squares = [0.1, 0.2, 0.3, 0.4].map((x) => x * x)
    const valid = (weight - 3) ** 2 * (squares.reduce((sum, square) => sum + square) / 4)
    expect(learner.recorder.validLosses[1]).toBeCloseTo(valid, 5)
  })

  it('weighs a short last validation batch by its size', async () => {
    const x = tensor([[1], [1], [2]])
    const validDl = new DataLoader(new TensorDataset(x, x.mul(3)), { batchSize: 2 })
    const learner = new Learner({ ...lineData(), validDl }, lineModel(), {
      lossFunction: new nn.MSELoss(),
      silent: true,
    })
    expect((await learner.validate()).loss).toBeCloseTo((4 + 4 + 16) / 3, 6)
  })

  it('decays weights by the Learner’s wd unless the fit has its own', async () => {
    const decayed = lineLearner({ wd: 0.5, batches: 1, batchSize: 1 })
    await decayed.fit(1, { lr: 0.1 })
    expect(weightOf(decayed)).toBeCloseTo(1 * (1 - 0.05) + 0.1 * 4 * 0.01, 6)
    const plain = lineLearner({ wd: 0.5, batches: 1, batchSize: 1 })
    await plain.fit(1, { lr: 0.1, wd: 0 })
    expect(weightOf(plain)).toBeCloseTo(1 + 0.1 * 4 * 0.01, 6)
  })

  it('begins with the momentum that the optimizer was made with, whatever one-cycle left', async () => {
    const learner = lineLearner()
    await learner.fitOneCycle(1, { maxLr: 1e-3 })
    expect(learner.optimizer.momentum).toBe(0.95)
    await learner.fit(1, { lr: 1e-3 })
    expect(learner.recorder.momentums.slice(5)).toEqual([0, 0, 0, 0, 0])
  })

  it('has Adam with betas 0.9 and 0.99 by default, and takes a class as it is', async () => {
    const betas = (options: LearnerOptions) => {
      const { momentum, beta } = new Learner(lineData(), lineModel(), {
        lossFunction: new nn.MSELoss(),
        ...options,
      }).optimizer
      return [momentum, beta]
    }
    expect(betas({})).toEqual([0.9, 0.99])
    expect(betas({ optimizer: optim.Adam })).toEqual([0.9, 0.999])
  })

  it('refuses a second fit at the same time, and unknown options', async () => {
    const learner = lineLearner()
    const first = learner.fit(1)
    await expect(learner.fit(1)).rejects.toThrow(/training already/)
    await first
    await expect(learner.fit(0)).rejects.toThrow(/epochs must be a whole number of at least 1, got 0/)
    await expect(learner.fit(1, { learningRate: 1 } as object)).rejects.toThrow(
      /unknown option learningRate; the options are lr/,
    )
    await expect(learner.fitOneCycle(1, { maxLR: 1 } as object)).rejects.toThrow(/unknown option maxLR/)
  })

  it('keeps memory level', async () => {
    const learner = cloudLearner()
    await learner.fit(2)
    const { bytesInUse, tensors } = memoryStats()
    await learner.fit(6)
    // Not more; the collector may meanwhile have found what the preparations left.
    expect(memoryStats().tensors).toBeLessThanOrEqual(tensors)
    expect(memoryStats().bytesInUse).toBeLessThanOrEqual(bytesInUse)
  })

  it('lets timers run between batches', async () => {
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    await cloudLearner().fit(40)
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(10)
  })
})

describe('the constructor', () => {
  const make = (options: object, data: object = {}) =>
    new Learner({ ...lineData(), ...data }, lineModel(), { silent: true, ...options })

  it('takes the loss from the data, by object or name', () => {
    expect(make({}, { lossFunction: 'mseLoss' }).lossFunction).toBeInstanceOf(nn.MSELoss)
    expect(make({}, { lossFunction: 'crossEntropy' }).lossFunction).toBeInstanceOf(nn.CrossEntropyLoss)
    const own = new nn.L1Loss()
    expect(make({ lossFunction: own }, { lossFunction: 'mseLoss' }).lossFunction).toBe(own)
  })

  it('says what is missing or wrong', () => {
    expect(() => make({})).toThrow(/needs a loss/)
    expect(() => make({ lossFunction: nn.MSELoss })).toThrow(/class MSELoss itself/)
    expect(() => make({ lossFunction: 'msloss' })).toThrow(/got msloss/)
    const lossFunction = new nn.MSELoss()
    expect(() => make({ lossFunction, optimiser: 1 })).toThrow(
      /unknown option optimiser; the options are lossFunction/,
    )
    expect(() => make({ lossFunction, wd: -1 })).toThrow(/wd must be/)
    expect(() => make({ lossFunction, metrics: [() => 1] })).toThrow(/needs a name/)
    expect(() => make({ lossFunction, metrics: [metrics.mse, metrics.mse] })).toThrow(/mse is taken/)
    expect(() => make({ lossFunction, metrics: metrics.mse })).toThrow(/must be a list/)
  })

  it('moves the model to where the batches are', () => {
    const lossFunction = new nn.MSELoss()
    expect(make({ lossFunction }, { device: 'cpu' }).model.weight.device).toBe('cpu')
    expect(() => make({ lossFunction }, { device: 'tpu' })).toThrow(/unknown device "tpu"/)
  })

  it('clips gradients from clipGrad on', async () => {
    const learner = make({ lossFunction: new nn.MSELoss(), optimizer: optim.SGD, wd: 0 })
    expect(learner.clipGrad(0.01)).toBe(learner)
    await learner.fit(1, { lr: 1 })
    expect(learner.model.weight.item()).toBeCloseTo(1.05, 4) // five batches, each of a gradient of -0.01
  })

  it('takes a plain function as the loss', async () => {
    const learner = make({
      lossFunction: (output: never, target: never) => new nn.MSELoss().forward(output, target),
    })
    await learner.fit(1, { lr: 0.1 })
    expect(weightOf(learner)).toBeGreaterThan(1)
  })
})

describe('fitOneCycle', () => {
  it('gives the batches the rates and momenta of the schedule', async () => {
    const learner = lineLearner({ batches: 5 })
    await learner.fitOneCycle(2, { maxLr: 0.01 })
    const lrs = [
      4e-4, 2.8e-3, 7.6e-3, 0.01, 0.0095048463, 0.0081174565, 0.0061126202, 0.0038874198, 0.0018825835,
      0.0004951937,
    ]
    const moms = [
      0.95, 0.925, 0.875, 0.85, 0.8549515566, 0.8688255099, 0.8888739533, 0.9111260467, 0.9311744901,
      0.9450484434,
    ]
    expect(learner.recorder.lrs).toEqual(lrs.map((lr) => expect.closeTo(lr, 9)))
    expect(learner.recorder.momentums).toEqual(moms.map((momentum) => expect.closeTo(momentum, 9)))
    expect(learner.optimizer.lr).toBeCloseTo(4e-8, 12)
    expect(learner.optimizer.momentum).toBe(0.95)
  })

  it('reaches every layer group', async () => {
    const learner = cloudLearner()
    const seen: number[][] = []
    class Watch extends OneCycleScheduler {}
    expect(new Watch()).toBeInstanceOf(OneCycleScheduler)
    await learner.fitOneCycle(1, { maxLr: slice(1e-5, 1e-3), divFactor: 10 })
    seen.push(learner.optimizer.lrs)
    expect(seen[0]).toEqual([expect.closeTo(1e-10, 15), expect.closeTo(1e-8, 13)])
  })

  it('goes on where an earlier part of the schedule ended: halves equal the whole', async () => {
    const whole = lineLearner()
    await whole.fitOneCycle(4, { maxLr: 0.1 })
    const parts = lineLearner()
    await parts.fitOneCycle(2, { maxLr: 0.1, totalEpochs: 4 })
    await parts.fitOneCycle(4, { maxLr: 0.1, startEpoch: 2 })
    expect(parts.recorder.lrs).toEqual(whole.recorder.lrs)
    expect(parts.recorder.momentums).toEqual(whole.recorder.momentums)
    expect(weightOf(parts)).toBe(weightOf(whole))
    expect(parts.recorder.epochs.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3])
  })

  it('refuses parts that would run no epoch', async () => {
    await expect(lineLearner().fitOneCycle(2, { totalEpochs: 4, startEpoch: 2 })).rejects.toThrow(
      /to train 2 more, ask for 4/,
    )
    await expect(lineLearner().fitOneCycle(4, { totalEpochs: 2 })).rejects.toThrow(
      /totalEpochs \(2\) must be at least/,
    )
    await expect(lineLearner().fitOneCycle(1, { pctStart: 3 })).rejects.toThrow(/pctStart/)
  })
})

describe('lrFind', () => {
  it('leaves everything as it was: a fit afterwards is the same to the bit', async () => {
    const plain = cloudLearner()
    await plain.fit(2, { lr: 0.01 })
    const found = cloudLearner()
    await found.lrFind({ numIt: 30 })
    await found.fit(2, { lr: 0.01 })
    expect(weightsOf(found)).toEqual(weightsOf(plain))
    expect(found.recorder.losses).toEqual(plain.recorder.losses)
  })

  it('also between fits, with what the optimizer remembers', async () => {
    const plain = cloudLearner()
    await plain.fit(1)
    await plain.fit(1)
    const found = cloudLearner()
    await found.fit(1)
    await found.lrFind({ numIt: 12 })
    await found.fit(1)
    expect(weightsOf(found)).toEqual(weightsOf(plain))
  })

  it('sweeps the rates of fastai and writes nothing', async () => {
    const learner = cloudLearner()
    const { lrs, losses, suggestions } = await learner.lrFind({ stopDiv: false })
    expect(lrs).toHaveLength(100)
    expect(losses).toHaveLength(100)
    expect(lrs[0]).toBe(1e-7)
    expect(lrs[1]! / 1e-7).toBeCloseTo(1.2022644346, 8)
    expect(lrs[99]).toBeCloseTo(8.317637711, 6)
    expect(Object.keys(suggestions)).toEqual(['valley', 'steep', 'minimum', 'slide', 'minGradient'])
    expect(learner.recorder.lrs).toEqual([])
    expect(learner.recorder.lastSweep?.lrs).toEqual(lrs)
    expect(readdirSync(folder)).toEqual([])
    expect(learner.recorder.plot().spec).toBeDefined()
  })

  it('stops when the loss exceeds four times its best', async () => {
    const learner = lineLearner({ batchSize: 2, batches: 30 })
    const { losses, lrs } = await learner.lrFind({ endLr: 1e6, numIt: 60 })
    expect(losses.length).toBeLessThan(60)
    expect(lrs).toHaveLength(losses.length)
    expect(losses.at(-1)! > 4 * Math.min(...losses) || Number.isNaN(losses.at(-1))).toBe(true)
    expect(losses.at(-2)!).toBeLessThanOrEqual(4 * Math.min(...losses.slice(0, -1)))
    expect(weightOf(learner)).toBe(1)
  })

  it('works on frozen models and several groups, and restores after errors', async () => {
    const learner = cloudLearner()
    learner.freeze()
    const before = weightsOf(learner)
    const { lrs } = await learner.lrFind({ startLr: slice(1e-8, 1e-6), endLr: slice(1e-2, 1), numIt: 8 })
    expect(lrs[0]).toBe(1e-6)
    expect(weightsOf(learner)).toEqual(before)
    let batches = 0
    const failing = Object.assign(learner.lossFunction, {
      forward: (output: never, target: never) => {
        if (++batches === 4) throw new Error('no loss today')
        return nn.CrossEntropyLoss.prototype.forward.call(learner.lossFunction, output, target)
      },
    })
    expect(failing).toBe(learner.lossFunction)
    await expect(learner.lrFind({ numIt: 8 })).rejects.toThrow('no loss today')
    expect(weightsOf(learner)).toEqual(before)
  })

  it('refuses impossible sweeps', async () => {
    await expect(lineLearner().lrFind({ numIt: 5 })).rejects.toThrow(
      /numIt must be a whole number of at least 6, got 5/,
    )
    await expect(lineLearner().lrFind({ startLr: 1, endLr: 0.1 })).rejects.toThrow(
      /startLr must be above 0 and below endLr, got 1 and 0.1/,
    )
    expect(() => lineLearner().recorder.plot()).toThrow(/await learner.lrFind\(\) first/)
  })
})

it('looking at the data before training changes nothing of it', async () => {
  const run = async (look?: (learner: Learner) => Promise<unknown>) => {
    const learner = cloudLearner()
    await look?.(learner)
    await learner.fit(2, { lr: 0.01 })
    return weightsOf(learner)
  }
  const plain = await run()
  expect(await run((learner) => learner.validate())).toEqual(plain)
  expect(await run((learner) => learner.getPredictions({ dataset: 'fix' }))).toEqual(plain)
  expect(await run((learner) => learner.interpret())).toEqual(plain)
  expect(await run((learner) => learner.summary())).toEqual(plain)
})

describe('freezing', () => {
  const trainable = (learner: Learner) =>
    learner.layerGroups.map((group) => group.parameters().map(({ requiresGrad }) => requiresGrad))

  it('leaves batch norm training in frozen groups, unless trainBn is false', () => {
    const learner = cloudLearner()
    learner.freeze()
    expect(trainable(learner)).toEqual([
      [false, false, true, true],
      [true, true],
    ])
    learner.unfreeze()
    expect(trainable(learner).flat()).not.toContain(false)
    const strict = cloudLearner({ trainBn: false })
    strict.freezeTo(-1)
    expect(trainable(strict)).toEqual([
      [false, false, false, false],
      [true, true],
    ])
  })

  it('trains only what is not frozen, and keeps the optimizer state of what stays', async () => {
    const learner = cloudLearner()
    await learner.fit(1)
    const head = (learner.model.children()[1] as nn.Linear).weight
    const state = learner.optimizer.inner.state.get(head)
    expect(state?.step).toBe(5)
    learner.freeze()
    expect(learner.optimizer.inner.state.get(head)).toBe(state)
    const [first] = weightsOf(learner)
    await learner.fit(1)
    expect(weightsOf(learner)[0]).toEqual(first)
    expect(state?.step).toBe(10)
    learner.unfreeze()
    await learner.fit(1)
    expect(weightsOf(learner)[0]).not.toEqual(first)
    expect(learner.optimizer.inner.state.get(head)?.step).toBe(15)
  })

  it('says what cannot be frozen', () => {
    expect(() => lineLearner().freeze()).toThrow(/one layer group only/)
    expect(() => cloudLearner().freezeTo(2)).toThrow(/group 2 does not exist; there are 2/)
    expect(() => cloudLearner().freezeTo(-3)).toThrow(ConfigError)
  })

  it('goes by the groups that split makes', () => {
    const learner = cloudLearner()
    expect(learner.layerGroups.map(({ length }) => length)).toEqual([4, 1])
    expect(learner.lrRange(slice(1e-3))).toEqual([1e-4, 1e-3])
    learner.split((model) => [model.children()[0]!.children()[2]!, model.children()[1]!])
    expect(learner.layerGroups.map(({ length }) => length)).toEqual([2, 2, 1])
    expect(learner.lrRange(slice(1e-5, 1e-3))).toEqual([1e-5, expect.closeTo(1e-4, 12), 1e-3])
    expect(learner.optimizer.groupCount).toBe(3)
  })
})

describe('save and load', () => {
  it('bring back weights, buffers and the optimizer: training goes on alike', async () => {
    const one = cloudLearner()
    await one.fit(1)
    const file = await one.save('stage-1')
    expect(file).toBe(join(folder, 'models', 'stage-1.safetensors'))
    const other = cloudLearner()
    await other.fit(1) // the loader stands where the first one's does
    for (const parameter of other.model.parameters()) parameter.detach().fill_(0)
    const report = await other.load('stage-1')
    expect(report).toEqual({
      missingKeys: [],
      unexpectedKeys: [],
      optimizerLoaded: true,
      optimizerStateUnused: [],
    })
    manualSeed(3)
    await one.fit(1)
    manualSeed(3)
    await other.fit(1)
    expect(weightsOf(other)).toEqual(weightsOf(one))
    expect(await other.validate()).toEqual(await one.validate())
  })

  it('without the optimizer write the weights alone, under their own names', async () => {
    const learner = cloudLearner()
    await learner.fit(1)
    const file = await learner.save('best', { withOptimizer: false })
    const { tensors } = await readSafetensors(file)
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(learner.model.stateDict()).sort())
    expect(await learner.load('best')).toMatchObject({ optimizerLoaded: false })
  })

  it('leave the state of frozen parameters aside, and say so', async () => {
    const learner = cloudLearner()
    await learner.fit(1)
    await learner.save('all')
    learner.freeze()
    const { optimizerStateUnused } = await learner.load('all')
    expect(optimizerStateUnused.sort()).toEqual(['0.0.bias', '0.0.weight'])
  })

  it('report what does not match, and change nothing then', async () => {
    const learner = cloudLearner()
    await learner.fit(1)
    await learner.save('all')
    const before = weightsOf(learner)
    const other = lineLearner({ path: folder })
    await expect(other.load('all')).rejects.toThrow(CheckpointError)
    await expect(other.load('all', { withOptimizer: false })).rejects.toThrow(
      /all\.safetensors.*\n.*missing.*weight/s,
    )
    expect(weightOf(other)).toBe(1)
    const sgd = cloudLearner({ optimizer: optim.SGD })
    await expect(sgd.load('all')).rejects.toThrow(/state of Adam, this Learner optimizes with SGD/)
    expect(await sgd.load('all', { withOptimizer: false })).toMatchObject({ optimizerLoaded: false })
    expect(weightsOf(sgd)).toEqual(before)
    await expect(learner.load('none')).rejects.toThrow(/none\.safetensors/)
    writeFileSync(join(folder, 'models', 'cut.safetensors'), 'not much')
    await expect(learner.load('cut')).rejects.toThrow(CheckpointError)
    await expect(learner.save('')).rejects.toThrow(ConfigError)
    await expect(learner.save('model.pth')).rejects.toThrow(/saves safetensors, not .pth/)
  })

  it('refuse options that they do not have', async () => {
    const learner = cloudLearner()
    await expect(learner.save('a', { withOptimiser: true } as object)).rejects.toThrow(
      /save: unknown option withOptimiser/,
    )
    await expect(learner.load('a', { strikt: true } as object)).rejects.toThrow(/load: unknown option strikt/)
    await expect(learner.validate(undefined, { metric: [] } as object)).rejects.toThrow(
      /validate: unknown option metric/,
    )
    await expect(learner.predictAll([], { batch: 1 } as object)).rejects.toThrow(
      /predictAll: unknown option batch/,
    )
    await expect(learner.predictAll('a.jpg' as unknown as [])).rejects.toThrow(/takes a list of items/)
    await expect(Learner.resume('last', undefined as unknown as Learner)).rejects.toThrow(
      /takes a path and a Learner/,
    )
  })

  it('say which folder cannot be written', async () => {
    writeFileSync(join(folder, 'models'), 'a file in the way')
    await expect(cloudLearner().save('best')).rejects.toThrow(/models/)
  })
})

describe('looking at the result', () => {
  it('validates without touching history, modes or weights', async () => {
    const learner = cloudLearner()
    await learner.fit(3)
    const epochs = learner.recorder.epochs.length
    learner.model.train()
    const { loss, accuracy } = await learner.validate()
    expect(loss).toBeCloseTo(learner.recorder.validLosses.at(-1)!, 6)
    expect(accuracy).toBe(learner.recorder.metrics.at(-1)![0])
    expect(learner.recorder.epochs).toHaveLength(epochs)
    expect(learner.model.modules().every(({ training }) => training)).toBe(true)
    expect(await learner.validate(learner.data.trainDl, { metrics: [metrics.errorRate] })).toHaveProperty(
      'errorRate',
    )
    await expect(lineLearner({ validBatches: 0 }).validate()).rejects.toThrow(DataError)
  })

  it('predicts in order, activated as the loss says', async () => {
    const learner = cloudLearner()
    await learner.fit(3)
    const { predictions, decoded, targets, losses } = await learner.getPredictions({
      dataset: 'train',
      withLoss: true,
    })
    expect(predictions.shape).toEqual([40, 2])
    expect([...targets.dataSync()]).toEqual(Array.from({ length: 40 }, (_, i) => i % 2))
    const rows = predictions.toArray() as number[][]
    for (const [a, b] of rows) expect(a! + b!).toBeCloseTo(1, 5)
    expect([...decoded.dataSync()]).toEqual(rows.map(([a, b]) => (b! > a! ? 1 : 0)))
    const expected = rows.map((row, i) => -Math.log(row[i % 2]!))
    expect([...losses!.dataSync()]).toEqual(expected.map((loss) => expect.closeTo(loss, 4)))
    const raw = await learner.getPredictions({ activate: false, batches: 2 })
    expect(raw.predictions.shape).toEqual([16, 2])
    expect(raw.losses).toBeUndefined()
    await expect(learner.getPredictions({ dataset: 'test' })).rejects.toThrow(/no testDl/)
    await expect(learner.getPredictions({ dataset: 'other' as 'test' })).rejects.toThrow(/got other/)
  })

  it('predicts one item', async () => {
    const learner = cloudLearner()
    await learner.fit(3)
    const { predictions } = await learner.getPredictions()
    const { x } = learner.data.validDl!.dataset as unknown as TensorDataset
    const one = await learner.predict(x.index(7))
    const row = (predictions.toArray() as number[][])[7]!
    expect(one.predictions).toEqual(row.map((value) => expect.closeTo(value, 5)))
    expect(one.decoded).toBe(row[1]! > row[0]! ? 1 : 0)
    expect(one.label).toBe(['even', 'odd'][one.decoded as number])
    await expect(learner.predict('bee.jpg')).rejects.toThrow(/predict takes a tensor here/)
  })

  it('predicts many items in batches, and as many of a loader as asked', async () => {
    const learner = cloudLearner()
    await learner.fit(2)
    const { x } = learner.data.validDl!.dataset as unknown as TensorDataset
    const items = Array.from({ length: 7 }, (_, i) => x.index(i))
    const all = await learner.predictAll(items, { batchSize: 3 })
    expect(all).toHaveLength(7)
    for (const [i, item] of items.entries()) {
      const one = await learner.predict(item)
      expect(all[i]).toMatchObject({ label: one.label, decoded: one.decoded })
      const close = (one.predictions as number[]).map((value) => expect.closeTo(value, 5))
      expect(all[i]!.predictions).toEqual(close)
    }
    expect(await learner.predictAll([])).toEqual([])
    await expect(learner.predictAll(items, { batchSize: 0 })).rejects.toThrow(/batchSize must be/)
    const whole = await learner.getPredictions({ dataset: 'fix' })
    expect(whole.predictions.shape).toEqual([40, 2])
    const some = await learner.getPredictions({ dataset: 'fix', items: 11, withLoss: true })
    expect(some.predictions.toArray()).toEqual((whole.predictions.toArray() as number[][]).slice(0, 11))
    expect([some.targets, some.decoded, some.losses!].map(({ shape }) => shape)).toEqual([[11], [11], [11]])
  })

  it('names all classes of an item that may have several', async () => {
    const model = new nn.Linear(3, 3, { bias: false })
    model.weight.detach().copy_(
      tensor([
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
      ]),
    )
    const data = { ...lineData(), classes: ['cloudy', 'haze', 'water'] }
    const learner = new Learner(data, model, { lossFunction: new nn.BCEWithLogitsLoss() })
    expect((await learner.predict(tensor([2, -1, 3]))).label).toBe('cloudy;water')
    expect((await learner.predict(tensor([-2, -1, -3]))).label).toBe('')
    const answers = (output: Tensor) => output.gt(0).float()
    const own = Object.assign(new nn.BCEWithLogitsLoss(), { decode: answers })
    learner.lossFunction = own
    expect((await learner.predict(tensor([2, -1, 3]))).label).toBe('cloudy;water')
    // Numbers and places that happen to be as many as the classes are none of them.
    for (const loss of [new nn.MSELoss(), (output: Tensor) => output.mean(), new nn.L1Loss()]) {
      learner.lossFunction = loss
      expect((await learner.predict(tensor([1, 0, 1]))).label).toBeUndefined()
    }
  })

  it('lets callbacks hear a validation', async () => {
    const witness = new Witness()
    await cloudLearner().validate(undefined, { callbacks: [witness] })
    expect(witness.events).toEqual(Array(5).fill(['bb', 'lb', 'be']).flat())
  })

  it('interprets a classifier', async () => {
    const learner = cloudLearner()
    await learner.fit(2)
    const interpretation = await learner.interpret()
    const matrix = interpretation.confusionMatrix()
    expect(matrix.flat().reduce((sum, count) => sum + count)).toBe(40)
    const right = (matrix[0]![0]! + matrix[1]![1]!) / 40
    expect(right).toBeCloseTo(learner.recorder.metrics.at(-1)![0]!, 6)
    expect(interpretation.plotConfusionMatrix().spec).toBeDefined()
    await expect(lineLearner().interpret()).rejects.toThrow(/needs a classifier/)
  })

  it('summarises the model for the shape of its data', async () => {
    const summary = await cloudLearner().summary()
    expect(summary.parameters).toBe(4 * 8 + 8 + 16 + 16 + 2)
    const learner = cloudLearner({ trueWd: false, bnWd: false, callbacks: [new Witness()] })
    learner.freeze()
    const text = String(await learner.summary())
    expect(text).toMatch(/74 parameters, 34 trainable, 40 frozen/)
    expect(text).toMatch(
      /optimizer: Adam, weight decay 0.01 through the gradient, not of normalisation and biases/,
    )
    expect(text).toMatch(/loss: CrossEntropyLoss\nlayer groups: 4 layers, 1 layers\ncallbacks: Witness$/)
  })

  it('counts parameters that lie in no layer', async () => {
    class Scaled extends nn.Module {
      readonly scale = new nn.Parameter(tensor([2]))
      readonly inner = lineModel()
      override forward(x: Tensor) {
        return this.inner.forward(x).mul(this.scale)
      }
    }
    const learner = new Learner(lineData(), new Scaled(), { lossFunction: new nn.MSELoss(), silent: true })
    expect(await learner.summary()).toMatchObject({ parameters: 2, trainable: 2 })
  })
})
