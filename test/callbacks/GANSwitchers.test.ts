import { describe, expect, it } from 'vitest'
import {
  AdaptiveGANSwitcher,
  FixedGANSwitcher,
  GANDiscriminativeLR,
  GANTrainer,
} from '../../callbacks/index.ts'
import {
  type BatchEndContext,
  Callback,
  CancelBatch,
  CancelEpoch,
  CancelFit,
  type EpochEndContext,
  type StepEndContext,
} from '../../src/learner/index.ts'
import type { GANLearner, GANLearnerOptions } from '../../src/vision/gan/index.ts'
import { lineLearner, on } from '../learner/support.ts'
import { smallData, smallGan, Turns } from '../vision/gan/support.ts'

async function turnsOf(options: Partial<GANLearnerOptions>, validBatches = 0): Promise<string> {
  const turns = new Turns()
  await smallGan(smallData(8, validBatches), { ...options, callbacks: [turns] }).fit(2)
  return turns.turns.trim()
}

describe('FixedGANSwitcher', () => {
  // fastai 1.0.64, run: 8 batches an epoch.
  it('gives fastai’s turns', async () => {
    expect(await turnsOf({})).toBe('CCCCCGCC CCCGCCCC')
    expect(await turnsOf({ switcher: new FixedGANSwitcher({ nCrit: 2 }) })).toBe('CCGCCGCC GCCGCCGC')
    expect(await turnsOf({ switcher: new FixedGANSwitcher({ nCrit: 1, nGen: 2 }) })).toBe('CGGCGGCG GCGGCGGC')
    expect(await turnsOf({ switcher: new FixedGANSwitcher() })).toBe('CGCGCGCG CGCGCGCG')
    expect(await turnsOf({ switcher: new FixedGANSwitcher(3, 1), genFirst: true })).toBe('GCCCGCCC GCCCGCCC')
  })

  it('does not count validation, which is the generator’s', async () => {
    expect(await turnsOf({}, 1)).toBe('CCCCCGCCg CCCGCCCCg')
  })

  it('asks a function of the iteration: the paper’s schedule', async () => {
    const nCrit = (iteration: number) => (iteration < 4 ? 4 : 2)
    expect(await turnsOf({ switcher: new FixedGANSwitcher({ nCrit }) })).toBe('CCCCGCCG CCGCCGCC')
    const asked: number[] = []
    await turnsOf({
      switcher: new FixedGANSwitcher((iteration) => {
        asked.push(iteration)
        return 1
      }),
    })
    expect(asked).toEqual([0, 2, 4, 6, 8, 10, 12, 14])
  })

  it('refuses what is no length, and learners of another kind', async () => {
    expect(() => new FixedGANSwitcher({ nCrit: 0 })).toThrow(/nCrit.*at least 1/)
    expect(() => new FixedGANSwitcher({ critic: 5 } as object)).toThrow(/nCrit, nGen/)
    const nothing = new FixedGANSwitcher({ nGen: () => Number.NaN, nCrit: 1 })
    await expect(smallGan(smallData(), { switcher: nothing }).fit(1)).rejects.toThrow(/turn of NaN/)
    await expect(lineLearner().fit(1, { callbacks: [new FixedGANSwitcher()] })).rejects.toThrow(
      /needs a GANTrainer/,
    )
    await expect(lineLearner().fit(1, { callbacks: [new GANTrainer()] })).rejects.toThrow(/GANModule/)
  })
})

describe('AdaptiveGANSwitcher', () => {
  it('changes turns after each batch without thresholds', async () => {
    expect(await turnsOf({ switcher: new AdaptiveGANSwitcher() })).toBe('CGCGCGCG CGCGCGCG')
  })

  it('changes turns when the loss falls below the threshold', async () => {
    const losses: [string, number][] = []
    class Losses extends Callback {
      override order = -8
      override onBatchEnd({ learner, lossValue }: BatchEndContext) {
        losses.push([(learner as unknown as GANLearner).trainer.genMode ? 'G' : 'C', lossValue])
      }
    }
    const switcher = new AdaptiveGANSwitcher({ criticThresh: -0.35, genThresh: 0.05 })
    await smallGan(smallData(24), { switcher, callbacks: [new Losses()], lr: 0.03 }).fit(1)
    let turn = 'C'
    for (const [who, loss] of losses) {
      expect(who).toBe(turn)
      if (loss < (turn === 'C' ? -0.35 : 0.05)) turn = turn === 'C' ? 'G' : 'C'
    }
    expect(new Set(losses.map(([who]) => who)).size).toBe(2)
    // Some turns have lasted longer than a batch.
    expect(losses.map(([who]) => who).join('')).toMatch(/CC|GG/)
  })
})

describe('GANDiscriminativeLR', () => {
  it('multiplies the critic’s rate during batches, unseen by the recorder', async () => {
    const during: number[][] = []
    const after: number[][] = []
    class Rates extends Callback {
      override order = 200
      override onBatchBegin({ learner }: { learner: { optimizer: { lrs: number[] } } }) {
        during.push(learner.optimizer.lrs)
      }
      override onStepEnd({ learner }: StepEndContext) {
        after.push(learner.optimizer.lrs)
      }
    }
    const gan = smallGan(smallData(2), { callbacks: [new Rates(), new GANDiscriminativeLR(4)] })
    await gan.fit(1, { lr: 0.01 })
    expect(during).toEqual([
      [0.01, 0.04],
      [0.01, 0.04],
    ])
    expect(after).toEqual([
      [0.01, 0.01],
      [0.01, 0.01],
    ])
    expect(gan.recorder.lrs).toEqual([0.01, 0.01])
  })

  it('goes with a schedule', async () => {
    const gan = smallGan(smallData(10), { callbacks: [new GANDiscriminativeLR()] })
    const plain = smallGan(smallData(10))
    await gan.fitOneCycle(1, { maxLr: 0.01 })
    await plain.fitOneCycle(1, { maxLr: 0.01 })
    expect(gan.recorder.lrs).toEqual(plain.recorder.lrs)
    expect(gan.recorder.criticLosses).not.toEqual(plain.recorder.criticLosses)
  })

  it('puts the rates back after a batch that was left in the middle, whoever has changed them meanwhile', async () => {
    const leave = (event: string, at: number, make: () => Error) =>
      on<BatchEndContext>(event, ({ iteration }) => {
        if (iteration === at) throw make()
      })
    const lower = on<EpochEndContext>('onEpochEnd', ({ learner: { optimizer } }) => {
      optimizer.lr = optimizer.lrs.map((lr) => lr / 2)
    })
    const ratesOf = async (fit: (gan: GANLearner) => Promise<void>, ...more: Callback[]) => {
      const before: number[][] = []
      const watch = on<BatchEndContext>('onBatchBegin', ({ learner, train }) => {
        if (train) before.push(learner.optimizer.lrs)
      })
      const gan = smallGan(smallData(2), { callbacks: [new GANDiscriminativeLR(4), watch, ...more] })
      await fit(gan)
      return { before, after: gan.optimizer.lrs }
    }
    const constant = (gan: GANLearner) => gan.fit(2, { lr: 0.01 })
    const epoch = await ratesOf(
      constant,
      leave('onBackwardEnd', 0, () => new CancelEpoch()),
    )
    expect(epoch.before).toEqual(Array(3).fill([0.01, 0.01]))
    const lowered = await ratesOf(
      constant,
      leave('onBackwardEnd', 0, () => new CancelEpoch()),
      lower,
    )
    expect(lowered.before).toEqual([
      [0.01, 0.01],
      [0.005, 0.005],
      [0.005, 0.005],
    ])
    const { after } = await ratesOf(
      constant,
      leave('onBackwardEnd', 0, () => new CancelFit()),
    )
    expect(after).toEqual([0.01, 0.01])
    const oneCycle = (gan: GANLearner) => gan.fitOneCycle(2, { maxLr: 0.01 })
    const scheduled = await ratesOf(
      oneCycle,
      leave('onBackwardEnd', 1, () => new CancelBatch()),
    )
    expect(scheduled.before).toEqual((await ratesOf(oneCycle)).before)
  })

  it('refuses factors that cannot be, and other models', async () => {
    expect(() => new GANDiscriminativeLR(0)).toThrow(/multLr/)
    await expect(lineLearner().fit(1, { callbacks: [new GANDiscriminativeLR()] })).rejects.toThrow(
      /GANModule/,
    )
  })
})
