import type { Decoding, PictureRoom } from './image/RgbImage.ts'

/** Bytes of batches that have been made into tensors, for the batches that come. */
export class RoomPool {
  readonly #free: Uint8Array[] = []

  /** @internal */
  take(bytes: number): Uint8Array {
    const at = this.#free.findIndex(({ length }) => length >= bytes && length <= 2 * bytes)
    if (at >= 0) return this.#free.splice(at, 1)[0]!
    this.#free.length = 0 // of another size: they will not be needed again
    return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
  }

  give(bytes: Uint8Array): void {
    this.#free.push(bytes)
  }
}

/**
 * Where the pictures of one batch are put while they are decoded: side by side, so that the batch is there when they are. Bytes are
 * taken with the first picture, and given back when the batch is a tensor.
 */
export class BatchRoom {
  readonly #pool: RoomPool
  readonly #count: number
  readonly #decoding: Decoding
  #bytes: Uint8Array | undefined
  #kind: 'fixed' | 'loose' | undefined
  #each = 0
  #used = 0

  constructor(pool: RoomPool, count: number, decoding: Decoding) {
    this.#pool = pool
    this.#count = count
    this.#decoding = decoding
  }

  /** For the picture at a position of the batch. */
  at(position: number): PictureRoom {
    return {
      decoding: this.#decoding,
      fixed: (bytes) => {
        this.#begin('fixed', bytes)
        if (this.#kind !== 'fixed' || bytes !== this.#each) return undefined
        return this.#bytes!.subarray(position * bytes, (position + 1) * bytes)
      },
      loose: (bytes) => {
        // Pictures of a kind differ by little; who finds no room is copied later.
        this.#begin('loose', Math.ceil(bytes * 1.25))
        const start = this.#used
        if (this.#kind !== 'loose' || start + bytes > this.#bytes!.length) return undefined
        this.#used += bytes
        return this.#bytes!.subarray(start, start + bytes)
      },
    }
  }

  /** Nobody looks at the pictures any more. */
  release(): void {
    if (this.#bytes) this.#pool.give(this.#bytes)
    this.#bytes = undefined
    this.#kind = undefined
  }

  #begin(kind: 'fixed' | 'loose', each: number): void {
    if (this.#kind) return
    this.#kind = kind
    this.#each = each
    this.#bytes = this.#pool.take(each * this.#count)
  }
}
