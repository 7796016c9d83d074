import { describe, expect, it } from 'vitest'
import { CheckpointCallback, CutMixCallback, MixUpCallback } from '../../callbacks/index.ts'
import { drawBeta } from '../../src/data/beta.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { RandomStream } from '../../src/data/random.ts'
import { arange, getRngState, manualSeed, randint, randn, Tensor, tensor } from '../../src/engine/index.ts'
import { Callback, Learner, type LearnerOptions, metrics } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { Fail } from '../learner/support.ts'

interface Seen {
  x: number[]
  target: number[][]
  loss: number
  output: number[][]
}

/** Writes down what model and loss were given. */
class Watch extends Callback {
  override order = 10
  readonly train: Seen[] = []
  readonly valid: Seen[] = []
  override onBatchEnd(context: Parameters<NonNullable<Callback['onBatchEnd']>>[0]) {
    const { lastInput, lastTarget, lossValue, lastOutput, train } = context
    const targets = lastTarget instanceof Tensor ? [lastTarget] : lastTarget
    const list = train ? this.train : this.valid
    list.push({
      x: Array.from((lastInput as Tensor).dataSync(), Number),
      target: targets.map((target) => Array.from(target.dataSync(), Number)),
      loss: lossValue,
      output: lastOutput.toArray() as number[][],
    })
  }
}

/** Each sample is its number, so that what was mixed can be told; its class is the number's remainder. */
function pictures(samples: number, size: number) {
  const x = arange(samples).reshape([samples, 1, 1, 1]).expand(samples, 2, size, size).clone().to('float32')
  const y = arange(samples).to('int64').remainder(3)
  return new DataLoader(new TensorDataset(x, y), { batchSize: 16 })
}

async function run(
  callback: Callback,
  { size = 4, ...options }: Partial<LearnerOptions> & { size?: number } = {},
) {
  manualSeed(9)
  const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(2 * size * size, 3))
  const lossFunction = new nn.CrossEntropyLoss()
  const learner = new Learner({ trainDl: pictures(32, size), validDl: pictures(16, size) }, model, {
    lossFunction,
    metrics: [metrics.accuracy],
    silent: true,
    ...options,
  })
  const watch = new Watch()
  await learner.fit(2, { lr: 1e-3, callbacks: [callback, watch] })
  return { learner, watch, lossFunction }
}

/** Mean over samples of share · loss(first) + (1 - share) · loss(second), by hand. */
function mixedLoss({ output, target }: Seen): number {
  const [first, second, share] = target as [number[], number[], number[]]
  const losses = output.map((logits, i) => {
    const log = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
    return share[i]! * (log - logits[first[i]!]!) + (1 - share[i]!) * (log - logits[second[i]!]!)
  })
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length
}

describe('MixUpCallback', () => {
  it('mixes samples and losses alike in training, and leaves validation alone', async () => {
    const { learner, watch, lossFunction } = await run(new MixUpCallback())
    expect(watch.train).toHaveLength(4)
    const orders: string[] = []
    for (const [i, seen] of watch.train.entries()) {
      const [first, second, share] = seen.target as [number[], number[], number[]]
      const offset = i % 2 === 0 ? 0 : 16
      expect(share.every((value) => value >= 0.5 && value <= 1)).toBe(true)
      expect(new Set(share).size).toBeGreaterThan(10)
      const others = share.map((value, j) => {
        const pixel = seen.x[j * 32]!
        return value > 0.999 ? Number.NaN : Math.round((pixel - value * (offset + j)) / (1 - value))
      })
      for (const [j, other] of others.entries()) {
        expect(first[j]).toBe((offset + j) % 3)
        if (!Number.isNaN(other)) expect(second[j]).toBe(other % 3)
      }
      orders.push(String(others))
      expect(seen.loss).toBeCloseTo(mixedLoss(seen), 4)
    }
    expect(new Set(orders).size).toBe(4)
    for (const seen of watch.valid) {
      expect(seen.target).toEqual([Array.from({ length: 16 }, (_, i) => i % 3)])
      expect(seen.x.filter((_, i) => i % 32 === 0)).toEqual(Array.from({ length: 16 }, (_, i) => i))
    }
    expect(learner.lossFunction).toBe(lossFunction)
    const { loss } = await learner.validate()
    expect(loss).toBeCloseTo(learner.recorder.validLosses.at(-1)!, 6)
  })

  it('draws shares from Beta(0.4, 0.4), folded: their mean is 0.84', () => {
    const moments = (alpha: number, fold: boolean) => {
      const random = new RandomStream({ seed: 1, purpose: 'batch' })
      const values = Array.from({ length: 20000 }, () => drawBeta(random, alpha))
      const used = fold ? values.map((value) => Math.max(value, 1 - value)) : values
      const mean = used.reduce((sum, value) => sum + value, 0) / used.length
      return [mean, used.reduce((sum, value) => sum + (value - mean) ** 2, 0) / used.length]
    }
    expect(moments(0.4, true)[0]).toBeCloseTo(0.84, 2)
    for (const alpha of [0.001, 0.4, 1, 3, 50]) {
      const [mean, variance] = moments(alpha, false)
      expect(mean).toBeCloseTo(0.5, 1.7)
      expect(variance! * 4 * (2 * alpha + 1)).toBeCloseTo(1, 1)
    }
  })

  it('can mix the targets themselves, or leave the mixing to the model', async () => {
    const data = new DataLoader(new TensorDataset(randn([8, 2]), randn([8, 1])), { batchSize: 8 })
    const linear = new nn.Linear(2, 1)
    const watch = new Watch()
    const learner = new Learner({ trainDl: data }, linear, {
      lossFunction: (a, b) => a.sub(b).square().mean(),
      silent: true,
    })
    await learner.fit(1, { callbacks: [new MixUpCallback({ stackY: false }), watch] })
    expect(watch.train[0]!.target).toHaveLength(1)

    let given: Tensor[] = []
    class Mixer extends nn.Module {
      inner = new nn.Linear(2, 1)
      forward(...inputs: Tensor[]) {
        given = inputs.map((input) => input.detach().clone().keep())
        return this.inner.forward(inputs[0]!)
      }
    }
    const stacked = new Learner({ trainDl: data }, new Mixer(), {
      lossFunction: new nn.MSELoss(),
      silent: true,
    })
    await stacked.fit(1, { callbacks: [new MixUpCallback({ stackX: true })] })
    expect(given.map(({ shape }) => shape)).toEqual([[8, 2], [8, 2], [8]])
  })

  it('does not change what follows a sweep', async () => {
    const outcome = async (sweeps: boolean) => {
      manualSeed(2)
      const data = new DataLoader(new TensorDataset(randn([64, 2]), randint(0, 2, [64])), {
        batchSize: 8,
        shuffle: true,
      })
      const model = new nn.Sequential(new nn.Linear(2, 8), new nn.Dropout(0.2), new nn.Linear(8, 2))
      const callbacks = [new MixUpCallback()]
      const learner = new Learner({ trainDl: data }, model, {
        lossFunction: new nn.CrossEntropyLoss(),
        silent: true,
        callbacks,
      })
      if (sweeps) await learner.lrFind({ numIt: 20 })
      await learner.fit(2, { lr: 0.01 })
      return [learner.recorder.rawLosses, Array.from(getRngState())]
    }
    expect(await outcome(true)).toEqual(await outcome(false))
  })

  it('refuses what cannot be mixed', async () => {
    expect(() => new MixUpCallback(0)).toThrow(/alpha must be a finite number above 0, got 0/)
    expect(() => new MixUpCallback({ alpha: Number.NaN })).toThrow(/got NaN/)
    expect(() => new MixUpCallback({ beta: 1 } as never)).toThrow(/unknown option beta/)
    await expect(run(new MixUpCallback(), { lossFunction: (output) => output.mean() })).rejects.toThrow(
      /losses of single samples/,
    )
    await expect(run(new MixUpCallback({ stackY: false }))).rejects.toThrow(/target must be floating.*int64/)
    const words = new DataLoader(new TensorDataset(randint(0, 5, [8, 2]), randn([8, 1])), { batchSize: 8 })
    const learner = new Learner({ trainDl: words }, new nn.Linear(2, 1), {
      lossFunction: new nn.MSELoss(),
      silent: true,
    })
    await expect(learner.fit(1, { callbacks: [new MixUpCallback()] })).rejects.toThrow(
      /input must be floating/,
    )
    expect(learner.lossFunction).toBeInstanceOf(nn.MSELoss)
  })

  it('weighs by the classes of both samples where the loss does', async () => {
    const inner = new nn.CrossEntropyLoss({ weight: tensor([0.2, 1, 5]) })
    const { watch } = await run(new MixUpCallback(), { lossFunction: inner })
    const factors = [0.2, 1, 5]
    for (const seen of watch.train) {
      const [first, second, share] = seen.target as [number[], number[], number[]]
      let [sum, counted] = [0, 0]
      for (const [i, logits] of seen.output.entries()) {
        const log = Math.log(logits.reduce((total, logit) => total + Math.exp(logit), 0))
        for (const [target, part] of [
          [first[i]!, share[i]!],
          [second[i]!, 1 - share[i]!],
        ] as const) {
          sum += part * factors[target]! * (log - logits[target]!)
          counted += part * factors[target]!
        }
      }
      expect(seen.loss).toBeCloseTo(sum / counted, 4)
    }
  })

  it('refuses a reduction that it does not know', async () => {
    class Rooted extends nn.Loss<'none' | 'rooted'> {
      constructor() {
        super({ reduction: 'rooted' })
      }
      forward(output: Tensor, target: Tensor) {
        const losses = output.sub(target).abs()
        return this.reduction === 'none' ? losses : losses.mean().sqrt()
      }
      protected override knownReductions() {
        return ['none', 'rooted']
      }
    }
    for (const callback of [new MixUpCallback(), new CutMixCallback()]) {
      await expect(run(callback, { lossFunction: new Rooted() })).rejects.toThrow(
        /the reduction of Rooted is 'rooted'. Use a loss with the reduction 'mean', 'batchmean' or 'sum'.*stackY: false/,
      )
    }
  })
})

describe('CutMixCallback', () => {
  it('pastes a rectangle of others, and weighs the losses by area', async () => {
    const size = 8
    const { learner, watch, lossFunction } = await run(new CutMixCallback(), { size })
    const areas: number[] = []
    for (const [i, seen] of watch.train.entries()) {
      const [first, second, share] = seen.target as [number[], number[], number[]]
      const offset = i % 2 === 0 ? 0 : 16
      for (let j = 0; j < 16; j++) {
        const picture = seen.x.slice(j * 128, (j + 1) * 128)
        const [channel, other] = [picture.slice(0, 64), picture.slice(64)]
        expect(other).toEqual(channel)
        const foreign = channel
          .map((value, at) => ({ value, at }))
          .filter(({ value }) => value !== offset + j)
        expect(first[j]).toBe((offset + j) % 3)
        if (foreign.length === 0) continue // itself, or nothing
        expect(new Set(foreign.map(({ value }) => value)).size).toBe(1)
        expect(second[j]).toBe(foreign[0]!.value % 3)
        expect(share[j]).toBeCloseTo(1 - foreign.length / 64, 6)
        const rows = new Set(foreign.map(({ at }) => Math.floor(at / size)))
        const columns = new Set(foreign.map(({ at }) => at % size))
        expect(rows.size * columns.size).toBe(foreign.length)
        areas.push(foreign.length)
      }
      expect(seen.loss).toBeCloseTo(mixedLoss(seen), 4)
    }
    expect(new Set(areas).size).toBeGreaterThan(1)
    for (const seen of watch.valid) expect(seen.target).toHaveLength(1)
    expect(learner.lossFunction).toBe(lossFunction)
  })

  it('goes on from a checkpoint with the same rectangles', async () => {
    const path = await temporaryFolder()
    const start = () => {
      manualSeed(9)
      const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(32, 3))
      const lossFunction = new nn.CrossEntropyLoss()
      return new Learner({ trainDl: pictures(64, 4) }, model, { lossFunction, path, silent: true })
    }
    const fit = (learner: Learner, ...more: Callback[]) =>
      learner.fit(2, { lr: 1e-3, callbacks: [new CutMixCallback(), ...more] })
    const whole = start()
    await fit(whole)
    const broken = fit(start(), new CheckpointCallback({ every: 1 }), new Fail(5))
    await expect(broken).rejects.toThrow('out of luck')
    const resumed = await Learner.resume('last', start())
    await fit(resumed)
    expect(resumed.recorder.rawLosses).toEqual(whole.recorder.rawLosses)
    expect(new Set(whole.recorder.rawLosses).size).toBe(8)
  })

  it('refuses what is no picture', async () => {
    expect(() => new CutMixCallback(-1)).toThrow(/got -1/)
    const data = new DataLoader(new TensorDataset(randn([8, 2]), randn([8, 1])), { batchSize: 8 })
    const learner = new Learner({ trainDl: data }, new nn.Linear(2, 1), {
      lossFunction: new nn.MSELoss(),
      silent: true,
    })
    await expect(learner.fit(1, { callbacks: [new CutMixCallback()] })).rejects.toThrow(
      /pictures \[N, C, H, W\].*\[8, 2\]/,
    )
    await expect(run(new CutMixCallback(), { lossFunction: (output) => output.mean() })).rejects.toThrow(
      /single samples/,
    )
  })
})
