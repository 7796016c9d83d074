import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import { philox, type Words } from './philox.ts'

/** What random numbers are drawn for: each purpose has its own stream, so that one cannot disturb another. */
export type RandomPurpose = 'item' | 'order' | 'split' | 'batch'

const PURPOSES: Record<RandomPurpose, number> = { item: 0, order: 1, split: 2, batch: 3 }

/** Where in the sea of random numbers a stream begins. */
export interface RandomKey {
  /** Whole number from 0 to 2^53 − 1. */
  seed: number
  purpose?: RandomPurpose
  /** Default 0. */
  epoch?: number
  /** Which item of the dataset, or which batch. Default 0. */
  index?: number
  /** How often this item has come before in the epoch, for samplers that draw with replacement. Default 0. */
  occurrence?: number
}

/**
 * Random numbers that depend on nothing but their key, so that item 7 of epoch 3 is flipped or not whoever decodes it, and
 * in whatever order. The numbers come from Philox4x32-10, keyed by the seed and counted by epoch, item and draw.
 */
export class RandomStream {
  readonly #counter: Words
  readonly #key0: number
  readonly #key1: number
  readonly #words: Words = [0, 0, 0, 0]
  #used = 4

  readonly #keys: RandomKey

  constructor(key: RandomKey) {
    const { seed, purpose = 'item', epoch = 0, index = 0, occurrence = 0 } = key
    checkSeed(seed)
    this.#keys = key
    this.#key0 = seed >>> 0
    this.#key1 = Math.floor(seed / 2 ** 32) >>> 0
    this.#counter = [0, index >>> 0, epoch >>> 0, ((PURPOSES[purpose] << 24) | (occurrence & 0xffffff)) >>> 0]
  }

  /** A stream of the same key, from its beginning. */
  copy(): RandomStream {
    return new RandomStream(this.#keys)
  }

  /** A random 32-bit word. */
  word(): number {
    if (this.#used === 4) {
      philox(this.#counter, this.#key0, this.#key1, this.#words)
      this.#counter[0] = (this.#counter[0] + 1) >>> 0
      this.#used = 0
    }
    return this.#words[this.#used++]!
  }

  /** Uniform in [low, high), with 53 random bits. */
  uniform(low = 0, high = 1): number {
    const high27 = this.word() >>> 5
    const low26 = this.word() >>> 6
    return low + ((high27 * 2 ** 26 + low26) / 2 ** 53) * (high - low)
  }

  /** Uniform in the logarithm: halving and doubling are equally likely. Both ends must be positive. */
  logUniform(low: number, high: number): number {
    return Math.exp(this.uniform(Math.log(low), Math.log(high)))
  }

  /** A whole number from 0 to `count` − 1, each equally likely. @throws ConfigError unless `count` is one from 1 to 2^32. */
  integer(count: number): number {
    if (!(Number.isInteger(count) && count >= 1 && count <= 2 ** 32)) {
      throw new ConfigError(`integer: the count is a whole number from 1 to 2^32, got ${show(count)}`)
    }
    // Words from the incomplete last stretch would favour small numbers, so they are drawn anew.
    const limit = 2 ** 32 - (2 ** 32 % count)
    let word = this.word()
    while (word >= limit) word = this.word()
    return word % count
  }

  /** A number from the normal distribution of mean 0 and deviation 1 (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform())
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return this.uniform() < p
  }

  /** The numbers 0 … count − 1 in random order, each order equally likely (Fisher and Yates). */
  permutation(count: number): Uint32Array {
    if (!(Number.isInteger(count) && count >= 0 && count < 2 ** 32)) {
      throw new ConfigError(`permutation: the count is a whole number from 0 to 2^32 - 1, got ${show(count)}`)
    }
    const order = new Uint32Array(count)
    for (let i = 0; i < count; i++) order[i] = i
    for (let i = count - 1; i > 0; i--) {
      const other = this.integer(i + 1)
      const kept = order[i]!
      order[i] = order[other]!
      order[other] = kept
    }
    return order
  }
}

/** Throws a ConfigError for a seed that is not a whole number from 0 to 2^53 − 1. */
export function checkSeed(seed: number): void {
  if (Number.isSafeInteger(seed) && seed >= 0) return
  throw new ConfigError(`a seed is a whole number from 0 to 2^53 - 1, got ${String(seed)}`)
}
