import { describe, expect, it } from 'vitest'
import {
  FixedGANSwitcher,
  GradientAccumulation,
  GradientClipping,
  LossScaling,
  MixedPrecision,
} from '../../callbacks/index.ts'
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
import {
  Callback,
  type EpochBeginContext,
  Learner,
  type LossBeginContext,
  metrics,
} from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { GANLearner } from '../../src/vision/index.ts'

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
  return compiled.compiled?.recordings
}

describe('learner.compile', () => {
  it('gives the same bits, dropout, batch norm, schedules and a short last batch included', async () => {
    // Whole batches, and the short last ones.
    expect(await expectSame(() => {})).toBe(2)
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

  it('with samples mixed, whose loss is another in each fit', async () => {
    const [plain, compiled] = [make(), make().compile()]
    for (const learner of [plain, compiled]) {
      learner.mixup()
      manualSeed(2)
      for (const lr of [1e-2, 1e-3]) await learner.fit(2, { lr })
    }
    expect(compiled.recorder.rawLosses).toEqual(plain.recorder.rawLosses)
    expect(compiled.compiled?.recordings).toBe(2)
  })

  it('is left out where gradients add up over batches', async () => {
    const recordings = await expectSame(
      () => {},
      () => [new GradientAccumulation(2)],
    )
    expect(recordings).toBe(0)
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

  it.each<[string, (learner: Learner, look: () => void) => () => void]>([
    [
      'after a layer, changing its output',
      ({ model }, look) =>
        model.modules()[3]!.registerForwardHook((_module, _inputs, output) => {
          look()
          return output.mul(2)
        }).remove,
    ],
    ['before a layer', ({ model }, look) => model.modules()[3]!.registerForwardPreHook(() => look()).remove],
    [
      'after the loss',
      ({ lossFunction }, look) =>
        (lossFunction as nn.CrossEntropyLoss).registerForwardHook(() => look()).remove,
    ],
    [
      'of a gradient',
      ({ model }, look) =>
        model.parameters()[0]!.registerHook(() => {
          look()
          return null
        }),
    ],
  ])('runs batches without recordings while there is a hook %s', async (_title, watch) => {
    const [plain, compiled] = [make(), make().compile()]
    const runs: number[] = []
    for (const learner of [plain, compiled]) {
      let seen = 0
      manualSeed(2)
      await learner.fit(1, { lr: 1e-2 })
      const remove = watch(learner, () => {
        seen++
      })
      await learner.fit(2, { lr: 1e-2 })
      if (learner === compiled) expect(compiled.compiled?.recordings).toBe(0)
      remove()
      await learner.fit(2, { lr: 1e-2 })
      runs.push(seen)
    }
    expect(runs[0]).toBeGreaterThanOrEqual(12)
    expect(runs[1]).toBe(runs[0])
    expect(values(compiled)).toEqual(values(plain))
    expect(compiled.compiled?.recordings).toBe(2)
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

describe('what a recording was made for', () => {
  const sameAfter = async (change: (learner: Learner) => unknown, callbacks: () => Callback[] = () => []) => {
    const [plain, compiled] = [make(32, callbacks()), make(32, callbacks()).compile()]
    for (const learner of [plain, compiled]) {
      manualSeed(2)
      await learner.fit(2, { lr: 1e-2 })
      await change(learner)
      await learner.fit(2, { lr: 1e-2 })
    }
    expect(compiled.recorder.rawLosses).toEqual(plain.recorder.rawLosses)
    expect(values(compiled)).toEqual(values(plain))
    expect(compiled.compiled?.recordings).toBe(1)
  }
  const layer = ({ model }: Learner, name: string) =>
    model.namedModules().find(([each]) => each === name)![1] as nn.Module

  it.each<[string, (learner: Learner) => unknown]>([
    [
      'another loss',
      (learner) => {
        learner.lossFunction = new nn.CrossEntropyLoss({ labelSmoothing: 0.5 })
      },
    ],
    [
      'the loss set otherwise',
      (learner) => {
        ;(learner.lossFunction as nn.CrossEntropyLoss).reduction = 'sum'
      },
    ],
    ['other layer groups', (learner) => learner.split([layer(learner, '1.2')])],
    [
      'layer groups in another order',
      (learner) => learner.split([[layer(learner, '1')], [layer(learner, '0')]] as never),
    ],
    [
      'another dropout',
      (learner) => {
        ;(layer(learner, '1.1') as nn.Dropout).p = 0.9
      },
    ],
    ['scaled losses', (learner) => learner.toFp16({ initialScale: 1024 })],
  ])('is noticed to be gone: %s', async (_title, change) => {
    await sameAfter(change)
  })

  it('is noticed to be gone with other scaled losses', async () => {
    await sameAfter(
      (learner) => learner.toFp16({ initialScale: 2, growthInterval: 1 }),
      () => [new MixedPrecision({ dtype: 'float16' }), new LossScaling({ initialScale: 65536 })],
    )
  })

  it('is noticed to be gone in the middle of a fit', async () => {
    const changes: ((learner: Learner) => void)[] = [
      (learner) => {
        learner.lossFunction = new nn.CrossEntropyLoss({ labelSmoothing: 0.5 })
      },
      (learner) => {
        ;(layer(learner, '1.1') as nn.Dropout).p = 0.9
      },
      (learner) => learner.split([layer(learner, '1')]),
      (learner) => learner.freeze(),
      (learner) => learner.unfreeze(),
    ]
    class Changes extends Callback {
      override onEpochBegin({ epoch, learner }: EpochBeginContext) {
        changes[epoch - 1]?.(learner)
      }
    }
    const [plain, compiled] = [make(), make().compile()]
    for (const learner of [plain, compiled]) {
      manualSeed(2)
      await learner.fit(changes.length + 3, { lr: 1e-2, callbacks: [new Changes()] })
    }
    expect(compiled.recorder.rawLosses).toEqual(plain.recorder.rawLosses)
    expect(values(compiled)).toEqual(values(plain))
  })

  it('frees recordings of losses that do not come again', async () => {
    class Alternate extends Callback {
      override onEpochBegin({ learner }: EpochBeginContext) {
        learner.lossFunction = new nn.CrossEntropyLoss()
      }
    }
    const learner = make(48).compile()
    const bytes: number[] = []
    class Bytes extends Callback {
      override onEpochEnd() {
        bytes.push(memoryStats(getDefaultDevice()).bytesInUse)
      }
    }
    await learner.fit(16, { callbacks: [new Alternate(), new Bytes()] })
    expect(bytes[15]!).toBeLessThanOrEqual(Math.max(...bytes.slice(0, 6)) + 65536)
  })
})

describe('with adversarial training', () => {
  /** Noise and pictures of one shape: nothing in a batch tells whose turn it is. */
  function gan(switchEval: boolean) {
    manualSeed(4)
    const network = () => new nn.Sequential(new nn.Conv2d(3, 3, 3, { padding: 1 }), new nn.Tanh())
    const judge = new nn.Sequential(new nn.Flatten(), new nn.Linear(3 * 64, 1))
    const dataset = new TensorDataset(randn([32, 3, 8, 8]), randn([32, 3, 8, 8]))
    const data = { trainDl: new DataLoader(dataset, { batchSize: 8 }) }
    return GANLearner.wgan(data, network(), judge, {
      switchEval,
      silent: true,
      switcher: new FixedGANSwitcher(1, 1),
    })
  }

  it.each([false, true])('each network has recordings of its own (switchEval %s)', async (switchEval) => {
    const [plain, compiled] = [gan(switchEval), gan(switchEval).compile()]
    for (const learner of [plain, compiled]) {
      manualSeed(2)
      await learner.fit(3, { lr: 1e-3 })
    }
    expect(compiled.recorder.rawLosses).toEqual(plain.recorder.rawLosses)
    expect(values(compiled as never)).toEqual(values(plain as never))
    expect(compiled.compiled?.recordings).toBe(2)
  })

  it('is refused where a network steps between the passes of the other', async () => {
    const dataset = new TensorDataset(randn([16, 3, 8, 8]), randn([16, 3, 8, 8]))
    const data = { trainDl: new DataLoader(dataset, { batchSize: 8 }) }
    const learner = GANLearner.dcgan(data, { size: 8, features: 2, latent: 4, silent: true }).compile()
    await expect(learner.fit(2)).rejects.toThrow(
      /DCGANTrainer trains the discriminator between.*compile\(false\)/,
    )
    await learner.compile(false).fit(1)
  })

  it('is refused where a callback of one’s own does so', async () => {
    class Steps extends Callback {
      override onLossBegin({ learner, train }: LossBeginContext) {
        if (train) learner.optimizer.zeroGrad()
      }
    }
    await expect(make(32, [new Steps()]).compile().fit(2)).rejects.toThrow(/changes what is computed/)
  })
})
