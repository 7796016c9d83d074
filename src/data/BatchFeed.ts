import { AsyncResource } from 'node:async_hooks'
import { PoolClosed, WorkPool } from './WorkPool.ts'

export interface BatchFeedOptions<Item, Assembled> {
  /** Numbers of items of each batch, in order. */
  sizes: readonly number[]
  /** Fetches one item: `position` counts over all batches, `at` in its batch. */
  fetch: (position: number, batch: number, at: number) => Item | Promise<Item>
  /** Makes a batch of what was fetched; called batch by batch, in their order. */
  assemble: (outcomes: PromiseSettledResult<Item>[], batch: number) => Assembled
  /** Items that are fetched at the same time. */
  workers: number
  /** Batches that are prepared ahead of the one that is asked for. */
  ahead: number
}

/**
 * Prepares batches in the background, in order: at most `workers` items at a time, at most `ahead` batches more than were
 * taken. A batch that fails rejects when it is taken, not before.
 */
export class BatchFeed<Item, Assembled> {
  readonly #options: BatchFeedOptions<Item, Assembled>
  readonly #pool: WorkPool
  readonly #started: Promise<Assembled>[] = []
  // What is fetched ahead must not belong to the consumer's current batch: tensors made there die with its scope.
  readonly #context = new AsyncResource('AnnealBatchFeed')
  #next = 0
  #position = 0
  #assembled: Promise<unknown> = Promise.resolve()

  constructor(options: BatchFeedOptions<Item, Assembled>) {
    this.#options = options
    this.#pool = new WorkPool(options.workers)
  }

  /** The next batch, or undefined after the last one. */
  async take(): Promise<Assembled | undefined> {
    this.#fill(1)
    const batch = this.#started.shift()
    this.#fill(this.#options.ahead)
    return batch
  }

  /** Starts nothing more; resolves when what had been started is done. */
  async close(): Promise<void> {
    this.#next = this.#options.sizes.length
    await this.#pool.close()
    await Promise.allSettled(this.#started)
    this.#context.emitDestroy()
  }

  #fill(count: number): void {
    while (this.#started.length < count && this.#next < this.#options.sizes.length) {
      const batch = this.#context.runInAsyncScope(() =>
        this.#prepare(this.#next, this.#position, this.#assembled),
      )
      // It is looked at when it is taken; until then a failure is not "unhandled".
      this.#assembled = batch.then(
        () => {},
        () => {},
      )
      this.#started.push(batch)
      this.#position += this.#options.sizes[this.#next]!
      this.#next++
    }
  }

  /** Waits for the batch `before` it: what the first batch settles must not depend on which one is there first. */
  async #prepare(batch: number, position: number, before: Promise<unknown>): Promise<Assembled> {
    const { sizes, fetch, assemble } = this.#options
    const items = Array.from({ length: sizes[batch]! }, (_, at) =>
      this.#pool.run(() => fetch(position + at, batch, at)),
    )
    const outcomes = await Promise.allSettled(items)
    await before
    const abandoned = outcomes.find(
      (outcome) => outcome.status === 'rejected' && outcome.reason instanceof PoolClosed,
    )
    if (abandoned?.status === 'rejected') throw abandoned.reason
    return assemble(outcomes, batch)
  }
}
