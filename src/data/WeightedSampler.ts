import { ConfigError } from '../engine/errors.ts'
import type { RandomStream } from './random.ts'
import type { Sampler } from './samplers.ts'

/** Items drawn with replacement, each as often as its weight says. */
export class WeightedSampler implements Sampler {
  readonly length: number
  readonly replacement = true
  /** Sums of the weights up to each item. */
  readonly #sums: Float64Array

  /**
   * @param weights of the items, not negative and not all 0; only their proportions matter
   * @param length items of an epoch
   */
  constructor(weights: ArrayLike<number>, length: number) {
    if (!Number.isInteger(length) || length < 1) {
      throw new ConfigError(`WeightedSampler: length must be a whole number above 0, got ${String(length)}`)
    }
    this.length = length
    this.#sums = new Float64Array(weights.length)
    let sum = 0
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i]!
      if (!(weight >= 0 && Number.isFinite(weight))) {
        throw new ConfigError(
          `WeightedSampler: the weight of item ${i} must be at least 0, got ${String(weight)}`,
        )
      }
      sum += weight
      this.#sums[i] = sum
    }
    if (sum === 0) throw new ConfigError('WeightedSampler: at least one weight must be above 0')
  }

  indices(random: RandomStream): Uint32Array {
    const total = this.#sums.at(-1)!
    return Uint32Array.from({ length: this.length }, () => this.#find(random.uniform(0, total)))
  }

  /** The first item whose sum is above `value`. */
  #find(value: number): number {
    let [low, high] = [0, this.#sums.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#sums[middle]! > value) high = middle
      else low = middle + 1
    }
    return low
  }
}

/**
 * Weights that let all classes come equally often: one over the size of an item's class. With `WeightedSampler(weights, n)` of as many
 * items as the classes would have if each were as large as the largest (`'over'`) or as small as the smallest (`'under'`).
 */
export function balancedSampler(labels: ArrayLike<number>, how: 'over' | 'under' = 'over'): WeightedSampler {
  const counts = new Map<number, number>()
  for (const label of Array.from(labels)) counts.set(label, (counts.get(label) ?? 0) + 1)
  if (counts.size === 0) throw new ConfigError('balancedSampler: there are no labels')
  const each = how === 'over' ? Math.max(...counts.values()) : Math.min(...counts.values())
  return new WeightedSampler(
    Array.from(labels, (label) => 1 / counts.get(label)!),
    counts.size * each,
  )
}
