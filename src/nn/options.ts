import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'

export { requireOptions as rejectUnknownOptions } from '../engine/check.ts'

/** One number for both directions, or `[vertical, horizontal]`. */
export type Pair = number | readonly [number, number]

/** Expands a {@link Pair}, checking that both are integers of at least `minimum`. */
export function pair(value: Pair, owner: string, name: string, minimum: number): [number, number] {
  const both: readonly number[] = typeof value === 'number' ? [value, value] : value
  const valid =
    Array.isArray(both) && both.length === 2 && both.every((v) => Number.isInteger(v) && v >= minimum)
  if (!valid) {
    throw new ConfigError(
      `${owner}: ${name} must be an integer of at least ${minimum}, or two of them, got ${show(value)}`,
    )
  }
  return [both[0]!, both[1]!]
}

/** Checks a count such as a number of channels. */
export function positiveInteger(value: number, owner: string, name: string): number {
  if (!Number.isInteger(value) || value < 1) {
    throw new ConfigError(`${owner}: ${name} must be a positive integer, got ${show(value)}`)
  }
  return value
}

/** Checks a probability in [0, 1]. */
export function probability(value: number, owner: string, name: string): number {
  if (!(typeof value === 'number' && value >= 0 && value <= 1)) {
    throw new ConfigError(`${owner}: ${name} must lie between 0 and 1, got ${show(value)}`)
  }
  return value
}
