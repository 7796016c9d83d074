import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import {
  CheckpointCallback,
  CSVLogger,
  EarlyStoppingCallback,
  GradientClipping,
  MixedPrecision,
  MixUpCallback,
  SaveModelCallback,
} from '../../callbacks/index.ts'
import { getTransforms, ImageDataBunch } from '../../src/data/index.ts'
import { CheckpointError } from '../../src/engine/errors.ts'
import { getRngState, manualSeed, Tensor, tensor } from '../../src/engine/index.ts'
import { loadWeights } from '../../src/io/index.ts'
import { Callback, type CallbackState, Learner, metrics, slice } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { draw, writePicture } from '../data/pictures.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { fits, outcome, resumableLearner } from './resumable.ts'
import { lineLearner } from './support.ts'

// A test that ran out of time would go on in the background and draw from the generator that the next one compares.
vi.setConfig({ testTimeout: 300_000 })

/** Fails at the n-th batch that ends, in training and validation counted together. */
class Fail extends Callback {
  #left: number
  constructor(at: number) {
    super()
    this.#left = at
  }
  override onBatchEnd() {
    if (this.#left-- === 0) throw new Error('the power went out')
  }
}

describe.each(Object.keys(fits))('a fit with %s', (name) => {
  const { options, run } = fits[name]!

  it('ends alike whether it was interrupted or not', async () => {
    const folder = await temporaryFolder()
    const every = (count: number) => new CheckpointCallback({ every: count })
    const whole = resumableLearner(folder, options)
    await run(whole, [])
    const expected = outcome(whole)
    const random = getRngState()

    const watched = resumableLearner(folder, options)
    await run(watched, [every(1)])
    expect(outcome(watched)).toEqual(expected) // checkpoints disturb nothing
    expect(getRngState()).toEqual(random)

    for (const [at, count] of [
      [1, 1],
      [6, 1],
      [9, 3],
      [13, 2],
    ] as const) {
      const broken = resumableLearner(folder, options)
      await expect(run(broken, [every(count), new Fail(at)])).rejects.toThrow('the power went out')
      const learner = resumableLearner(folder, options)
      expect(await Learner.resume(`${folder}/models/last.safetensors`, learner)).toBe(learner)
      await run(learner, [every(count)])
      expect(outcome(learner)).toEqual(expected)
      expect(getRngState()).toEqual(random)
    }
  })
})

it('a fit on augmented pictures ends alike, with any number of workers', async () => {
  const folder = await temporaryFolder()
  for (const [label, name] of ['ants', 'bees'].entries()) {
    for (let i = 0; i < 8; i++) {
      const picture = draw(24, 20, (x, y) => [(x * 9 + 40 * label) % 256, (y * 11 + 9 * i) % 256, 90 * label])
      for (const part of ['train', 'valid']) await writePicture(join(folder, part, name, `${i}.png`), picture)
    }
  }
  const pictureLearner = async (workers: number) => {
    manualSeed(5)
    const transforms = getTransforms()
    const data = await ImageDataBunch.fromFolder(folder, { size: 16, batchSize: 4, transforms, workers })
    const model = new nn.Sequential(
      new nn.Conv2d(3, 4, 3, { stride: 2 }),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Dropout(0.2),
      new nn.Linear(4 * 7 * 7, data.c),
    )
    return new Learner(data, model, { metrics: [metrics.accuracy], silent: true })
  }
  const run = (learner: Learner, ...extra: Callback[]) =>
    learner.fitOneCycle(2, { maxLr: 0.05, callbacks: [new CheckpointCallback({ every: 1 }), ...extra] })
  const whole = await pictureLearner(2)
  await run(whole)
  for (const [at, workers] of [
    [1, 0],
    [5, 4],
    [10, 1],
  ] as const) {
    await expect(run(await pictureLearner(3), new Fail(at))).rejects.toThrow('power')
    const learner = await Learner.resume('last', await pictureLearner(workers))
    await run(learner)
    expect(outcome(learner)).toEqual(outcome(whole))
  }
})

describe('Learner.resume', () => {
  it('brings back what callbacks remember: stopping, saving, logging', async () => {
    const folder = await temporaryFolder()
    const callbacks = () => [
      new CheckpointCallback({ every: 'epoch' }),
      new EarlyStoppingCallback({ monitor: 'trainLoss', patience: 1, minDelta: 0.3 }),
      new SaveModelCallback({ name: 'best', monitor: 'accuracy' }),
      new CSVLogger(),
    ]
    const csv = () => readFileSync(join(folder, 'history.csv'), 'utf8').replace(/,[\d:]+$/gm, '')
    const whole = resumableLearner(folder)
    await whole.fit(6, { callbacks: callbacks() })
    const expected = outcome(whole)
    const lines = csv()
    expect(whole.recorder.epochs.length).toBeLessThan(6)
    for (const at of [8, 12, 17, 20]) {
      await expect(
        resumableLearner(folder).fit(6, { callbacks: [...callbacks(), new Fail(at)] }),
      ).rejects.toThrow()
      const learner = await Learner.resume('last', resumableLearner(folder))
      await learner.fit(6, { callbacks: callbacks() })
      expect(outcome(learner)).toEqual(expected)
      expect(csv()).toBe(lines)
    }
  })

  it('refuses callbacks that would steer training another way', async () => {
    const folder = await temporaryFolder()
    const run = (learner: Learner, ...callbacks: Callback[]) =>
      learner.fit(2, { callbacks: [new CheckpointCallback({ every: 1 }), ...callbacks] })
    const before = () => [new GradientClipping(0.1), new MixUpCallback(0.4)]
    await expect(run(resumableLearner(folder), ...before(), new Fail(3))).rejects.toThrow('power')
    const learner = await Learner.resume('last', resumableLearner(folder))
    await expect(run(learner, new MixUpCallback(0.4))).rejects.toThrow(
      /would not go on as it began: GradientClipping is missing\. Make the same fit call/,
    )
    await expect(run(learner, ...before(), new MixedPrecision())).rejects.toThrow(
      /MixedPrecision was not there/,
    )
    await expect(run(learner, new GradientClipping(0.2), new MixUpCallback(0.4))).rejects.toThrow(
      /GradientClipping is not as it was at the checkpoint: clip was 0\.1 and is 0\.2/,
    )
    await run(learner, ...before(), new CSVLogger()) // those that look on may come and go
    const whole = resumableLearner(folder)
    await run(whole, ...before())
    expect(outcome(learner)).toEqual(outcome(whole))
  })

  it('asks for the best model of before, where the folder was left behind', async () => {
    const folder = await temporaryFolder()
    const run = (learner: Learner, ...extra: Callback[]) =>
      learner.fit(3, { callbacks: [new SaveModelCallback(), new CheckpointCallback(), ...extra] })
    await expect(run(resumableLearner(folder), new Fail(17))).rejects.toThrow('power')
    const elsewhere = await temporaryFolder()
    const learner = await Learner.resume(join(folder, 'models', 'last'), resumableLearner(elsewhere))
    await expect(run(learner)).rejects.toThrow(
      /best model, of epoch \d, before the interruption, but .*bestmodel\.safetensors is not there.*Bring it/,
    )
    cpSync(
      join(folder, 'models', 'bestmodel.safetensors'),
      join(elsewhere, 'models', 'bestmodel.safetensors'),
    )
    await run(learner)
    const whole = resumableLearner(folder)
    await run(whole)
    expect(outcome(learner)).toEqual(outcome(whole))
  })

  it('lets a finished run return at once', async () => {
    const folder = await temporaryFolder()
    const callbacks = () => [new CheckpointCallback({ every: 4 })]
    const whole = resumableLearner(folder)
    await whole.fitOneCycle(2, { maxLr: 0.05, callbacks: callbacks() })
    const again = await Learner.resume('models/last.safetensors', resumableLearner(folder))
    const asked = again.points.fetched
    await again.fitOneCycle(2, { maxLr: 0.05, callbacks: callbacks() })
    expect(again.points.fetched).toBe(asked)
    expect(outcome(again)).toEqual(outcome(whole))
    // The next fit is a fit of its own.
    await whole.fit(1, { lr: 0.01 })
    await again.fit(1, { lr: 0.01 })
    expect(outcome(again).lrs).toEqual(outcome(whole).lrs)
    expect(again.recorder.epochs.map(({ fit }) => fit)).toEqual([0, 0, 1])
  })

  it('does not fetch what the epoch has had already', async () => {
    const folder = await temporaryFolder()
    const broken = resumableLearner(folder)
    await broken.lrFind({ numIt: 6 })
    const callbacks = () => [new CheckpointCallback({ every: 1 })]
    await expect(broken.fit(1, { callbacks: [...callbacks(), new Fail(3)] })).rejects.toThrow()
    const learner = await Learner.resume('last', resumableLearner(folder))
    await learner.fit(1, { callbacks: callbacks() })
    expect(learner.points.fetched).toBe(2 * 8)
    expect(learner.recorder.lastSweep).toEqual(broken.recorder.lastSweep)
  })

  it('freezes what was frozen, keeps history of earlier fits, and works on a file for load too', async () => {
    const folder = await temporaryFolder()
    const run = (learner: Learner, ...extra: Callback[]) =>
      learner.fit(2, { lr: slice(0.01, 0.1), callbacks: [new CheckpointCallback({ every: 2 }), ...extra] })
    const begun = async () => {
      const learner = resumableLearner(folder)
      await learner.fit(1)
      learner.freeze()
      return learner
    }
    const whole = await begun()
    await run(whole)
    await expect(run(await begun(), new Fail(9))).rejects.toThrow()
    const learner = await Learner.resume('last', resumableLearner(folder))
    await run(learner)
    expect(outcome(learner)).toEqual(outcome(whole))
    expect(learner.model.parameters().map(({ requiresGrad }) => requiresGrad)).toEqual(
      whole.model.parameters().map(({ requiresGrad }) => requiresGrad),
    )
    const other = resumableLearner(folder)
    expect(await other.load('last')).toMatchObject({
      missingKeys: [],
      unexpectedKeys: [],
      optimizerLoaded: true,
    })
    expect(outcome(other).weights).toEqual(outcome(whole).weights)
    await loadWeights(other.model, join(folder, 'models', 'last.safetensors'))
  })

  it('refuses another call than before, and says what differs', async () => {
    const folder = await temporaryFolder()
    const early = () => new EarlyStoppingCallback()
    const every = () => new CheckpointCallback({ every: 2 })
    await expect(
      resumableLearner(folder).fitOneCycle(2, { maxLr: 0.05, callbacks: [every(), early(), new Fail(3)] }),
    ).rejects.toThrow('power')
    const learner = await Learner.resume('last', resumableLearner(folder))
    const again = (epochs: number, maxLr: number, ...callbacks: Callback[]) =>
      learner.fitOneCycle(epochs, { maxLr, callbacks })
    learner.freeze()
    await expect(again(2, 0.05, every(), early())).rejects.toThrow(/other parameters are frozen now/)
    learner.unfreeze()
    await expect(again(3, 0.05, every(), early())).rejects.toThrow(/epochs: 2 then, 3 now/)
    await expect(again(2, 0.1, every(), early())).rejects.toThrow(/lr: \[0.05,0.05\] then, \[0.1,0.1\] now/)
    await expect(again(2, 0.05, every())).rejects.toThrow(
      /would not go on as it began: EarlyStoppingCallback is missing/,
    )
    await expect(learner.fit(2, { lr: 0.05, callbacks: [every(), early()] })).rejects.toThrow(
      /OneCycleScheduler remembered/,
    )
    await expect(
      learner.fitOneCycle(2, { maxLr: 0.05, pctStart: 0.5, callbacks: [every(), early()] }),
    ).rejects.toThrow(/OneCycleScheduler is not as it was.*pctStart was the default and is 0.5/)
    // None of these has used it up.
    await again(2, 0.05, every(), early())
    const whole = resumableLearner(folder)
    await whole.fitOneCycle(2, { maxLr: 0.05, callbacks: [every(), early()] })
    expect(outcome(learner)).toEqual(outcome(whole))
    await expect(new Bare(folder).learner.fit(1, { callbacks: [every()] })).rejects.toThrow(
      /state\(\) and loadState\(\)/,
    )
  })
})

/** A Learner whose training data cannot tell where it stands. */
class Bare {
  readonly learner: Learner
  constructor(path: string) {
    const { data, model } = resumableLearner(path)
    const { trainDl } = data
    const plain = {
      length: 5,
      dataset: trainDl.dataset,
      [Symbol.asyncIterator]: () => trainDl[Symbol.asyncIterator](),
    }
    this.learner = new Learner({ trainDl: plain }, model, {
      lossFunction: new nn.CrossEntropyLoss(),
      silent: true,
      path,
    })
  }
}

describe('a checkpoint that cannot be used', () => {
  const written = async () => {
    const folder = await temporaryFolder()
    await resumableLearner(folder).fit(1, { callbacks: [new CheckpointCallback()] })
    return { folder, file: join(folder, 'models', 'last.safetensors') }
  }
  const refused = async (file: string, message: RegExp, learner: Learner = resumableLearner('.')) => {
    const before = outcome(learner)
    const failure = await Learner.resume(file, learner).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(CheckpointError)
    expect((failure as Error).message).toMatch(message)
    expect(outcome(learner)).toEqual(before)
    await learner.fit(1) // and the learner is usable
  }

  it('is cut short, at whatever byte', async () => {
    const { file, folder } = await written()
    const bytes = readFileSync(file)
    const cut = join(folder, 'cut.safetensors')
    for (const length of [0, 5, 200, bytes.length >> 1, bytes.length - 1]) {
      writeFileSync(cut, bytes.subarray(0, length))
      const failure = await Learner.resume(cut, resumableLearner(folder)).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(CheckpointError)
      expect((failure as Error).message).toMatch(/cut\.safetensors.*(empty|cut short|only|ends)/)
    }
  })

  it('is damaged: its checksum tells', async () => {
    const { file } = await written()
    const bytes = readFileSync(file)
    bytes[bytes.length - 40]! ^= 1
    writeFileSync(file, bytes)
    await refused(file, /damaged: its content does not match its checksum/)
  })

  it('is of a newer version', async () => {
    const { file } = await written()
    const bytes = readFileSync(file)
    const at = bytes.indexOf('{\\"version\\":2')
    bytes[at + '{\\"version\\":'.length] = '9'.charCodeAt(0)
    writeFileSync(file, bytes)
    await refused(file, /written by a newer version \(format 9, known up to 2\): update anneal/)
  })

  it('is of another architecture, other layer groups or another optimizer', async () => {
    const { file, folder } = await written()
    await refused(file, /missing.*weight/s, lineLearner({ path: folder }))
    const one = resumableLearner(folder)
    one.split([[one.model]])
    await refused(
      file,
      /2 layer group\(s\) of 4, 2 parameters, the Learner has 1 of 6: split the model as before/,
      one,
    )
    await refused(
      file,
      /state of Adam, this Learner optimizes with SGD/,
      resumableLearner(folder, { optimizer: optim.SGD }),
    )
  })

  it('holds a model only, or is not there', async () => {
    const { folder } = await written()
    const learner = resumableLearner(folder)
    const file = await learner.save('model')
    await refused(file, /holds a model, but no fit to go on with/)
    await expect(Learner.resume('nothing', learner)).rejects.toThrow(
      /no checkpoint "nothing": looked for .*models\/nothing\.safetensors/,
    )
    await expect(learner.checkpoint('now')).rejects.toThrow(/taken during a fit/)
  })
})

describe('what callbacks remember', () => {
  const fitWith = async (state: unknown, ...more: Callback[]) => {
    const seen: unknown[] = []
    class Remembers extends Callback {
      override stateDict() {
        return state as CallbackState
      }
      override loadStateDict(given: CallbackState) {
        seen.push(
          Object.fromEntries(
            Object.entries(given).map(([name, value]) => [
              name,
              value instanceof Tensor ? value.toArray() : value,
            ]),
          ),
        )
      }
    }
    const path = await temporaryFolder()
    const learner = lineLearner({ path })
    await learner.fit(1, { callbacks: [new Remembers(), new CheckpointCallback(), ...more] })
    const again = await Learner.resume('last', lineLearner({ path }))
    await again.fit(1, { callbacks: [new Remembers(), new CheckpointCallback(), ...more] })
    return seen
  }

  it('comes back as it was, whatever the numbers', async () => {
    const state = {
      numbers: [1, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-320, 0.1 + 0.2],
      text: 'ä\n"',
      flags: { yes: true, no: false, nothing: null, $number: 'a name of one’s own', $$array: { deep: [[]] } },
      doubles: Float64Array.of(Number.NaN, -0, 5e-324),
      floats: Float32Array.of(0.1, Number.NEGATIVE_INFINITY),
      bytes: Uint8Array.of(),
      whole: Int32Array.of(-1),
      large: BigInt64Array.of(-(2n ** 63n)),
    }
    expect(await fitWith(state)).toEqual([state])
    expect(
      await fitWith({
        weights: tensor([
          [1.5, 2],
          [3, 4],
        ]),
        left: undefined,
      }),
    ).toEqual([
      {
        weights: [
          [1.5, 2],
          [3, 4],
        ],
      },
    ])
  })

  it('must be data', async () => {
    await expect(fitWith({ deep: [{ date: new Date() }] })).rejects.toThrow(
      /Remembers\.stateDict\(\)\.deep\[0\]\.date is a Date, which a checkpoint cannot hold; it takes numbers/,
    )
    class Half extends Callback {
      override stateDict() {
        return {}
      }
    }
    expect(() => lineLearner({ callbacks: [new Half()] })).toThrow(/Half has stateDict but no loadStateDict/)
  })

  it('is told apart where there are two of a class', async () => {
    const path = await temporaryFolder()
    const pair = () => [
      new EarlyStoppingCallback({ patience: 9 }),
      new EarlyStoppingCallback({ patience: 9, monitor: 'trainLoss', mode: 'max' }),
    ]
    const first = pair()
    await lineLearner({ path }).fit(3, { callbacks: [...first, new CheckpointCallback()] })
    const second = pair()
    await (await Learner.resume('last', lineLearner({ path }))).fit(3, {
      callbacks: [...second, new CheckpointCallback()],
    })
    expect(second.map(({ best, wait }) => [best, wait])).toEqual(first.map(({ best, wait }) => [best, wait]))
    expect(first[0]!.best).not.toBe(first[1]!.best)
  })
})
