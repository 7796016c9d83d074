import { totalmem } from 'node:os'
import { ConfigError } from '../../engine/errors.ts'
import { rejectUnknownOptions } from '../options.ts'
import { DiskCache, type DiskCacheOption } from './DiskCache.ts'
import type { PicturePath } from './listPictures.ts'
import type { RgbImage } from './RgbImage.ts'

/**
 * Whether decoded pictures are kept for later epochs: in memory, as many as fit into a quarter of it ('memory') or into so many
 * bytes; or in a folder, for later programs too.
 */
export type CacheOption = 'memory' | number | DiskCacheOption

/** Where decoded pictures are kept, by their index or file and what had been done to them. */
export interface PictureStore {
  /** Kept for later programs: what had been done must be known by its name alone. */
  readonly lasting?: boolean
  get(
    state: string,
    index: number,
    picture: PicturePath,
  ): RgbImage | undefined | Promise<RgbImage | undefined>
  add(state: string, index: number, picture: PicturePath, image: RgbImage): void | Promise<void>
}

/**
 * Makes stores for lists of files, one for each, which share memory or a folder; nothing without an option.
 * @throws ConfigError for an option that cannot be
 */
export function pictureStores(option: CacheOption | undefined): () => PictureStore | undefined {
  if (option === undefined) return () => undefined
  if (typeof option === 'object' && option !== null) {
    rejectUnknownOptions('cache', option, ['folder', 'maxBytes'])
    const store = new DiskCache(option)
    return () => store
  }
  const budget = new CacheBudget(option)
  return () => new PictureCache(budget)
}

const SLAB_BYTES = 1 << 20

/** Memory that several caches share. */
export class CacheBudget {
  readonly maxBytes: number
  #used = 0
  #warned = false

  /** @throws ConfigError unless the option is 'memory' or a number of bytes. */
  constructor(option: 'memory' | number) {
    const valid = option === 'memory' || (Number.isSafeInteger(option) && option > 0)
    if (!valid)
      throw new ConfigError(
        `cache is 'memory' or a number of bytes, or { folder }, got ${JSON.stringify(option)}`,
      )
    this.maxBytes = option === 'memory' ? Math.floor(totalmem() / 4) : option
  }

  /** Takes so many bytes, if they are left; says so, once, if they are not. */
  take(bytes: number): boolean {
    if (this.#used + bytes <= this.maxBytes) {
      this.#used += bytes
      return true
    }
    if (!this.#warned) {
      this.#warned = true
      const size = `${Math.round(this.maxBytes / 2 ** 20)} MiB`
      process.emitWarning(
        `the picture cache is full (${size}): further pictures are decoded each epoch. Pass cache: bytes for a larger one`,
        { type: 'AnnealWarning', code: 'ANNEAL_CACHE_FULL' },
      )
    }
    return false
  }
}

/** Decoded pictures of one list of files, by their index and what had been done to them. */
export class PictureCache implements PictureStore {
  readonly #budget: CacheBudget
  readonly #shelves = new Map<string, Map<number, RgbImage>>()
  // Small pictures share buffers: a hundred thousand of their own would cost more than they hold.
  #slab = new Uint8Array(0)
  #slabUsed = 0

  constructor(budget: CacheBudget) {
    this.#budget = budget
  }

  get(state: string, index: number): RgbImage | undefined {
    return this.#shelves.get(state)?.get(index)
  }

  /** Keeps a copy, if there is room. Nobody may write to what comes back from `get`. */
  add(state: string, index: number, _picture: PicturePath, image: RgbImage): void {
    const place = this.#room(image.data.length)
    if (!place) return
    place.set(image.data)
    const shelf = this.#shelves.get(state) ?? new Map<number, RgbImage>()
    shelf.set(index, { data: place, width: image.width, height: image.height })
    this.#shelves.set(state, shelf)
  }

  #room(bytes: number): Uint8Array | undefined {
    if (bytes > SLAB_BYTES / 8) return this.#budget.take(bytes) ? new Uint8Array(bytes) : undefined
    if (this.#slabUsed + bytes > this.#slab.length) {
      const slab = Math.min(SLAB_BYTES, this.#budget.maxBytes)
      if (bytes > slab || !this.#budget.take(slab)) return undefined
      this.#slab = new Uint8Array(slab)
      this.#slabUsed = 0
    }
    this.#slabUsed += bytes
    return this.#slab.subarray(this.#slabUsed - bytes, this.#slabUsed)
  }
}
