import { describe, expect, it } from 'vitest'
import { GradientAccumulation, GradientClipping } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import {
  ConfigError,
  getDefaultDevice,
  manualSeed,
  memoryStats,
  randint,
  randn,
  type Tensor,
} from '../../src/engine/index.ts'
import { Callback, Learner, type LossBeginContext, metrics } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'

function make(items = 44, callbacks: Callback[] = []) {
  manualSeed(8)
  const body = new nn.Sequential(
    new nn.Conv2d(3, 8, 3),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
  )
  const head = new nn.Sequential(new nn.Flatten(), new nn.Dropout(0.3), new nn.Linear(8 * 9, 4))
  const dataset = new TensorDataset(randn([items, 3, 8, 8]), randint(0, 4, [items]))
  const loader = (shuffle: boolean) => new DataLoader(dataset, { batchSize: 8, shuffle })
  return new Learner({ trainDl: loader(true), validDl: loader(false) }, new nn.Sequential(body, head), {
    lossFunction: new nn.CrossEntropyLoss(),
    metrics: [metrics.accuracy],
    silent: true,
    callbacks,
  })
}

const values = (learner: Learner) =>
  [...learner.model.parameters(), ...learner.model.buffers()].flatMap((part: Tensor) =>
    Array.from(part.dataSync(), Number),
  )

async function expectSame(prepare: (learner: Learner) => unknown, callbacks: () => Callback[] = () => []) {
  const plain = make(44, callbacks())
  const compiled = make(44, callbacks()).compile()
  for (const learner of [plain, compiled]) {
    prepare(learner)
    manualSeed(2)
    await learner.fitOneCycle(3, { maxLr: 1e-2 })
  }
  expect(compiled.recorder.rawLosses).toEqual(plain.recorder.rawLosses)
  expect(compiled.recorder.validLosses).toEqual(plain.recorder.validLosses)
  expect(values(compiled)).toEqual(values(plain))
  return compiled
}

describe('learner.compile', () => {
  it('gives the same bits, dropout, batch norm, schedules and a short last batch included', async () => {
    await expectSame(() => {})
  })

  it('in bfloat16, and in float16 with scaled losses', async () => {
    await expectSame((learner) => learner.toBf16())
    await expectSame((learner) => learner.toFp16({ initialScale: 1024, growthInterval: 3 }))
  })

  it('with gradients clipped, and with parameters frozen in between', async () => {
    await expectSame(
      () => {},
      () => [new GradientClipping(0.1)],
    )
    const [plain, compiled] = [make(), make().compile()]
    for (const learner of [plain, compiled]) {
      learner.split((model) => [(model as nn.Sequential).at(1) as nn.Module])
      manualSeed(2)
      await learner.fit(1, { lr: 1e-2 })
      learner.freeze()
      await learner.fit(1, { lr: 1e-2 })
      learner.unfreeze()
      await learner.fit(1, { lr: 1e-2 })
    }
    expect(values(compiled)).toEqual(values(plain))
  })

  it('is left out where gradients add up over batches', async () => {
    await expectSame(
      () => {},
      () => [new GradientAccumulation(2)],
    )
  })

  it('lets callbacks see the tensors of the step', async () => {
    class Outputs extends Callback {
      readonly sums: number[] = []
      override onLossBegin({ train, lastOutput }: LossBeginContext) {
        if (train) this.sums.push(lastOutput.sum().item())
      }
    }
    const [one, other] = [new Outputs(), new Outputs()]
    for (const [learner, outputs] of [
      [make(), one],
      [make().compile(), other],
    ] as const) {
      manualSeed(2)
      await learner.fit(2, { lr: 1e-2, callbacks: [outputs] })
    }
    expect(other.sums).toEqual(one.sums)
    expect(other.sums.length).toBe(12)
  })

  it('refuses a callback that changes what is recorded', async () => {
    class Doubled extends Callback {
      override onLossBegin({ lastOutput }: LossBeginContext) {
        return { lastOutput: lastOutput.mul(2) }
      }
    }
    const learner = make().compile()
    await expect(learner.fit(1, { callbacks: [new Doubled()] })).rejects.toThrow(ConfigError)
    learner.compile(false)
    await learner.fit(1, { callbacks: [new Doubled()] })
  })

  it('refuses a loss that reads values, which a recording would not do again', async () => {
    const learner = make().compile()
    learner.lossFunction = (output, target) => {
      const loss = new nn.CrossEntropyLoss().forward(output, target as Tensor)
      return loss.mul(loss.item() > 1 ? 2 : 1)
    }
    await expect(learner.fit(1)).rejects.toThrow('reads a tensor')
  })

  it('takes no more memory from step to step, and gives it back', async () => {
    const device = getDefaultDevice()
    const learner = make(48).compile()
    await learner.fit(1)
    const { bytesInUse } = memoryStats(device)
    await learner.fit(2)
    expect(memoryStats(device).bytesInUse).toBeLessThanOrEqual(bytesInUse + 65536)
    expect(learner.compiled).toBeDefined()
    learner.compile(false)
    expect(learner.compiled).toBeUndefined()
    expect(memoryStats(device).bytesInUse).toBeLessThan(bytesInUse)
  })
})
