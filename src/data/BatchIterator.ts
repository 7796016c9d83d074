import { DataError } from '../engine/errors.ts'
import { newLane } from '../engine/pictures.ts'
import { BatchFeed } from './BatchFeed.ts'
import { BatchRoom, type RoomPool } from './BatchRoom.ts'
import { type Assembled, type Collator, toTensors } from './collate.ts'
import { type Dataset, hasBatchedItems, isBatchFinisher, isGatherable } from './Dataset.ts'
import type { Decoding } from './image/RgbImage.ts'
import { RandomStream } from './random.ts'
import { checkOrder, type Sampler } from './samplers.ts'
import { PoolClosed, WorkPool } from './WorkPool.ts'

// Pictures that are asked for beyond those that are decoded: what is decoded at a time is limited elsewhere.
const ASKED_AHEAD = 4

/** An item that was left out. */
export interface SkippedItem {
  /** Index in the dataset. */
  index: number
  /** The file, or how else the dataset calls the item. */
  item: string
  reason: string
}

/** What an epoch is made of. */
export interface EpochPlan<Item, B> {
  dataset: Dataset<Item>
  sampler: Sampler
  batchSize: number
  /** Number of batches in the whole epoch. */
  length: number
  seed: number
  epoch: number
  /** The batch to begin with. */
  batch: number
  workers: number
  prefetch: number
  onError: 'throw' | 'skip'
  device: string | undefined
  collate: ((items: Item[]) => B) | undefined
  collator: Collator
  /** Where bytes of pictures come from, and go back to. */
  rooms: RoomPool
  /** Told of each item that is left out. */
  onSkip: (item: SkippedItem) => void
  /** Told of each batch before it is handed out, and of which items of the dataset it is. */
  onBatch: (batch: unknown, indices: readonly number[]) => void
  /** Called when the epoch ends, early or not. */
  onEnd: () => void
}

/** What the background hands over: a batch without tensors, or its items for a `collate` of the user's own. */
type Prepared<Item> =
  | { assembled: Assembled; indices: number[] }
  | { items: Item[]; indices: number[] }
  | { empty: true }

/** One epoch of a `DataLoader`. */
export class BatchIterator<Item, B> implements AsyncIterator<B, undefined> {
  readonly epoch: number
  /** Batches handed out so far, those before the first one included. */
  batch: number
  /** No batch will come any more. */
  done = false
  readonly #plan: EpochPlan<Item, B>
  readonly #order: ArrayLike<number>
  readonly #occurrences: Uint32Array | undefined
  readonly #feed: BatchFeed<Item, Prepared<Item>> | undefined
  readonly #decoding: Decoding | undefined
  // Settled when the last call of `next` is.
  #last: Promise<void> = Promise.resolve()
  // Of the batches under way.
  readonly #rooms = new Map<number, BatchRoom>()

  constructor(plan: EpochPlan<Item, B>) {
    this.#plan = plan
    this.epoch = plan.epoch
    this.batch = plan.batch
    this.#order = plan.sampler.indices(this.#random('order', 0))
    checkOrder(this.#order, plan.sampler, plan.dataset.length)
    this.#occurrences = plan.sampler.replacement ? countOccurrences(this.#order) : undefined
    if (!plan.collate && isGatherable(plan.dataset)) return
    const first = plan.batch
    const workers = Math.max(1, plan.workers)
    this.#decoding = { lane: newLane(workers), pool: new WorkPool(workers) }
    this.#feed = new BatchFeed({
      sizes: Array.from(
        { length: Math.max(0, plan.length - first) },
        (_, at) => this.#range(first + at).length,
      ),
      fetch: (position, batch, at) => this.#fetch(first * plan.batchSize + position, first + batch, at),
      assemble: (outcomes, at) => this.#assemble(outcomes, first + at),
      // Threads are not to wait until they are told of the next picture.
      workers: this.#isBatched() ? workers + ASKED_AHEAD : workers,
      ahead: plan.prefetch,
    })
  }

  /**
   * The next batch. Its tensors are made here, so that they belong to the consumer. Calls wait for one another, as an async
   * generator's do.
   */
  next(): Promise<IteratorResult<B, undefined>> {
    const result = this.#last.then(() => this.#advance())
    // The batch itself is not kept.
    this.#last = result.then(
      () => {},
      () => {},
    )
    return result
  }

  async #advance(): Promise<IteratorResult<B, undefined>> {
    try {
      // A macrotask per batch: finalizers, timers and Ctrl-C get their turn.
      await new Promise(setImmediate)
      while (!this.done && this.batch < this.#plan.length) {
        const value = this.#feed ? await this.#take(this.#feed) : this.#gather()
        if (!this.done) this.batch++
        if (value !== undefined) return { done: false, value }
      }
      return await this.return()
    } catch (error) {
      const ended = this.done
      await this.return()
      // Who ends the epoch while a batch is on its way gets no batch, and no error.
      if (ended && error instanceof PoolClosed) return { done: true, value: undefined }
      throw error
    }
  }

  /** Ends the epoch at once, for calls of `next` under way too; resolves when nothing is left to run in the background. */
  async return(): Promise<{ done: true; value: undefined }> {
    const ended = this.done
    this.done = true
    await this.#feed?.close()
    if (!ended) this.#plan.onEnd()
    return { done: true, value: undefined }
  }

  async #take(feed: BatchFeed<Item, Prepared<Item>>): Promise<B | undefined> {
    const prepared = await feed.take()
    if (this.done || prepared === undefined || 'empty' in prepared) return undefined
    const { collate, onBatch } = this.#plan
    const collated = 'items' in prepared ? collate!(prepared.items) : this.#toTensors(prepared.assembled)
    const batch = this.#finish(collated)
    onBatch(batch, prepared.indices)
    return batch
  }

  #toTensors(assembled: Assembled): B {
    const batch = toTensors(assembled, this.#plan.device) as B
    this.#rooms.get(this.batch)?.release()
    this.#rooms.delete(this.batch)
    return batch
  }

  #finish(batch: B): B {
    const { dataset } = this.#plan
    return isBatchFinisher(dataset) ? dataset.finishBatch(batch, this.#random('batch', this.batch)) : batch
  }

  #gather(): B {
    const { dataset, device, onBatch } = this.#plan
    if (!isGatherable<B>(dataset))
      throw new TypeError('gather() is for datasets that make their batches themselves')
    const indices = this.#range(this.batch)
    const batch = dataset.gather(indices, device)
    onBatch(batch, indices)
    return batch
  }

  /** The indices of a batch's items. */
  #range(batch: number): number[] {
    const { batchSize, sampler } = this.#plan
    const start = batch * batchSize
    const end = Math.min(start + batchSize, sampler.length)
    return Array.from({ length: end - start }, (_, at) => this.#order[start + at]!)
  }

  #fetch(position: number, batch: number, at: number): Item | Promise<Item> {
    const { dataset } = this.#plan
    const index = this.#order[position]!
    const random = this.#random('item', index, this.#occurrences?.[position])
    if (!this.#isBatched() || !hasBatchedItems<Item>(dataset)) return dataset.get(index, random)
    return dataset.getForBatch(index, random, this.#roomOf(batch).at(at))
  }

  /** A `collate` of the user's own gets items as `get` gives them. */
  #isBatched(): boolean {
    return !this.#plan.collate && hasBatchedItems(this.#plan.dataset)
  }

  #roomOf(batch: number): BatchRoom {
    const found = this.#rooms.get(batch)
    if (found) return found
    const room = new BatchRoom(this.#plan.rooms, this.#range(batch).length, this.#decoding!)
    this.#rooms.set(batch, room)
    return room
  }

  #assemble(outcomes: PromiseSettledResult<Item>[], batch: number): Prepared<Item> {
    const { dataset, collate, collator, onError, onSkip } = this.#plan
    const indices = this.#range(batch)
    const kept: number[] = []
    const items: Item[] = []
    const describe = (index: number) => dataset.describe?.(index) ?? `item ${index}`
    for (const [at, outcome] of outcomes.entries()) {
      const index = indices[at]!
      if (outcome.status === 'fulfilled') {
        kept.push(index)
        items.push(outcome.value)
      } else if (onError === 'skip' && outcome.reason instanceof DataError) {
        onSkip({ index, item: describe(index), reason: outcome.reason.message })
      } else {
        throw outcome.reason
      }
    }
    if (items.length === 0) return { empty: true }
    if (collate) return { items, indices: kept }
    return { assembled: collator.assemble(items, (at) => describe(kept[at]!)), indices: kept }
  }

  #random(purpose: 'item' | 'order' | 'batch', index: number, occurrence = 0): RandomStream {
    const { seed, epoch } = this.#plan
    return new RandomStream({ seed, purpose, epoch, index, occurrence })
  }
}

/** For each position of an order: how often its item has come before. */
function countOccurrences(order: ArrayLike<number>): Uint32Array {
  const seen = new Map<number, number>()
  return Uint32Array.from(order, (index) => {
    const before = seen.get(index) ?? 0
    seen.set(index, before + 1)
    return before
  })
}
