import { describe, expect, it } from 'vitest'
import { GradientAccumulation, MixedPrecision } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { autocast, manualSeed, randint, randn, type Tensor } from '../../src/engine/index.ts'
import { Callback, Learner, type LossBeginContext, metrics } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

function make(callbacks: Callback[] = []) {
  manualSeed(8)
  const body = new nn.Sequential(new nn.Conv2d(3, 8, 3), new nn.BatchNorm2d(8), new nn.ReLU())
  const model = new nn.Sequential(body, new nn.Flatten(), new nn.Linear(8 * 36, 4))
  const dataset = new TensorDataset(randn([32, 3, 8, 8]), randint(0, 4, [32]))
  const loader = () => new DataLoader(dataset, { batchSize: 8 })
  const learner = new Learner({ trainDl: loader(), validDl: loader() }, model, {
    lossFunction: new nn.CrossEntropyLoss(),
    optimizer: optim.SGD,
    metrics: [metrics.accuracy],
    silent: true,
    callbacks,
  })
  return { model, dataset, learner }
}

const values = (model: { parameters(): Tensor[] }) =>
  model.parameters().flatMap((parameter) => Array.from(parameter.dataSync(), Number))

/** Dtypes of what layers give, and of what the loss takes. */
class Dtypes extends Callback {
  override order = 1000
  readonly outputs: string[] = []
  override onLossBegin({ lastOutput }: LossBeginContext) {
    this.outputs.push(lastOutput.dtype)
  }
}

describe('MixedPrecision', () => {
  it('is a loop with autocast around the forward pass, over float32 weights', async () => {
    const { learner, model } = make([new MixedPrecision()])
    const inner: string[] = []
    const hook = (model.at(0) as nn.Module).registerForwardHook((_module, _inputs, output) => {
      inner.push((output as Tensor).dtype)
      return undefined
    })
    const dtypes = new Dtypes()
    await learner.fit(2, { lr: 0.05, wd: 0, callbacks: [dtypes] })
    hook.remove()
    expect(new Set(inner)).toEqual(new Set(['bfloat16']))
    expect(new Set(dtypes.outputs)).toEqual(new Set(['float32']))
    expect(new Set(model.parameters().map(({ dtype }) => dtype))).toEqual(new Set(['float32']))

    const other = make()
    const optimizer = new optim.SGD(other.model.parameters(), { lr: 0.05 })
    const loss = new nn.CrossEntropyLoss()
    for (let epoch = 0; epoch < 2; epoch++) {
      other.model.train()
      for await (const { x, y } of new DataLoader(other.dataset, { batchSize: 8 })) {
        const output = autocast('bfloat16', () => other.model.forward(x))
        loss.forward(output.to('float32'), y).backward()
        optimizer.step()
        optimizer.zeroGrad()
      }
    }
    expect(values(model)).toEqual(values(other.model))
  })

  it('stays close to float32, and reports unscaled losses when gradients accumulate', async () => {
    const plain = make()
    await plain.learner.fit(3, { lr: 0.02 })
    const low = make()
    expect(low.learner.toBf16()).toBe(low.learner)
    await low.learner.fit(3, { lr: 0.02 })
    const losses = (learner: Learner) => learner.recorder.rawLosses
    for (const [i, loss] of losses(low.learner).entries())
      expect(loss).toBeCloseTo(losses(plain.learner)[i]!, 1)
    expect(losses(low.learner)).not.toEqual(losses(plain.learner))

    const both = make([new MixedPrecision(), new GradientAccumulation(4)])
    await both.learner.fit(1, { lr: 0.02 })
    expect(both.learner.recorder.rawLosses[0]).toBe(low.learner.recorder.rawLosses[0])
  })

  it('holds for validation and predictions of its Learner, and leaves the model as it was', async () => {
    const { learner, model } = make()
    const forward = Object.getOwnPropertyDescriptor(model, 'forward')
    const exact = await learner.validate()
    const low = await learner.toBf16().validate()
    expect(low.loss).not.toBe(exact.loss)
    expect(low.loss).toBeCloseTo(exact.loss, 1)
    const { predictions } = await learner.getPredictions()
    expect(predictions.dtype).toBe('float32')
    expect(Object.getOwnPropertyDescriptor(model, 'forward')).toEqual(forward)
    class Fail extends nn.Module {
      inner = new nn.Linear(1, 1)
      forward(_: Tensor): Tensor {
        throw new Error('no answer')
      }
    }
    const broken = new Learner(learner.data, new Fail(), {
      lossFunction: new nn.CrossEntropyLoss(),
      callbacks: [new MixedPrecision()],
      silent: true,
    })
    await expect(broken.validate()).rejects.toThrow('no answer')
    expect(Object.hasOwn(broken.model, 'forward')).toBe(false)
    expect((await learner.toFp32().validate()).loss).toBe(exact.loss)
  })

  it('refuses other dtypes', () => {
    expect(() => new MixedPrecision({ dtype: 'float64' as 'bfloat16' })).toThrow(
      /must be 'bfloat16' or 'float16', got float64/,
    )
    expect(() => new MixedPrecision({ lossScale: 2 } as never)).toThrow(/unknown option lossScale/)
  })
})
