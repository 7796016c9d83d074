import { describe, expect, it } from 'vitest'
import {
  AdaptiveGANSwitcher,
  CheckpointCallback,
  FixedGANSwitcher,
  GANDiscriminativeLR,
} from '../../callbacks/index.ts'
import { CheckpointError } from '../../src/engine/errors.ts'
import { Callback, type EventContexts, Learner } from '../../src/learner/index.ts'
import type { GANLearner, GANLearnerOptions } from '../../src/vision/gan/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { outcome } from '../learner/resumable.ts'
import { Fail } from '../learner/support.ts'
import { smallData, smallGan } from '../vision/gan/support.ts'

type Options = Partial<GANLearnerOptions>

/** Eight batches an epoch. */
const gan = (path: string, options: Options) => smallGan(smallData(8), { path, ...options })

const run = (learner: GANLearner, ...extra: Callback[]) =>
  learner.fitOneCycle(3, {
    maxLr: 0.02,
    callbacks: [new CheckpointCallback({ every: 1, name: 'gan' }), ...extra],
  })

const paper =
  (until: number, first = 4) =>
  (iteration: number) =>
    iteration < until ? first : 2
const often = (iteration: number) => 1 + (iteration % 5)

/** What a GAN is trained with, others that would go on another way, and what is said of them. */
const cases: Record<string, { options: () => Options; others: [string, () => Options, RegExp][] }> = {
  'FixedGANSwitcher of numbers': {
    options: () => ({ switcher: new FixedGANSwitcher(3, 2) }),
    others: [
      [
        'another turn of the critic',
        () => ({ switcher: new FixedGANSwitcher(4, 2) }),
        /FixedGANSwitcher is not as it was at the checkpoint: nCrit was 3 and is 4\. Make the same fit call/,
      ],
      [
        'another turn of the generator',
        () => ({ switcher: new FixedGANSwitcher(3, 1) }),
        /nGen was 2 and is 1/,
      ],
      [
        'another switcher',
        () => ({ switcher: new AdaptiveGANSwitcher() }),
        /FixedGANSwitcher is missing, AdaptiveGANSwitcher was not there/,
      ],
      [
        'other trainer',
        () => ({ switcher: new FixedGANSwitcher(3, 2), clip: 0.1 }),
        /clip was null and is 0\.1/,
      ],
      [
        'the other network first',
        () => ({ switcher: new FixedGANSwitcher(3, 2), genFirst: true }),
        /genFirst was false and is true/,
      ],
    ],
  },
  'FixedGANSwitcher of a function': {
    options: () => ({ switcher: new FixedGANSwitcher({ nCrit: paper(10) }) }),
    others: [
      [
        'a later change',
        () => ({ switcher: new FixedGANSwitcher({ nCrit: paper(11) }) }),
        /nCrit was "4 from iteration 0, 2 from iteration 10" and is "4 from iteration 0, 2 from iteration 11"/,
      ],
      [
        'another length',
        () => ({ switcher: new FixedGANSwitcher({ nCrit: paper(10, 5) }) }),
        /and is "5 from iteration 0/,
      ],
      [
        'a number',
        () => ({ switcher: new FixedGANSwitcher({ nCrit: 4 }) }),
        /nCrit was "4 from .*" and is 4\./,
      ],
    ],
  },
  'FixedGANSwitcher of a function that changes all the time': {
    options: () => ({ switcher: new FixedGANSwitcher({ nGen: often }) }),
    others: [
      [
        'one that differs once',
        () => ({ switcher: new FixedGANSwitcher({ nGen: (i) => often(i) + (i === 900 ? 1 : 0) }) }),
        /nGen was .* more changes/,
      ],
    ],
  },
  AdaptiveGANSwitcher: {
    options: () => ({ switcher: new AdaptiveGANSwitcher({ criticThresh: -0.05, genThresh: 0.5 }) }),
    others: [
      [
        'another threshold',
        () => ({ switcher: new AdaptiveGANSwitcher({ criticThresh: -0.06, genThresh: 0.5 }) }),
        /AdaptiveGANSwitcher is not as it was at the checkpoint: criticThresh was -0\.05 and is -0\.06/,
      ],
      [
        'none',
        () => ({ switcher: new AdaptiveGANSwitcher({ criticThresh: -0.05 }) }),
        /genThresh was 0\.5 and is null/,
      ],
    ],
  },
  GANDiscriminativeLR: {
    options: () => ({ callbacks: [new GANDiscriminativeLR(3)] }),
    others: [
      [
        'another factor',
        () => ({ callbacks: [new GANDiscriminativeLR(4)] }),
        /GANDiscriminativeLR is not as it was at the checkpoint: multLr was 3 and is 4/,
      ],
      ['none', () => ({}), /GANDiscriminativeLR is missing/],
    ],
  },
}

/** Counts the training batches. */
class Batches extends Callback {
  count = 0
  override onStepEnd(_: EventContexts['onStepEnd']): undefined {
    this.count++
  }
}

describe.each(Object.keys(cases))('%s', (name) => {
  const { options, others } = cases[name]!

  it('resumes to the bit, in the middle of turns', async () => {
    const folder = await temporaryFolder()
    const whole = gan(folder, options())
    await run(whole)
    const expected = {
      ...outcome(whole),
      critic: whole.recorder.criticLosses,
      turns: whole.recorder.genBatches,
    }
    for (const at of [5, 14]) {
      await expect(run(gan(folder, options()), new Fail(at))).rejects.toThrow()
      const resumed = await Learner.resume('gan', gan(folder, options()))
      const batches = new Batches()
      await run(resumed, batches)
      expect(batches.count).toBe(24 - at)
      expect({
        ...outcome(resumed),
        critic: resumed.recorder.criticLosses,
        turns: resumed.recorder.genBatches,
      }).toEqual(expected)
    }
  })

  it('refuses to go on another way', async () => {
    const folder = await temporaryFolder()
    await expect(run(gan(folder, options()), new Fail(9))).rejects.toThrow()
    for (const [what, other, message] of others) {
      const resumed = await Learner.resume('gan', gan(folder, other()))
      const refusal = await run(resumed).catch((error: unknown) => error)
      expect(refusal, what).toBeInstanceOf(CheckpointError)
      expect((refusal as Error).message).toMatch(message)
    }
  })
})
