import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CheckpointCallback, CSVLogger, SaveModelCallback } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { getRngState, manualSeed, memoryStats, randn, type Tensor } from '../../src/engine/index.ts'
import { type BatchEndContext, Callback, Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { outcome, resumableLearner } from './resumable.ts'
import { lineLearner, Witness } from './support.ts'

const count = (witness: Witness, event: string) => witness.events.filter((each) => each === event).length

/** The generator once the loaders have drawn their seeds, as any fit makes them do. */
function settledRandom({ data }: Learner): Uint8Array {
  data.trainDl.state?.()
  data.validDl?.state?.()
  return getRngState()
}

describe('limits of a fit', () => {
  it('on batches lay out the schedule for what is left', async () => {
    const limited = lineLearner({ batches: 5, validBatches: 3 })
    const witness = new Witness()
    await limited.fitOneCycle(2, { maxLr: 0.01, maxBatches: 2, maxValidBatches: 1, callbacks: [witness] })
    expect([count(witness, 'BE'), count(witness, 'be')]).toEqual([4, 2])
    const small = lineLearner({ batches: 2 })
    await small.fitOneCycle(2, { maxLr: 0.01 })
    expect(limited.recorder.lrs).toEqual(small.recorder.lrs)
  })

  it('on time end the fit after the batch in which it has passed, with validation', async () => {
    const learner = lineLearner({ batches: 500 })
    const witness = new Witness()
    class Slow extends Callback {
      override onBatchEnd() {
        return new Promise<void>((resolve) => setTimeout(resolve, 5))
      }
    }
    await learner.fit(10, { lr: 1e-5, maxSeconds: 0.05, callbacks: [new Slow(), witness] })
    expect(count(witness, 'BE')).toBeLessThan(20)
    expect(count(witness, 'be')).toBe(2)
    expect(learner.recorder.epochs).toHaveLength(1)
  })

  it('hold in a fit that resumes, with a checkpoint for each batch that was asked for', async () => {
    const path = await temporaryFolder()
    const run = (learner: Learner, ...extra: Callback[]) =>
      learner.fitOneCycle(3, { maxBatches: 3, callbacks: [new CheckpointCallback({ every: 3 }), ...extra] })
    class Fail extends Callback {
      override onEpochBegin({ epoch }: { epoch: number }) {
        if (epoch === 2) throw new Error('stop here')
      }
    }
    const whole = resumableLearner(path)
    await run(whole)
    await expect(run(resumableLearner(path), new Fail())).rejects.toThrow('stop here')
    const learner = await Learner.resume('last', resumableLearner(path))
    await run(learner)
    expect(outcome(learner)).toEqual(outcome(whole))
  })

  it('must make sense', async () => {
    const learner = lineLearner()
    await expect(learner.fit(1, { maxBatches: 0 })).rejects.toThrow(
      /maxBatches must be a whole number of at least 1/,
    )
    await expect(learner.fit(1, { maxSeconds: -1 })).rejects.toThrow(/maxSeconds must be above 0, got -1/)
    await expect(learner.fitOneCycle(1, { maxBatch: 2 } as object)).rejects.toThrow(
      /fitOneCycle: unknown option maxBatch; the options are maxLr.*maxBatches/,
    )
  })
})

describe('fastDevRun', () => {
  it('goes through all of an epoch, and leaves no trace', async () => {
    const path = await temporaryFolder()
    const learner = resumableLearner(path)
    const witness = new Witness()
    const callbacks = [new SaveModelCallback(), new CSVLogger(), new CheckpointCallback(), witness]
    const before = outcome(learner)
    const random = settledRandom(learner)
    await learner.fitOneCycle(5, { callbacks, fastDevRun: 2 })
    expect([count(witness, 'BE'), count(witness, 'be'), count(witness, 'EE')]).toEqual([2, 2, 1])
    expect(readdirSync(path)).toEqual([])
    expect(outcome(learner)).toEqual(before)
    expect(getRngState()).toEqual(random)
    const plain = resumableLearner(path)
    await plain.fit(1)
    const after = resumableLearner(path)
    await after.fit(1, { fastDevRun: true })
    await after.fit(1)
    expect(outcome(after)).toEqual(outcome(plain))
    await expect(after.fit(1, { fastDevRun: 0 })).rejects.toThrow(
      /fastDevRun must be a whole number of at least 1/,
    )
  })
})

it('fastDevRun and profile leave rates, momentum and decay as they were', async () => {
  const learner = lineLearner({ optimizer: optim.Adam })
  await learner.fitOneCycle(1, { maxLr: 0.02, wd: 0.3 })
  const { hyperParameters } = learner.optimizer
  await learner.profile({ batches: 2, warmup: 0 })
  expect(learner.optimizer.hyperParameters).toEqual(hyperParameters)
  await learner.fit(1, { lr: 0.5, wd: 0.1, fastDevRun: true })
  expect(learner.optimizer.hyperParameters).toEqual(hyperParameters)
})

describe('profile', () => {
  it('tells where the time goes, and leaves no trace', async () => {
    const learner = resumableLearner('.')
    const before = outcome(learner)
    const profile = await learner.profile({ batches: 7, warmup: 2 })
    expect(profile.batches).toBe(7)
    expect(profile.samples).toBe(56)
    expect(Object.keys(profile.seconds)).toEqual(['data', 'forward', 'loss', 'backward', 'step', 'callbacks'])
    for (const seconds of Object.values(profile.seconds)) expect(seconds).toBeGreaterThan(0)
    expect(String(profile)).toMatch(/wait for data +[\d.]+ ms +[\d.]+ %\nforward/)
    expect(String(profile)).toMatch(/samples\/s over 7 batches$/)
    expect(outcome(learner)).toEqual(before)
  })

  it('charges each phase with its own work', async () => {
    class SlowLoss extends nn.MSELoss {
      override forward(...[output, target]: Parameters<nn.MSELoss['forward']>) {
        const until = performance.now() + 20
        while (performance.now() < until);
        return super.forward(output, target)
      }
    }
    const { seconds } = await lineLearner({ lossFunction: new SlowLoss() }).profile({ batches: 4, warmup: 0 })
    expect(seconds.loss).toBeGreaterThan(0.08)
    expect(seconds.loss).toBeGreaterThan(seconds.forward)
  })
})

describe('findBatchSize', () => {
  const wide = (width = 1000) => {
    manualSeed(0)
    const dataset = new TensorDataset(randn([300, width]), randn([300, 1]))
    const trainDl = new DataLoader(dataset, { batchSize: 4 })
    const model = new nn.Sequential(new nn.Linear(width, width), new nn.ReLU(), new nn.Linear(width, 1))
    return new Learner({ trainDl }, model, { lossFunction: new nn.MSELoss(), silent: true })
  }

  it('doubles while a step fits into memory, and leaves no trace', async () => {
    const learner = wide()
    const before = outcome(learner)
    const random = settledRandom(learner)
    const free = await learner.findBatchSize({ start: 4 })
    expect(free.trials.map(({ batchSize }) => batchSize)).toEqual([4, 8, 16, 32, 64, 128, 256])
    expect(free.batchSize).toBe(256)
    expect(free.trials.map(({ batchSize }) => batchSize)).toContain(free.fastest)
    expect(free.trials[6]!.peakBytes).toBeGreaterThan(free.trials[0]!.peakBytes)
    expect(outcome(learner)).toEqual(before)
    expect(getRngState()).toEqual(random)
    const memory = free.trials[3]!.peakBytes + 10_000
    const tight = await learner.findBatchSize({ start: 4, memory })
    expect(tight.batchSize).toBeLessThan(256)
    expect(memoryStats().bytesInUse).toBeLessThan(memory)
  })

  it('tries steps as fits make them: in bfloat16, with callbacks, and of whole trials only', async () => {
    const learner = wide(20).toBf16()
    const dtypes = new Set<string>()
    const { remove } = learner.model.registerForwardHook((module, _inputs, output) => {
      if (module.training) dtypes.add((output as Tensor).dtype)
    })
    const steps = new Map<number, number>()
    class Count extends Callback {
      override onBatchEnd({ lastInput }: BatchEndContext) {
        const size = (lastInput as Tensor).size(0)
        steps.set(size, (steps.get(size) ?? 0) + 1)
      }
    }
    learner.callbacks.push(new Count())
    const before = outcome(learner)
    const { trials } = await learner.findBatchSize({ start: 75, steps: 5 })
    remove()
    expect([...dtypes]).toEqual(['bfloat16'])
    // Four batches of 75 an epoch, two of 150, one of 300.
    expect(Object.fromEntries(steps)).toEqual({ 75: 5, 150: 5, 300: 5 })
    expect(trials.every(({ samplesPerSecond }) => samplesPerSecond > 0)).toBe(true)
    expect(outcome(learner)).toEqual(before)
    expect(learner.recorder.losses).toEqual([])
  })

  it('says what cannot be', async () => {
    await expect(wide().findBatchSize({ memory: 1000 })).rejects.toThrow(
      /not even a batch of 2 fits into 1000 bytes/,
    )
    await expect(wide().findBatchSize({ start: 0 })).rejects.toThrow(
      /start must be a whole number of at least 1/,
    )
    await expect(wide().findBatchSize({ size: 1 } as object)).rejects.toThrow(/unknown option size/)
    const { trainDl } = wide().data
    const plain = {
      length: 5,
      dataset: trainDl.dataset,
      [Symbol.asyncIterator]: () => trainDl[Symbol.asyncIterator](),
    }
    const learner = new Learner({ trainDl: plain }, new nn.Linear(1000, 1), {
      lossFunction: new nn.MSELoss(),
    })
    await expect(learner.findBatchSize()).rejects.toThrow(/batch size can be changed/)
  })
})

it('fitFlatCosine follows fastai’s fit_fc', async () => {
  const learner = lineLearner({ batches: 10 })
  await learner.fitFlatCosine(1, { lr: 4e-3 })
  expect(learner.recorder.lrs).toEqual(
    [...Array(8).fill(4e-3), 3e-3, 1e-3].map((lr) => expect.closeTo(lr, 12)),
  )
  await expect(learner.fitFlatCosine(1, { maxLr: 1 } as object)).rejects.toThrow(
    /unknown option maxLr; the options are lr/,
  )
})
