import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  CheckpointCallback,
  CyclicScheduler,
  FlatCosineScheduler,
  flatCosine,
  GeneralScheduler,
  OneCycleScheduler,
  WarmRestartsScheduler,
} from '../../callbacks/index.ts'
import { type Callback, Learner, slice } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { lineData, lineLearner, weightOf } from '../learner/support.ts'

const sgd = (params: { params: never[] }[], { lr }: { lr: number }) =>
  new optim.SGD(params, { lr, momentum: 0.9 })

/** What a fit's batches ran with, and what was left in the optimizer. */
async function schedule(epochs: number, batches: number, callback: Callback) {
  const learner = lineLearner({ batches, validBatches: 0, optimizer: sgd as never })
  await learner.fit(epochs, { lr: 1e-3, callbacks: [callback] })
  const { lrs, momentums } = learner.recorder
  const { lr, momentum } = learner.optimizer
  return { lrs: [...lrs, lr], momentums: [...momentums, momentum!] }
}

const near = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits))

interface Fixtures {
  cases: { scheduler: string; options: never; lrs: number[]; momentums: number[] }[]
}

/** Made by PyTorch: fixtures/make_schedules.py. */
const { cases } = JSON.parse(
  readFileSync(new URL('./fixtures/schedules.json', import.meta.url), 'utf8'),
) as Fixtures

describe("PyTorch's values", () => {
  it.each(cases)('$scheduler $options', async ({ scheduler, options, lrs, momentums }) => {
    const Made = { WarmRestartsScheduler, CyclicScheduler }[scheduler]!
    // An epoch of five batches is the first period; two are the rise by default.
    const found = await schedule(6, 5, new Made(options))
    expect(found.lrs.slice(0, 30)).toEqual(near(lrs, 12))
    expect(found.momentums.slice(0, 30)).toEqual(near(momentums, 12))
  })
})

describe("fastai's values", () => {
  const flatLrs = [...new Array(8).fill(4e-3), 3e-3, 1e-3, 0]
  const flatMomentums = [...new Array(8).fill(0.95), 0.85, 0.85, 0.85]

  it('FlatCosineScheduler, 10 batches', async () => {
    const found = await schedule(1, 10, new FlatCosineScheduler({ lr: 4e-3 }))
    expect(found.lrs).toEqual(near(flatLrs))
    expect(found.momentums).toEqual(near(flatMomentums))
  })

  it('GeneralScheduler: the same in two phases', async () => {
    const phases = [
      { batches: 7, lr: 4e-3, momentum: 0.95 },
      { share: 0.3, lr: { start: 4e-3, end: 0, curve: optim.annealingCosine }, momentum: 0.85 },
    ]
    const found = await schedule(1, 10, new GeneralScheduler({ phases }))
    expect(found.lrs).toEqual(near(flatLrs))
    expect(found.momentums).toEqual(near(flatMomentums))
  })

  it('OneCycleScheduler as two phases of a GeneralScheduler', async () => {
    const curve = optim.annealingCosine
    const phases = [
      { batches: 3, lr: { start: 4e-4, end: 0.01, curve }, momentum: { start: 0.95, end: 0.85, curve } },
      { batches: 7, lr: { start: 0.01, end: 4e-8, curve }, momentum: { start: 0.85, end: 0.95, curve } },
    ]
    expect(await schedule(2, 5, new GeneralScheduler({ phases }))).toEqual(
      await schedule(2, 5, new OneCycleScheduler({ maxLr: 0.01 })),
    )
  })
})

describe('GeneralScheduler', () => {
  it('ends training with its last phase', async () => {
    const phases = [
      { batches: 3, lr: 0.1 },
      { epochs: 1, lr: { start: 0.1, end: 0.2 } },
    ]
    const { lrs } = await schedule(4, 5, new GeneralScheduler({ phases }))
    expect(lrs).toEqual(near([0.1, 0.1, 0.1, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2]))
  })

  it('steers rates of layer groups, beta and weight decay; what it does not name stays', async () => {
    const net = new nn.Sequential(new nn.Linear(1, 1), new nn.Linear(1, 1))
    const learner = new Learner(lineData({ validBatches: 0 }), net, {
      lossFunction: new nn.MSELoss(),
      layerGroups: [net.at(1)!],
      silent: true,
    })
    const phases = [
      {
        batches: 5,
        lr: slice(1e-4, 1e-2),
        beta: { start: 0.9, end: 0.8 },
        wd: { start: [0, 0.1], end: 0.2 },
      },
    ]
    await learner.fit(1, { callbacks: [new GeneralScheduler({ phases })] })
    const { lrs, beta, wd, momentum } = learner.optimizer
    expect(lrs).toEqual([1e-4, 1e-2])
    expect(beta).toBeCloseTo(0.8, 12)
    expect(wd).toBeCloseTo(0.2, 12)
    expect(momentum).toBe(0.9)
  })

  it.each([
    [100, [0.29, 0.71]],
    [20, [1 / 3, 1 / 3, 1 / 3]],
    [7, [0.5, 0.5]],
    [9, Array.from({ length: 10 }, () => 0.1)],
  ])('shares that add up to 1 are the whole run of %i batches', async (batches, shares) => {
    const phases = shares.map((share) => ({ share, lr: 1e-3 }))
    const { lrs } = await schedule(1, batches, new GeneralScheduler({ phases }))
    expect(lrs).toHaveLength(batches + 1)
  })

  it('refuses what cannot be', async () => {
    const make =
      (...phases: object[]) =>
      () =>
        new GeneralScheduler({ phases: phases as never })
    expect(make()).toThrow(/list of.*got none/)
    expect(make({ lr: 1 })).toThrow(/one length.*got none/)
    expect(make({ lr: 1, batches: 2, epochs: 1 })).toThrow(/got batches and epochs/)
    expect(make({ share: 2 })).toThrow(/above 0 and at most 1, got 2/)
    expect(make({ batches: 1.5 })).toThrow(/whole number above 0, got 1.5/)
    expect(make({ batches: 1, learningRate: 1 })).toThrow(
      /unknown option learningRate; the options are batches, epochs, share, lr/,
    )
    expect(make({ batches: 1, lr: { from: 1, end: 2 } })).toThrow(/lr: unknown option from/)
    expect(make({ batches: 1, lr: { start: 1, end: 2, curve: 'cosine' } })).toThrow(/must be a function/)
    expect(() => new GeneralScheduler({ phase: [] } as never)).toThrow(/unknown option phase/)
    await expect(schedule(1, 2, new GeneralScheduler({ phases: [{ share: 0.1, lr: 1 }] }))).rejects.toThrow(
      /empty/,
    )
    await expect(
      schedule(1, 2, new GeneralScheduler({ phases: [{ batches: 1, lr: [1, 2] }] })),
    ).rejects.toThrow(/2 learning rates for 1/)
  })
})

describe.each<[string, (span: object) => Callback]>([
  ['OneCycleScheduler', (span) => new OneCycleScheduler({ maxLr: 0.05, ...span })],
  ['FlatCosineScheduler', (span) => new FlatCosineScheduler({ lr: 0.05, ...span })],
  [
    'CyclicScheduler',
    (span) => new CyclicScheduler({ baseLr: 0.01, maxLr: 0.05, mode: 'triangular2', ...span }),
  ],
  ['WarmRestartsScheduler', (span) => new WarmRestartsScheduler({ maxLr: 0.05, cycleFactor: 2, ...span })],
  [
    'GeneralScheduler',
    (span) =>
      new GeneralScheduler({
        phases: [
          { epochs: 1, lr: 0.01 },
          { share: 0.75, lr: { start: 0.05, end: 0.01 } },
        ],
        ...span,
      }),
  ],
])('%s', (_name, make) => {
  it('in two parts is what it is in one, to the bit', async () => {
    const whole = lineLearner({ optimizer: sgd as never })
    await whole.fit(4, { callbacks: [make({})] })
    const parts = lineLearner({ optimizer: sgd as never })
    await parts.fit(2, { callbacks: [make({ totalEpochs: 4 })] })
    await parts.fit(4, { callbacks: [make({ totalEpochs: 4, startEpoch: 2 })] })
    for (const key of ['lrs', 'momentums', 'rawLosses'] as const)
      expect(parts.recorder[key]).toEqual(whole.recorder[key])
    expect(weightOf(parts)).toBe(weightOf(whole))
  })

  it('leaves learning-rate sweeps alone, and refuses spans that cannot be', async () => {
    const learner = lineLearner({ callbacks: [make({})] })
    const { lrs } = await learner.lrFind({ numIt: 10 })
    expect(lrs[0]).toBe(1e-7)
    const fit = (epochs: number, span: object) => lineLearner().fit(epochs, { callbacks: [make(span)] })
    await expect(fit(2, { startEpoch: 2 })).rejects.toThrow(/startEpoch 2 is not below the 2 epoch/)
    await expect(fit(3, { totalEpochs: 2 })).rejects.toThrow(/totalEpochs \(2\) must be at least the 3/)
    expect(() => make({ totalEpochs: 0 })).toThrow(/got 0/)
    expect(() => make({ startEpoch: Number.NaN })).toThrow(/got NaN/)
    expect(() => make({ cycles: 1 })).toThrow(/unknown option cycles/)
  })

  it('resumes with the same options only', async () => {
    const path = await temporaryFolder()
    const first = lineLearner({ path })
    await first.fit(2, { callbacks: [make({}), new CheckpointCallback({ every: 3 })] })
    const again = await Learner.resume('last', lineLearner({ path }))
    await again.fit(2, { callbacks: [make({}), new CheckpointCallback({ every: 3 })] })
    const other = await Learner.resume('last', lineLearner({ path }))
    await expect(
      other.fit(2, { callbacks: [make({ totalEpochs: 5 }), new CheckpointCallback({ every: 3 })] }),
    ).rejects.toThrow(/totalEpochs was 2 and is 5/)
  })
})

describe('schedulers', () => {
  it('refuse values that cannot be', () => {
    expect(() => flatCosine(10, [1], { startPct: 1.5 })).toThrow(/from 0 to 1, got 1.5/)
    expect(() => new FlatCosineScheduler({ moms: [1, 0.9] })).toThrow(/below 1, got \[1, 0.9\]/)
    expect(() => new CyclicScheduler({ baseLr: 1 } as never)).toThrow(/both bounds/)
    expect(() => new CyclicScheduler({ baseLr: 1, maxLr: 2, gamma: 2 })).toThrow(/gamma.*got 2/)
    expect(() => new CyclicScheduler({ baseLr: 1, maxLr: 2, mode: 'square' as never })).toThrow(
      /unknown mode/,
    )
    expect(() => new CyclicScheduler({ baseLr: 1, maxLr: 2, stepSizeUp: 0 })).toThrow(/stepSizeUp/)
    expect(() => new WarmRestartsScheduler({ cycleLength: 0 })).toThrow(/cycleLength/)
    expect(() => new WarmRestartsScheduler({ cycleFactor: 0.5 })).toThrow(/cycleFactor.*got 0.5/)
    expect(() => new WarmRestartsScheduler({ minLr: Number.NaN })).toThrow(/minLr/)
  })

  it('cyclic bounds must be in order', async () => {
    await expect(schedule(1, 2, new CyclicScheduler({ baseLr: 2, maxLr: 1 }))).rejects.toThrow(
      /must not be above/,
    )
  })
})
