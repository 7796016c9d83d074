import { describe, expect, it } from 'vitest'
import { CheckpointCallback } from '../../callbacks/index.ts'
import { getRngState } from '../../src/engine/index.ts'
import { Callback, Learner } from '../../src/learner/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { fits, outcome, resumableLearner } from './resumable.ts'

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
      [3, 2],
      [6, 1],
      [8, 1],
      [9, 3],
      [13, 2],
      [14, 1],
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
