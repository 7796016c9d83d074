import { ConfigError } from '../engine/errors.ts'
import { RandomStream } from './random.ts'

/**
 * Splits the items 0 … length − 1 at random: the first ⌊validPct · length⌋ of a permutation are for validation. Both lists
 * come in ascending order. The same seed gives the same split.
 * @throws ConfigError unless 0 < validPct < 1 and both parts get an item.
 */
export function randomSplit(
  length: number,
  validPct: number,
  seed: number,
): { train: Uint32Array; valid: Uint32Array } {
  const count = Math.trunc(validPct * length)
  if (!(validPct > 0 && validPct < 1) || count === 0 || count === length) {
    throw new ConfigError(
      `validPct is the part of the items kept for validation, such as 0.2, and must leave at least one on each side; ${validPct} of ${length} items is ${count}`,
    )
  }
  const order = new RandomStream({ seed, purpose: 'split' }).permutation(length)
  return { train: order.slice(count).sort(), valid: order.slice(0, count).sort() }
}
