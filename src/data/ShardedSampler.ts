import { ConfigError } from '../engine/errors.ts'
import type { RandomStream } from './random.ts'
import type { Sampler } from './samplers.ts'

/**
 * One process's part of another sampler's order: every `shards`-th item from the `shard`-th on. With the same seed in all
 * processes the parts are disjoint and make up the whole; all have one length, for which the first items come twice if need be,
 * or, with `dropLast`, the last ones are left out (PyTorch's `DistributedSampler`).
 */
export class ShardedSampler implements Sampler {
  readonly length: number
  readonly replacement: boolean
  readonly #sampler: Sampler
  readonly #shard: number
  readonly #shards: number

  /** @throws ConfigError unless 0 <= shard < shards, and there is something for each */
  constructor(
    sampler: Sampler,
    { shard, shards, dropLast = false }: { shard: number; shards: number; dropLast?: boolean },
  ) {
    if (!Number.isInteger(shards) || !Number.isInteger(shard) || shards < 1 || shard < 0 || shard >= shards) {
      throw new ConfigError(
        `ShardedSampler: shard is a number from 0 to shards - 1, got ${shard} of ${shards}`,
      )
    }
    this.length = dropLast ? Math.floor(sampler.length / shards) : Math.ceil(sampler.length / shards)
    if (this.length === 0)
      throw new ConfigError(`ShardedSampler: ${sampler.length} items do not suffice for ${shards} shards`)
    this.replacement = sampler.replacement ?? false
    this.#sampler = sampler
    this.#shard = shard
    this.#shards = shards
  }

  indices(random: RandomStream): Uint32Array {
    const order = this.#sampler.indices(random)
    return Uint32Array.from(
      { length: this.length },
      (_, at) => order[(at * this.#shards + this.#shard) % order.length]!,
    )
  }
}
