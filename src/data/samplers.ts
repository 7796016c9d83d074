import { DataError } from '../engine/errors.ts'
import type { RandomStream } from './random.ts'

/** Says which items an epoch brings, and in which order. */
export interface Sampler {
  /** Number of items in one epoch. */
  readonly length: number
  /** True if an item may come more than once in an epoch: each time is then augmented differently. */
  readonly replacement?: boolean
  /** The order of one epoch: indices into the dataset. `random` depends on the loader's seed and the epoch only. */
  indices(random: RandomStream): ArrayLike<number>
}

/** The items in their own order: 0, 1, 2 … */
export class SequentialSampler implements Sampler {
  readonly length: number

  constructor(length: number) {
    this.length = length
  }

  indices(): Uint32Array {
    return Uint32Array.from({ length: this.length }, (_, index) => index)
  }
}

/** Every item once, in an order drawn anew each epoch. */
export class RandomSampler implements Sampler {
  readonly length: number

  constructor(length: number) {
    this.length = length
  }

  indices(random: RandomStream): Uint32Array {
    return random.permutation(this.length)
  }
}

/** Throws a DataError if a sampler's order is not made of indices into a dataset of `length` items. */
export function checkOrder(order: ArrayLike<number>, sampler: Sampler, length: number): void {
  if (order.length !== sampler.length) {
    throw new DataError(
      `the sampler says that an epoch has ${sampler.length} items, but its order holds ${order.length} indices`,
    )
  }
  for (let position = 0; position < order.length; position++) {
    const index = order[position]!
    if (Number.isInteger(index) && index >= 0 && index < length) continue
    throw new DataError(
      `the sampler asks for item ${index} at position ${position}, but the dataset has items 0 to ${length - 1}`,
    )
  }
}
