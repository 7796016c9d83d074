import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { GradientAccumulation, LossSpikeCallback } from '../../callbacks/index.ts'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { full, type Tensor } from '../../src/engine/index.ts'
import { type Callback, Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { lineModel, on, weightOf } from '../learner/support.ts'

let warnings: string[]
beforeEach(() => {
  warnings = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(String(warning)))
})
afterEach(() => void vi.restoreAllMocks())

/** Two epochs of six batches that are all alike, x = 1 and y = 3, but for the targets of some. */
async function fit(target: number, spoilt: readonly number[], ...callbacks: Callback[]): Promise<Learner> {
  const dataset = new TensorDataset(full([12, 1], 1), full([12, 1], 3))
  const learner = new Learner({ trainDl: new DataLoader(dataset, { batchSize: 2 }) }, lineModel(), {
    lossFunction: new nn.MSELoss(),
    optimizer: optim.SGD,
    wd: 0,
    silent: true,
  })
  const spoil = on<{ iteration: number; lastTarget: Tensor }>('onBatchBegin', ({ iteration, lastTarget }) =>
    spoilt.includes(iteration) ? { lastTarget: lastTarget.mul(0).add(target) } : undefined,
  )
  await learner.fit(2, { lr: 1e-3, callbacks: [spoil, ...callbacks] })
  return learner
}

/** y = w x by gradient descent, begun at 1: the weight after so many steps towards 3. */
const after = (steps: number) => 3 - 2 * (1 - 2e-3) ** steps

describe('LossSpikeCallback', () => {
  it('leaves batches out whose loss stands out, infinite and NaN ones too', async () => {
    for (const target of [100, Number.POSITIVE_INFINITY, Number.NaN]) {
      const spikes = new LossSpikeCallback({ warmUp: 3 })
      const learner = await fit(target, [1, 5, 7].slice(target === 100 ? 1 : 2), spikes)
      const expected = target === 100 ? [5, 7] : [7]
      expect(spikes.spikes.map(({ epoch, iteration }) => [epoch, iteration])).toEqual(
        expected.map((iteration) => [iteration > 5 ? 1 : 0, iteration]),
      )
      expect(weightOf(learner)).toBeCloseTo(after(12 - expected.length), 5)
      expect(spikes.spikes[0]!.average).toBeCloseTo(3.96, 1)
      expect(warnings.at(-1)).toMatch(
        /the loss of batch 7 is .*above 3 times the average of before, .*; left out/,
      )
      expect(learner.recorder.losses.at(-1)).toBeLessThan(4)
    }
  })

  it('is not misled by accumulated gradients, and can only warn, or end the fit', async () => {
    const calm = new LossSpikeCallback({ warmUp: 1 })
    await fit(3, [], new GradientAccumulation(3), calm)
    expect(calm.spikes).toEqual([])
    const warns = new LossSpikeCallback({ warmUp: 1, action: 'warn' })
    expect(weightOf(await fit(100, [5], warns))).toBeGreaterThan(after(12) + 0.1)
    expect(warns.spikes).toHaveLength(1)
    await expect(fit(100, [5], new LossSpikeCallback({ warmUp: 1, action: 'throw' }))).rejects.toThrow(
      /the loss of batch 5 is 97\d\d, above 3 times the average of before, 3\.9\d+\. Look at/,
    )
  })

  it('takes many in a row for divergence', async () => {
    const spikes = new LossSpikeCallback({ warmUp: 2, limit: 3 })
    await expect(fit(100, [3, 5, 6, 7, 8], spikes)).rejects.toThrow(/batch 7 .*in 3 batches in a row.*Lower/)
    expect(spikes.spikes).toHaveLength(4)
  })

  it('refuses what cannot be', () => {
    expect(() => new LossSpikeCallback({ factor: 1 })).toThrow(/factor must be above 1, got 1/)
    expect(() => new LossSpikeCallback({ action: 'hide' as 'skip' })).toThrow(/got hide/)
    expect(() => new LossSpikeCallback({ warmUp: 0 })).toThrow(/warmUp must be a whole number of at least 1/)
  })
})
