import { ConfigError } from '../src/engine/errors.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BatchEndContext, TrainBeginContext } from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { count as countOf } from '../src/learner/stateChecks.ts'
import { trainerOf } from './GANTrainer.ts'

/** A number of batches, or a function of the number of training batches finished in the fit. */
export type TurnLength = number | ((iteration: number) => number)

export interface FixedGANSwitcherOptions {
  /** Batches of the critic's turn. Default 1. */
  nCrit?: TurnLength | undefined
  /** Batches of the generator's turn. Default 1. */
  nGen?: TurnLength | undefined
}

/**
 * Changes turns after fixed numbers of training batches: `nCrit` for the critic, then `nGen` for the generator. A function is asked
 * after every batch, with the number of batches finished before it: `(iteration) => (iteration < 100 ? 100 : 5)` trains the critic
 * for 100 batches at first, and for 5 a turn later.
 *
 * Source: fastai's FixedGANSwitcher; but validation does not count, and functions get the iteration.
 */
export class FixedGANSwitcher extends Callback {
  readonly nCrit: TurnLength
  readonly nGen: TurnLength
  #count = 0

  /** `new FixedGANSwitcher(5, 1)` is `new FixedGANSwitcher({ nCrit: 5, nGen: 1 })`. */
  constructor(options: TurnLength | FixedGANSwitcherOptions = {}, nGen?: TurnLength) {
    super()
    const given = typeof options === 'object' ? options : { nCrit: options, nGen }
    rejectUnknownOptions('FixedGANSwitcher', given, ['nCrit', 'nGen'])
    this.nCrit = given.nCrit ?? 1
    this.nGen = given.nGen ?? 1
    for (const [name, length] of Object.entries({ nCrit: this.nCrit, nGen: this.nGen })) {
      if (typeof length !== 'function') checkCount('FixedGANSwitcher', name, length, 1)
    }
  }

  override onTrainBegin({ learner }: TrainBeginContext): void {
    trainerOf(learner, 'FixedGANSwitcher')
    this.#count = 0
  }

  override onBatchEnd({ train, cancelled, learner, iteration }: BatchEndContext): void {
    if (!train || cancelled) return
    const trainer = trainerOf(learner, 'FixedGANSwitcher')
    this.#count++
    const length = trainer.genMode ? this.nGen : this.nCrit
    if (this.#count < lengthAt(length, iteration)) return
    this.#count = 0
    trainer.switch()
  }

  override steering(): CallbackState {
    return { nCrit: scheduleOf(this.nCrit), nGen: scheduleOf(this.nGen) }
  }

  override stateDict(): CallbackState {
    return { count: this.#count }
  }

  override loadStateDict({ count }: { count: number }): void {
    countOf()(count, 'FixedGANSwitcher.count')
    this.#count = count
  }
}

function lengthAt(length: TurnLength, iteration: number): number {
  if (typeof length === 'number') return length
  const value = length(iteration)
  if (Number.isFinite(value) && value >= 1) return value
  throw new ConfigError(
    `FixedGANSwitcher: a turn of ${String(value)} batches at iteration ${iteration}; it takes 1 or more`,
  )
}

/** How far a function is looked at to tell it from another. */
const horizon = 1000
const shownChanges = 12

/** The lengths in words that differ where the lengths do: '100 from iteration 0, 5 from iteration 100'. */
function scheduleOf(length: TurnLength): number | string {
  if (typeof length === 'number') return length
  const values = Array.from({ length: horizon }, (_, iteration) => length(iteration))
  const changes = values.flatMap((value, iteration) =>
    iteration === 0 || value !== values[iteration - 1] ? [`${value} from iteration ${iteration}`] : [],
  )
  if (changes.length <= shownChanges) return changes.join(', ')
  const total = values.reduce((sum, value, iteration) => sum + value * (iteration + 1), 0)
  return `${changes.slice(0, shownChanges).join(', ')} and ${changes.length - shownChanges} more changes (sum ${total})`
}
