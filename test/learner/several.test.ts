import { join } from 'node:path'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { GradientAccumulation } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { ConfigError, manualSeed, noGrad, randint, randn, type Tensor } from '../../src/engine/index.ts'
import {
  Callback,
  Learner,
  type LearnerData,
  type LearnerOptions,
  type LossBeginContext,
  type LossModule,
  metrics,
  type Output,
} from '../../src/learner/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { runOnnx } from '../onnx/runtime.ts'

const items = 22

/** Points, each with one of three kinds and a value. */
function points() {
  manualSeed(5)
  return { x: randn([items, 4]), kinds: randint(3, [items]), values: randn([items, 1]) }
}

function loaders<Item>(get: (index: number) => Item): LearnerData {
  const loader = (shuffle: boolean) =>
    new DataLoader({ length: items, get }, { batchSize: 4, shuffle, seed: 3 })
  return { trainDl: loader(true), validDl: loader(false) } as unknown as LearnerData
}

/** Scores of the kinds, and the value, of one body. */
class Heads extends nn.Module<[Tensor], [Tensor, Tensor]> {
  body = new nn.Linear(4, 8)
  kind = new nn.Linear(8, 3)
  value = new nn.Linear(8, 1)
  override forward(x: Tensor): [Tensor, Tensor] {
    const hidden = F.relu(this.body.forward(x))
    return [this.kind.forward(hidden), this.value.forward(hidden)]
  }
}

const both = ([scores, value]: [Tensor, Tensor], [kinds, values]: readonly Tensor[]) =>
  F.crossEntropy(scores, kinds!).add(F.mseLoss(value, values!))

/** The same loss, which knows what outputs mean and has one for each item. */
class Both extends nn.Module<[readonly Tensor[], readonly Tensor[]]> implements LossModule {
  reduction = 'mean'
  override forward([scores, value]: readonly Tensor[], [kinds, values]: readonly Tensor[]): Tensor {
    const one = F.crossEntropy(scores!, kinds!, { reduction: 'none' })
    const other = F.mseLoss(value!, values!, { reduction: 'none' }).squeeze(1)
    const losses = one.add(other)
    return this.reduction === 'none' ? losses : losses.mean()
  }
  activation([scores, value]: readonly Tensor[]) {
    return [F.softmax(scores!, 1), value!]
  }
  decode([scores, value]: readonly Tensor[]) {
    return [scores!.argmax(1), value!]
  }
}

function multiTask(options: LearnerOptions = {}) {
  const { x, kinds, values } = points()
  const data = loaders((i) => ({ x: x.index(i), y: [kinds.index(i), values.index(i)] }))
  manualSeed(6)
  const learner = new Learner(data, new Heads(), { lossFunction: both, silent: true, ...options })
  return { learner, x, kinds, values }
}

const weights = ({ model }: { model: nn.Module<[Tensor], [Tensor, Tensor]> }) =>
  model.parameters().flatMap((parameter) => Array.from(parameter.dataSync(), Number))

const arrays = (tensors: readonly Tensor[]) => tensors.map((tensor) => tensor.toArray())

describe('a model with several heads', () => {
  it('predicts lists, as its forward gives them', async () => {
    const { learner, x, kinds, values } = multiTask()
    await learner.fit(1)
    const result = await learner.getPredictions<readonly Tensor[]>()
    expectTypeOf(result.predictions).toEqualTypeOf<[Tensor, Tensor]>()
    const expected = arrays(noGrad(() => learner.model.forward(x)))
    expect(arrays(result.predictions).flat(3)).toEqual(
      expected.flat(3).map((value) => expect.closeTo(value as number, 5)),
    )
    expect(result.predictions.map(({ shape }) => shape)).toEqual([
      [items, 3],
      [items, 1],
    ])
    expect(arrays(result.decoded)).toEqual(arrays(result.predictions))
    expect(arrays(result.targets)).toEqual([kinds.toArray(), values.toArray()])
    const some = await learner.getPredictions({ items: 5 })
    expect(arrays(some.predictions)).toEqual(
      arrays(result.predictions).map((rows) => (rows as never[]).slice(0, 5)),
    )

    const one = await learner.predict(x.index(2))
    const [scores, value] = learner.model.forward(x.narrow(0, 2, 1))
    expect(one).toEqual({
      label: undefined,
      decoded: one.predictions,
      predictions: arrays([scores.index(0), value.index(0)]),
    })
    const all = await learner.predictAll([x.index(0), x.index(2)])
    expect(all).toHaveLength(2)
    expect((all[1]!.predictions as number[][]).flat()).toEqual(
      (one.predictions as number[][]).flat().map((each) => expect.closeTo(each, 5)),
    )
  })

  it('has what its loss makes of the list, and the loss of each item', async () => {
    const { learner, x, kinds, values } = multiTask({ lossFunction: new Both() })
    const raw = noGrad(() => learner.model.forward(x))
    const { predictions, decoded, losses } = await learner.getPredictions({ withLoss: true })
    const close = (list: unknown) => [list].flat(3).map((value) => expect.closeTo(value as number, 5))
    expect([predictions[0].toArray()].flat(3)).toEqual(close(F.softmax(raw[0], 1).toArray()))
    expect(decoded[0].toArray()).toEqual(raw[0].argmax(1).toArray())
    const loss = new Both()
    loss.reduction = 'none'
    expect(losses!.toArray()).toEqual(close(loss.forward(raw, [kinds, values]).toArray()))
    expect((await learner.predict(x.index(1))).decoded).toEqual([
      raw[0].argmax(1).index(1).item(),
      [expect.closeTo(raw[1].index(1, 0).item(), 5)],
    ])
  })

  it.each<[string, (learner: Learner<Heads>) => unknown]>([
    ['plainly', () => {}],
    ['in bfloat16', (learner) => learner.toBf16()],
    ['in float16 with scaled losses', (learner) => learner.toFp16({ initialScale: 1024 })],
  ])('gives the same bits compiled, %s', async (_title, prepare) => {
    const [plain, compiled] = [multiTask(), multiTask()].map(({ learner }) => learner) as [
      Learner<Heads>,
      Learner<Heads>,
    ]
    compiled.compile()
    const seen: unknown[][] = []
    for (const learner of [plain, compiled]) {
      const outputs: unknown[] = []
      seen.push(outputs)
      class Looks extends Callback {
        override onLossBegin({ lastOutput }: LossBeginContext) {
          const output = lastOutput as Output
          outputs.push(arrays(output as readonly Tensor[]))
        }
      }
      prepare(learner)
      await learner.fit(3, { lr: 0.01, callbacks: [new Looks()] })
    }
    expect(compiled.compiled?.recordings).toBe(2)
    expect(compiled.recorder.rawLosses).toEqual(plain.recorder.rawLosses)
    expect(weights(compiled)).toEqual(weights(plain))
    expect(seen[1]).toEqual(seen[0])
  })

  it('computes its losses in float32 under mixed precision', async () => {
    const dtypes = new Set<string>()
    const { learner } = multiTask({
      lossFunction: (outputs: readonly [Tensor, Tensor], targets: readonly Tensor[]) => {
        for (const { dtype } of outputs) dtypes.add(dtype)
        return both([...outputs], targets)
      },
    })
    await learner.toBf16().fit(1)
    expect([...dtypes]).toEqual(['float32'])
  })

  it('sweeps, sums up, adds gradients up, and leaves as ONNX', async () => {
    const { learner, x } = multiTask({ lossFunction: new Both() })
    expect((await learner.lrFind({ numIt: 10 })).lrs).toHaveLength(10)
    expect(String(await learner.summary())).toContain('Heads')
    await learner.fit(1, { callbacks: [new GradientAccumulation(2)] })
    const file = await learner.exportOnnx(join(await temporaryFolder(), 'heads.onnx'), { activate: true })
    const outputs = await runOnnx(file, [x])
    const [scores, value] = noGrad(() => learner.model.forward(x))
    const expected = [F.softmax(scores, 1), value].map((tensor) => Array.from(tensor.dataSync(), Number))
    expect(outputs.map(({ data }) => Array.from(data, Number))).toEqual(
      expected.map((list) => list.map((each) => expect.closeTo(each, 4))),
    )
  })

  it('says which parts take one tensor', async () => {
    const { learner } = multiTask()
    await expect(learner.interpret()).rejects.toThrow(
      expect.objectContaining({
        code: 'CONFIG',
        message: expect.stringMatching(/interpret needs .*class label.*predictions are a list of 2/),
      }),
    )
    const { validDl } = learner.data
    await expect(learner.tta({ loaders: [validDl!] })).rejects.toThrow(
      /tta takes one tensor.*predictions are a list of 2/,
    )
    await expect(multiTask({ metrics: [metrics.accuracy] }).learner.fit(1)).rejects.toThrow(
      expect.objectContaining({
        code: 'CONFIG',
        message: expect.stringMatching(/metric accuracy .*one of your own/),
      }),
    )
  })

  it('has metrics of one’s own', async () => {
    function accuracyOfKinds([scores]: readonly Tensor[], [kinds]: readonly Tensor[]) {
      return scores!.argmax(1).eq(kinds!).float().mean()
    }
    const { learner, x, kinds } = multiTask({ metrics: [accuracyOfKinds] })
    const expected = noGrad(() => learner.model.forward(x)[0].argmax(1).eq(kinds).float().mean().item())
    expect((await learner.validate()).accuracyOfKinds).toBeCloseTo(expected, 5)
  })

  it('refuses a list that has no row for each item, and what is no tensor', async () => {
    class Odd extends Heads {
      override forward(x: Tensor): [Tensor, Tensor] {
        const [scores, value] = super.forward(x)
        return [scores, value, value.mean()] as never
      }
    }
    const { learner, x } = multiTask()
    const odd = new Learner(learner.data, new Odd(), { lossFunction: both, silent: true })
    await expect(odd.getPredictions()).rejects.toThrow(/tensor 2 of the list is \[\]/)
    await expect(odd.predict(x.index(0))).rejects.toThrow(ConfigError)
    class Named extends nn.Module<[Tensor], { scores: Tensor }> {
      scores = new nn.Linear(4, 3)
      override forward(input: Tensor) {
        return { scores: this.scores.forward(input) }
      }
    }
    const named = new Learner(learner.data, new Named(), {
      lossFunction: ((output: { scores: Tensor }, [kinds]: readonly Tensor[]) =>
        F.crossEntropy(output.scores, kinds!)) as never,
      silent: true,
    })
    await named.fit(1)
    await expect(named.predict(x.index(0))).rejects.toThrow(/must be a tensor or a list of tensors/)
    await expect(named.getPredictions()).rejects.toThrow(ConfigError)
    await expect(named.compile().fit(1)).rejects.toThrow(/compile takes a model whose forward gives/)
  })
})

describe('data with several targets for one output', () => {
  /** The kind's scores weighed by the value. */
  const weighed = (scores: Tensor, [kinds, values]: readonly Tensor[]) =>
    F.crossEntropy(scores, kinds!, { reduction: 'none' }).mul(values!.squeeze(1).square()).mean()
  class Weighed extends nn.Module<[Tensor, readonly Tensor[]]> {
    override forward(scores: Tensor, targets: readonly Tensor[]) {
      return weighed(scores, targets)
    }
  }
  const make = (lossFunction: LearnerOptions['lossFunction']) => {
    const { learner, ...rest } = multiTask()
    manualSeed(6)
    return {
      ...rest,
      learner: new Learner(learner.data, new nn.Linear(4, 3), { lossFunction, silent: true }),
    }
  }

  it.each([
    ['a function', weighed],
    ['a module', new Weighed()],
  ])('are trained with, and predicted beside, with %s as loss', async (_title, lossFunction) => {
    const { learner, x, kinds, values } = make(lossFunction)
    const compiled = make(lossFunction).learner.compile()
    await learner.fit(2)
    await compiled.fit(2)
    expect(compiled.recorder.rawLosses).toEqual(learner.recorder.rawLosses)
    const { predictions, targets } = await learner.getPredictions<readonly Tensor[]>({ items: 10 })
    expect(arrays(targets)).toEqual(arrays([kinds.narrow(0, 0, 10), values.narrow(0, 0, 10)]))
    expect(predictions.shape).toEqual([10, 3])
    expect((await learner.predict(x.index(0))).predictions).toHaveLength(3)
    await expect(learner.interpret()).rejects.toThrow(
      expect.objectContaining({
        code: 'CONFIG',
        message: expect.stringMatching(/class label.*targets are a list of 2/),
      }),
    )
  })

  it('lets a mixing callback say that it takes one', async () => {
    const { learner } = make(new Weighed())
    await expect(learner.mixup({ stackY: false }).fit(1)).rejects.toThrow(
      /target must be one tensor, here are 2/,
    )
  })
})

describe('a model with several inputs', () => {
  class Two extends nn.Module<[Tensor, Tensor]> {
    left = new nn.Linear(4, 2)
    right = new nn.Linear(1, 2)
    override forward(a: Tensor, b: Tensor): Tensor {
      return this.left.forward(a).add(this.right.forward(b))
    }
  }
  const make = () => {
    const { x, values } = points()
    const data = loaders((i) => ({ x: [x.index(i), values.index(i)], y: values.index(i).expand([2]) }))
    manualSeed(6)
    return {
      x,
      values,
      learner: new Learner(data, new Two(), { lossFunction: new nn.MSELoss(), silent: true }),
    }
  }

  it('takes a list of tensors for one item', async () => {
    const { x, values, learner } = make()
    await learner.fit(1)
    const expected = noGrad(() => learner.model.forward(x, values)).toArray() as number[][]
    const close = (row: number[]) => row.map((each) => expect.closeTo(each, 5))
    const item = (i: number) => [x.index(i), values.index(i)]
    expect((await learner.predict(item(3))).predictions).toEqual(close(expected[3]!))
    const all = await learner.predictAll([item(0), item(1), item(2)], { batchSize: 2 })
    expect(all.map(({ predictions }) => predictions)).toEqual([0, 1, 2].map((i) => close(expected[i]!)))
  })

  it('refuses items of different numbers of tensors, and what is no tensor', async () => {
    const { x, values, learner } = make()
    const mixed = [[x.index(0), values.index(0)], x.index(1)]
    await expect(learner.predictAll(mixed)).rejects.toThrow(/item 0 has 2 tensors, item 1 has 1/)
    await expect(learner.predict([])).rejects.toThrow(/tensor.*or a list of tensors/)
    await expect(learner.predict([x.index(0), 1])).rejects.toThrow(ConfigError)
  })

  it('refuses fewer tensors for an item than forward takes, unless it can do without', async () => {
    const { x, values, learner } = make()
    const words = /forward takes 2 tensors and failed with 1 .*predictAll\(\[\[a, b\], \[c, d\]\]\)/
    // One item of two tensors that was meant: as two items they differ in shape, or lack a part.
    await expect(learner.predictAll([x.index(0), values.index(0)])).rejects.toThrow(words)
    await expect(learner.predictAll([x.index(0), x.index(1)])).rejects.toThrow(words)
    await expect(learner.predict(x.index(0))).rejects.toThrow(ConfigError)
    class Optional extends Two {
      override forward(a: Tensor, b?: Tensor): Tensor {
        return b ? super.forward(a, b) : this.left.forward(a)
      }
    }
    const optional = new Learner(learner.data, new Optional(), { lossFunction: new nn.MSELoss() })
    expect(await optional.predictAll([x.index(0), x.index(1)])).toHaveLength(2)
    await expect(optional.predict(values.index(0))).rejects.toThrow(words)
  })

  it('a Sequential would leave out all tensors of an item but the first', async () => {
    const { x, learner } = make()
    const one = new Learner(learner.data, new nn.Sequential(new nn.Linear(4, 2)), {
      lossFunction: new nn.MSELoss(),
    })
    expect(await one.predictAll([x.index(0), x.index(1)])).toHaveLength(2)
    await expect(one.predict([x.index(0), x.index(1)])).rejects.toThrow(/a Sequential has one: .*predictAll/)
  })

  it('may be one of a single input, given in a list', async () => {
    const { learner, x } = multiTask()
    expect(await learner.predict([x.index(0)])).toEqual(await learner.predict(x.index(0)))
    // Two items, not one of two tensors.
    expect(await learner.predictAll([x.index(0), x.index(1)])).toHaveLength(2)
  })
})

it('TensorDatasets of lists train, predict and compile as items that are collated do', async () => {
  const { x, kinds, values } = points()
  const { learner } = multiTask()
  const sets = new TensorDataset(x, [kinds, values])
  const data = {
    trainDl: new DataLoader(sets, { batchSize: 4, shuffle: true, seed: 3 }),
    validDl: new DataLoader(sets, { batchSize: 4 }),
  }
  manualSeed(6)
  const gathered = new Learner(data, new Heads(), { lossFunction: both, silent: true }).compile()
  for (const each of [learner, gathered]) await each.fit(2)
  expect(weights(gathered)).toEqual(weights(learner))
  const { targets } = await gathered.getPredictions<readonly Tensor[]>()
  expect(arrays(targets)).toEqual(arrays([kinds, values]))
})
