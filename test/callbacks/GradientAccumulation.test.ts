import { describe, expect, it, vi } from 'vitest'
import {
  EMACallback,
  GradientAccumulation,
  type GradientAccumulationOptions,
  GradientClipping,
  LossScaling,
} from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { DataError } from '../../src/engine/errors.ts'
import { full, manualSeed, randint, randn, type Tensor, tensor, zeros } from '../../src/engine/index.ts'
import {
  type BatchEndContext,
  Callback,
  CancelBatch,
  CancelEpoch,
  Learner,
  type LossFunction,
} from '../../src/learner/index.ts'
import { MixedLoss } from '../../src/learner/MixedLoss.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { lineLearner, on, Witness, weightOf } from '../learner/support.ts'

interface Run {
  batchSize: number
  samples?: number
  loss?: LossFunction
  callbacks?: Callback[]
  target?: (samples: number) => Tensor
}

const classTargets = (samples: number) => randint(0, 3, [samples])

const distributions = (samples: number) => randn([samples, 3]).softmax(1)

/** Weights of a small network after two epochs, from the same beginning on the same samples in the same order. */
async function train({
  batchSize,
  samples = 64,
  loss = new nn.CrossEntropyLoss(),
  callbacks = [],
  target = classTargets,
}: Run): Promise<number[]> {
  manualSeed(3)
  const model = new nn.Sequential(new nn.Linear(5, 16), new nn.Tanh(), new nn.Linear(16, 3))
  const data = new TensorDataset(randn([samples, 5]), target(samples))
  const trainDl = new DataLoader(data, { batchSize })
  const learner = new Learner({ trainDl }, model, {
    lossFunction: loss,
    optimizer: (params, { lr }) => new optim.SGD(params, { lr, momentum: 0.9 }),
    silent: true,
    callbacks,
  })
  await learner.fit(2, { lr: 0.1, wd: 0.01 })
  return model.parameters().flatMap((parameter) => Array.from(parameter.dataSync(), Number))
}

function expectSame(found: readonly number[], expected: readonly number[]): void {
  const distance = Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)))
  expect(distance).toBeLessThan(1e-6)
}

const four = (options: Partial<GradientAccumulationOptions> = {}) =>
  new GradientAccumulation({ batches: 4, ...options })

describe('GradientAccumulation', () => {
  it.each([
    ['four batches of 8 are one of 32', 64],
    ['with a short last group', 72],
    ['with a short last group of a short last batch', 77],
    ['with nothing but a short group', 20],
  ])('%s', async (_title, samples) => {
    const large = await train({ batchSize: 32, samples })
    expectSame(await train({ batchSize: 8, samples, callbacks: [four()] }), large)
    const other = await train({ batchSize: 8, samples })
    expect(Math.max(...other.map((value, i) => Math.abs(value - large[i]!)))).toBeGreaterThan(1e-3)
  })

  it.each<[string, () => LossFunction, ((samples: number) => Tensor)?]>([
    ['sums', () => new nn.CrossEntropyLoss({ reduction: 'sum' })],
    ['class weights', () => new nn.CrossEntropyLoss({ weight: tensor([0.2, 1, 5]) })],
    ['smoothed labels', () => new nn.LabelSmoothingLoss()],
    ['a function', () => (output, target) => new nn.CrossEntropyLoss().forward(output, target)],
    [
      'ignored targets',
      () => new nn.CrossEntropyLoss({ ignoreIndex: 2 }),
      (samples) => randint(0, 3, [samples]),
    ],
    ['regression', () => new nn.MSELoss(), (samples) => randn([samples, 3])],
    ['errors that are summed', () => new nn.L1Loss({ reduction: 'sum' }), (samples) => randn([samples, 3])],
    ['divergences', () => new nn.KLDivLoss(), distributions],
    ['divergences of the batch', () => new nn.KLDivLoss({ reduction: 'batchmean' }), distributions],
    ['summed divergences', () => new nn.KLDivLoss({ reduction: 'sum' }), distributions],
    [
      'class weights, ignored targets and smoothed labels at once',
      () => new nn.CrossEntropyLoss({ weight: tensor([0.2, 1, 5]), ignoreIndex: 1, labelSmoothing: 0.2 }),
    ],
    ['class weights of log-probabilities', () => new nn.NLLLoss({ weight: tensor([0.2, 1, 5]) })],
  ])('is right for %s', async (_title, loss, target = classTargets) => {
    const clip = () => new GradientClipping(1)
    const large = await train({ batchSize: 32, samples: 77, loss: loss(), target, callbacks: [clip()] })
    const small = await train({
      batchSize: 8,
      samples: 77,
      loss: loss(),
      target,
      callbacks: [clip(), four()],
    })
    expectSame(small, large)
  })

  it('weighs mixed samples by the classes of both, as many repeated samples would be', async () => {
    // Each sample's second target is that of a fixed partner, in any batch.
    const mixes = on<{ lastTarget: Tensor; train: boolean }>('onBatchBegin', ({ lastTarget, train }) =>
      train
        ? { lastTarget: [lastTarget, lastTarget.add(1).remainder(3), full([lastTarget.shape[0]!], 0.75)] }
        : undefined,
    )
    for (const inner of [
      new nn.CrossEntropyLoss({ weight: tensor([0.2, 1, 5]) }),
      new nn.CrossEntropyLoss({ ignoreIndex: 1 }),
    ]) {
      const loss = () => new MixedLoss(inner, 'test')
      const large = await train({ batchSize: 32, samples: 77, loss: loss(), callbacks: [mixes] })
      expectSame(await train({ batchSize: 8, samples: 77, loss: loss(), callbacks: [mixes, four()] }), large)
    }
  })

  it('averages the losses of batches, by their samples, where no large batch is their mean', async () => {
    const gradientOf = async (loss: LossFunction, reduction?: 'sum') => {
      const seen: number[] = []
      const look = on<BatchEndContext>(
        'onStepEnd',
        ({ learner, skipStep }) => {
          if (!skipStep) seen.push((learner.model as unknown as nn.Linear).weight.accumulated!.item())
        },
        10,
      )
      const x = tensor([[1], [2], [3], [4], [5]])
      const trainDl = new DataLoader(new TensorDataset(x, x.mul(3)), { batchSize: 2 })
      const model = new nn.Linear(1, 1, { bias: false })
      model.weight.detach().fill_(1)
      const learner = new Learner({ trainDl }, model, {
        lossFunction: loss,
        optimizer: optim.SGD,
        silent: true,
      })
      const accumulates = new GradientAccumulation({ batches: 3, ...(reduction && { reduction }) })
      await learner.fit(1, { lr: 1e-9, wd: 0, callbacks: [accumulates, look] })
      return seen
    }
    // With w = 1 against 3x the root of the mean square is 2 rms(x), its slope in w is -rms(x).
    const rms = [Math.sqrt(2.5), Math.sqrt(12.5), 5] as const
    const mean = -(2 * rms[0] + 2 * rms[1] + rms[2]) / 5
    expect(await gradientOf(new nn.RMSELoss())).toEqual([expect.closeTo(mean, 4)])
    class Rooted extends nn.Module<[Tensor, Tensor]> {
      reduction = 'rooted'
      forward(output: Tensor, target: Tensor) {
        return output.sub(target).square().mean().sqrt()
      }
    }
    expect(await gradientOf(new Rooted())).toEqual([expect.closeTo(mean, 4)])
    expect(await gradientOf(new Rooted(), 'sum')).toEqual([expect.closeTo(-(rms[0] + rms[1] + rms[2]), 4)])
  })

  it('sums where a plain function does, if told', async () => {
    const loss: LossFunction = (output, target) =>
      new nn.CrossEntropyLoss({ reduction: 'sum' }).forward(output, target).mul(0.05)
    const large = await train({ batchSize: 32, loss })
    expectSame(await train({ batchSize: 8, loss, callbacks: [four({ reduction: 'sum' })] }), large)
  })

  it('gives the true mean where fastai gave half of it: y = w x at x = 1 against 0, batches of 2, three to a step', async () => {
    const grads: number[] = []
    class Watch extends Callback {
      override order = 10
      override onBackwardEnd({ learner, skipStep }: { learner: Learner; skipStep: boolean }) {
        if (!skipStep) grads.push((learner.model as unknown as nn.Linear).weight.grad!.item())
      }
    }
    const loader = new DataLoader(new TensorDataset(tensor(new Array(6).fill([1])), zeros([6, 1])), {
      batchSize: 2,
    })
    const model = new nn.Linear(1, 1, { bias: false })
    model.weight.detach().fill_(1)
    const learner = new Learner({ trainDl: loader }, model, {
      lossFunction: new nn.MSELoss(),
      optimizer: optim.SGD,
      silent: true,
      callbacks: [new Watch(), new GradientAccumulation(3)],
    })
    await learner.fit(1, { lr: 0.1, wd: 0 })
    expect(grads).toEqual([2])
    expect(model.weight.item()).toBeCloseTo(0.8, 6)
  })

  it('reports the losses of the batches, and can leave a short last group out', async () => {
    const plain = lineLearner({ batches: 5 })
    await plain.fit(1, { lr: 0 })
    const learner = lineLearner({ batches: 5 })
    await learner.fit(1, { lr: 1e-9, callbacks: [new GradientAccumulation(5)] })
    expect(learner.recorder.rawLosses).toEqual(plain.recorder.rawLosses)

    const dropped = lineLearner({ batches: 5 })
    await dropped.fit(1, { lr: 0.1, callbacks: [new GradientAccumulation({ batches: 3, dropLast: true })] })
    const three = lineLearner({ batches: 3 })
    await three.fit(1, { lr: 0.1, callbacks: [new GradientAccumulation(3)] })
    expect(weightOf(dropped)).toBe(weightOf(three))
  })

  it('begins a group anew after one that was cut short or cancelled', async () => {
    class Leave extends Callback {
      override onBatchEnd({ train, epoch, numBatch }: { train: boolean; epoch: number; numBatch: number }) {
        return train && epoch === 0 && numBatch === 1 ? { stopEpoch: true } : undefined
      }
    }
    class Cancel extends Callback {
      override order = 5
      override onBackwardEnd({ epoch, numBatch }: { epoch: number; numBatch: number }) {
        if (epoch === 0 && numBatch === 1) throw new CancelBatch()
      }
    }
    const options = { batches: 4, validBatches: 0 }
    const left = lineLearner(options)
    await left.fit(2, { lr: 0.1, callbacks: [new GradientAccumulation(4), new Leave()] })
    const once = lineLearner(options)
    await once.fit(1, { lr: 0.1, callbacks: [new GradientAccumulation(4)] })
    expect(weightOf(left)).toBe(weightOf(once))

    // Batches 0 and 1 are lost; 2 and 3 make a group.
    const cancelled = lineLearner(options)
    await cancelled.fit(1, { lr: 0.1, callbacks: [new GradientAccumulation(4), new Cancel()] })
    const x = [0.5, 0.6, 0.7, 0.8]
    const gradient = x.reduce((sum, value) => sum + 2 * (1 - 3) * value ** 2, 0) / 4
    expect(weightOf(cancelled)).toBeCloseTo(1 - 0.1 * gradient, 6)
  })

  /** y = w x from w = 1 against 3x: a step of 0.1 with the mean over these batches of `lineData`, of which each has two samples. */
  const stepWith = (...batches: number[]) => {
    const squares = batches.flatMap((batch) => [2 * batch + 1, 2 * batch + 2]).map((x) => (x / 10) ** 2)
    return 1 + (0.1 * 4 * squares.reduce((sum, square) => sum + square, 0)) / squares.length
  }

  const cancelAt = (event: string, batches: number[], make: () => Error = () => new CancelBatch()) =>
    on<BatchEndContext>(event, ({ numBatch, train }) => {
      if (train && batches.includes(numBatch)) throw make()
    })

  it('steps with what it has where the last batches of an epoch are cancelled before their backward pass', async () => {
    const weightAfter = async (callbacks: Callback[], batches = 4, epochs = 1) => {
      const learner = lineLearner({ batches, validBatches: 0 })
      await learner.fit(epochs, { lr: 0.1, callbacks })
      return weightOf(learner)
    }
    for (const event of ['onBatchBegin', 'onLossBegin', 'onBackwardBegin']) {
      expect(await weightAfter([four(), cancelAt(event, [3])])).toBeCloseTo(stepWith(0, 1, 2), 6)
    }
    expect(await weightAfter([four(), cancelAt('onBackwardBegin', [1, 2, 3])])).toBeCloseTo(stepWith(0), 6)
    expect(await weightAfter([four(), cancelAt('onBackwardBegin', [0, 1, 2, 3])])).toBe(1)
    expect(await weightAfter([four({ dropLast: true }), cancelAt('onBackwardBegin', [3])])).toBe(1)
    // Left, or lost after the backward pass: dropped.
    expect(await weightAfter([four(), cancelAt('onBackwardBegin', [3], () => new CancelEpoch())])).toBe(1)
    expect(await weightAfter([four(), cancelAt('onBackwardEnd', [3])])).toBe(1)
    // Whole groups are not stepped with twice, and the next epoch begins a group of its own.
    expect(await weightAfter([four(), cancelAt('onBackwardBegin', [4])], 5)).toBeCloseTo(
      stepWith(0, 1, 2, 3),
      6,
    )
    const two = await weightAfter([four(), cancelAt('onBackwardBegin', [3])], 4, 2)
    const factor = (stepWith(0, 1, 2) - 3) / (1 - 3)
    expect(two).toBeCloseTo(3 - 2 * factor ** 2, 6)
  })

  it('steps with what it has where the last batch cannot be read', async () => {
    const x = Array.from({ length: 8 }, (_, i) => (i + 1) / 10)
    const points = {
      length: 8,
      get(index: number) {
        if (index >= 6) throw new DataError('broken')
        return { x: Float32Array.of(x[index]!), y: Float32Array.of(3 * x[index]!) }
      },
    }
    const loader = new DataLoader(points, { batchSize: 2, onError: 'skip' })
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const learner = lineLearner({ validBatches: 0 })
    Object.assign(learner.data, { trainDl: loader })
    await learner.fit(1, { lr: 0.1, callbacks: [four()] })
    vi.restoreAllMocks()
    expect(weightOf(learner)).toBeCloseTo(stepWith(0, 1, 2), 6)
  })

  it('tells of the step after the last batch as of any other: it is clipped, scaled back, counted, and can be skipped', async () => {
    const run = async (...more: Callback[]) => {
      const learner = lineLearner({ batches: 4, validBatches: 0 })
      const witness = new Witness()
      const callbacks = [four(), cancelAt('onBackwardBegin', [3]), witness, ...more]
      await learner.fit(1, { lr: 0.1, callbacks })
      expect(learner.optimizer.parameters()[0]!.accumulated).toBeNull()
      return { weight: weightOf(learner), events: witness.events.join(' ') }
    }
    const { events } = await run()
    expect(events).toMatch(/BB LB BE KE SE EE TE$/)
    expect((await run(new GradientClipping(0.25))).weight).toBeCloseTo(1.025, 5)
    expect((await run(new LossScaling({ initialScale: 1024 }))).weight).toBeCloseTo(stepWith(0, 1, 2), 5)
    expect((await run(new EMACallback({ decay: 0.5 }))).weight).toBeCloseTo((1 + stepWith(0, 1, 2)) / 2, 5)
    const atRest = (act: () => unknown) =>
      on<BatchEndContext>('onBackwardEnd', ({ numBatch }) => (numBatch === 4 ? act() : undefined))
    expect((await run(atRest(() => ({ skipStep: true })))).weight).toBe(1)
    for (const Kind of [CancelBatch, CancelEpoch]) {
      const cancel = atRest(() => {
        throw new Kind()
      })
      expect((await run(cancel)).weight).toBe(1)
    }
  })

  it('refuses what cannot be', () => {
    expect(() => new GradientAccumulation(0)).toThrow(/batches must be a whole number of at least 1, got 0/)
    expect(() => new GradientAccumulation({ batches: Number.NaN })).toThrow(/got NaN/)
    expect(() => new GradientAccumulation({ steps: 4 } as never)).toThrow(
      /unknown option steps; the options are batches/,
    )
    expect(() => four({ reduction: 'none' as 'sum' })).toThrow(/got none/)
    expect(() => new GradientClipping({ max: 1 } as never)).toThrow(/unknown option max/)
    expect(() => new GradientClipping(Number.NaN)).toThrow(/got NaN/)
  })
})
