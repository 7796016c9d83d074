import { ConfigError } from '../engine/errors.ts'

/** Learning rates for layer groups, first to last: `stop` for the last group; see {@link slice}. */
export class Slice {
  readonly start: number | undefined
  readonly stop: number

  constructor(start: number | undefined, stop: number) {
    if (start !== undefined) checkRate('the start of a slice', start)
    checkRate('the stop of a slice', stop)
    this.start = start
    this.stop = stop
  }

  toString(): string {
    return this.start === undefined ? `slice(${this.stop})` : `slice(${this.start}, ${this.stop})`
  }
}

/**
 * A learning rate as the Learner takes it: one number for all layer groups, a {@link slice}, or a number for each group. A
 * suggestion of the finder can be given as it comes; null, where it had none, is an error that says so.
 */
export type LearningRate = number | Slice | readonly number[] | null

/**
 * Discriminative learning rates, as fastai's `slice`.
 *
 * `slice(stop)`: the last layer group gets `stop`, all others `stop / 10`. `slice(start, stop)`: from `start` in the first
 * group to `stop` in the last, each a constant factor above the one before. A start of 0 counts as none.
 *
 * @example learner.fitOneCycle(2, { maxLr: slice(1e-6, 1e-4) })
 * @throws ConfigError if a rate is negative or not finite, or `stop` is 0
 */
export function slice(stop: number): Slice
export function slice(start: number, stop: number): Slice
export function slice(startOrStop: number, stop?: number): Slice {
  return stop === undefined ? new Slice(undefined, startOrStop) : new Slice(startOrStop || undefined, stop)
}

/**
 * The rate of each of `groups` layer groups.
 * @throws ConfigError if a list has another length than there are groups, or holds what is no rate
 */
export function lrRange(lr: LearningRate, groups: number): number[] {
  if (lr === null) {
    throw new ConfigError(
      'the learning rate is null: the finder had no suggestion by this rule (too few batches, or a loss that never fell); ' +
        'take another of its rules, or a number',
    )
  }
  if (lr instanceof Slice) return spread(lr, groups)
  if (typeof lr === 'number') {
    checkRate('a learning rate', lr, true)
    return new Array<number>(groups).fill(lr)
  }
  if (!Array.isArray(lr))
    throw new ConfigError(`a learning rate is a number, a slice or an array of numbers, got ${String(lr)}`)
  if (lr.length !== groups) {
    throw new ConfigError(
      `got ${lr.length} learning rates for ${groups} layer group(s): give one number, a slice, or ${groups} rates`,
    )
  }
  for (const rate of lr) checkRate('a learning rate', rate, true)
  return [...lr]
}

function spread({ start, stop }: Slice, groups: number): number[] {
  return Array.from({ length: groups }, (_, group) => {
    if (group === groups - 1) return stop
    return start === undefined ? stop / 10 : start * (stop / start) ** (group / (groups - 1))
  })
}

function checkRate(what: string, rate: unknown, zeroAllowed = false): void {
  if (typeof rate !== 'number' || !Number.isFinite(rate) || rate < 0 || (rate === 0 && !zeroAllowed)) {
    throw new ConfigError(
      `${what} must be a finite number ${zeroAllowed ? 'of at least' : 'above'} 0, got ${String(rate)}`,
    )
  }
}
