import { afterEach, expect, it, vi } from 'vitest'
import { ValidateEvery } from '../../callbacks/index.ts'
import { getRngState } from '../../src/engine/index.ts'
import { Callback, type Learner, metrics } from '../../src/learner/index.ts'
import { outcome, resumableLearner } from '../learner/resumable.ts'
import { lineLearner } from '../learner/support.ts'

afterEach(() => void vi.restoreAllMocks())

it('validates in the middle of epochs, and training goes on as if nothing had been', async () => {
  const plain = resumableLearner('.')
  await plain.fit(2)
  const random = getRngState()
  const learner = resumableLearner('.')
  const every = new ValidateEvery(2)
  await learner.fit(2, { callbacks: [every] })
  expect(outcome(learner)).toEqual(outcome(plain))
  expect(getRngState()).toEqual(random)
  expect(every.results.map(({ epoch, iteration }) => [epoch, iteration])).toEqual([
    [0, 2],
    [0, 4],
    [1, 6],
    [1, 8],
    [1, 10],
  ])
  // After the last batch it finds what the end of the epoch does.
  const { validLoss, accuracy } = learner.recorder.epochs[1]!.values
  expect(every.results[4]!.values).toEqual({ loss: validLoss, accuracy })
})

it('prints what it finds, or takes another loader', async () => {
  const lines: string[] = []
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => lines.push(String(text)) > 0)
  const learner = lineLearner({ silent: false, metrics: [metrics.mae] })
  const other = lineLearner({ validBatches: 1 }).data.validDl!
  const every = new ValidateEvery({ batches: 5, loader: other })
  class Loss extends Callback {
    value: number | undefined
    override async onEpochEnd({ learner }: { learner: Learner }) {
      this.value = (await learner.validate(other)).loss
    }
  }
  const loss = new Loss()
  await learner.fit(1, { callbacks: [every, loss] })
  expect(every.results).toHaveLength(1)
  expect(every.results[0]!.values.loss).toBe(loss.value)
  expect(lines.join('')).toMatch(/\n {6}after 5 batches: loss \d+\.\d{6} {2}mae \d+\.\d{6}\n0 /)
})

it('refuses what cannot be', async () => {
  expect(() => new ValidateEvery(0)).toThrow(/batches must be a whole number of at least 1, got 0/)
  const bare = lineLearner({ validBatches: 0 })
  await expect(bare.fit(1, { callbacks: [new ValidateEvery(1)] })).rejects.toThrow(/no validation data; pass/)
})
