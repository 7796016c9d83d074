import { describe, expect, it } from 'vitest'
import { GradientClipping, LossScaling, MixedPrecision } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { ConfigError, manualSeed, randint, randn, type Tensor } from '../../src/engine/index.ts'
import { type BackwardEndContext, Callback, Learner, type StepEndContext } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

function make(callbacks: Callback[] = []) {
  manualSeed(8)
  const model = new nn.Sequential(
    new nn.Conv2d(3, 8, 3),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(8 * 36, 4),
  )
  const dataset = new TensorDataset(randn([32, 3, 8, 8]), randint(0, 4, [32]))
  const trainDl = new DataLoader(dataset, { batchSize: 8 })
  return new Learner({ trainDl }, model, {
    lossFunction: new nn.CrossEntropyLoss(),
    optimizer: optim.SGD,
    silent: true,
    callbacks,
  })
}

const values = (learner: Learner) =>
  learner.model.parameters().flatMap((parameter: Tensor) => Array.from(parameter.dataSync(), Number))

/** Makes the gradients of one batch overflow. */
class Overflow extends Callback {
  override order = -2
  readonly at: number
  constructor(at: number) {
    super()
    this.at = at
  }
  override onBackwardEnd({ iteration, learner }: BackwardEndContext) {
    if (iteration === this.at) learner.optimizer.parameters()[0]!.accumulated!.fill_(Number.POSITIVE_INFINITY)
  }
}

describe('LossScaling', () => {
  it('changes nothing where no gradient vanishes: powers of two divide out to the bit', async () => {
    const plain = make()
    const scaled = make([new LossScaling({ initialScale: 1024 })])
    for (const learner of [plain, scaled]) await learner.fit(2, { lr: 0.05, wd: 0 })
    expect(values(scaled)).toEqual(values(plain))
    expect(scaled.recorder.rawLosses).toEqual(plain.recorder.rawLosses)
  })

  it('clips gradients as they are, not as they were scaled', async () => {
    const plain = make([new GradientClipping(0.1)])
    const scaled = make([new GradientClipping(0.1), new LossScaling()])
    for (const learner of [plain, scaled]) await learner.fit(1, { lr: 0.05, wd: 0 })
    expect(values(scaled)).toEqual(values(plain))
  })

  it('leaves out a step whose gradients overflowed, halves the scale, and doubles it after good ones', async () => {
    const scales: number[] = []
    const stepped: boolean[] = []
    class Watch extends Callback {
      override onStepEnd({ skipStep }: StepEndContext) {
        stepped.push(!skipStep)
        scales.push(scaling.scale)
      }
    }
    const scaling = new LossScaling({ initialScale: 256, growthInterval: 2 })
    const learner = make([new Overflow(1), scaling, new Watch()])
    await learner.fit(1, { lr: 0.05 })
    expect(stepped).toEqual([true, false, true, true])
    expect(scales).toEqual([256, 128, 128, 256])
    expect(values(learner).every(Number.isFinite)).toBe(true)
  })

  it('trains in float16 close to float32; toFp32 undoes it', async () => {
    const plain = make()
    const low = make()
    expect(low.toFp16()).toBe(low)
    for (const learner of [plain, low]) await learner.fit(2, { lr: 0.02 })
    for (const [i, loss] of low.recorder.rawLosses.entries())
      expect(Math.abs(loss - plain.recorder.rawLosses[i]!)).toBeLessThan(1e-2)
    expect(low.recorder.rawLosses).not.toEqual(plain.recorder.rawLosses)
    expect(low.model.parameters().map(({ dtype }) => dtype)).toEqual(Array(4).fill('float32'))
    expect(low.toFp32().callbacks).toEqual([])
    low.toBf16().toFp16()
    expect(low.callbacks.map((callback) => callback.constructor)).toEqual([MixedPrecision, LossScaling])
  })

  it('goes on from its state', () => {
    const scaling = new LossScaling()
    scaling.loadStateDict({ scale: 8, goodSteps: 3 })
    expect(scaling.stateDict()).toEqual({ scale: 8, goodSteps: 3 })
  })

  it('refuses senseless options', () => {
    expect(() => new LossScaling({ initialScale: 0 })).toThrow(ConfigError)
    expect(() => new LossScaling({ backoffFactor: 1 })).toThrow(
      /backoffFactor must be between 0 and 1, got 1/,
    )
    expect(() => new LossScaling({ growthInterval: 1.5 })).toThrow(ConfigError)
    expect(() => new LossScaling({ scale: 2 } as never)).toThrow(/scale/)
  })
})
