import { scope } from '../engine/index.ts'
import type { Batch, BatchLoader } from './data.ts'

/**
 * Runs `body` on each batch of a loader, until it answers that it is enough. The batch and all that is made of it is freed when
 * `body` has ended, except what it keeps (`tensor.keep()`). Between batches the event loop has a turn: timers, servers, Ctrl-C
 * and finalizers live while a model trains.
 *
 * @param enough leave before the first batch, as a pass that was left before it was interrupted
 */
export async function eachBatch(
  loader: BatchLoader,
  body: (batch: Batch) => Promise<'enough' | undefined>,
  enough = false,
): Promise<void> {
  const iterator = loader[Symbol.asyncIterator]()
  let finished = enough
  try {
    while (!finished) {
      await scope(async () => {
        const next = await iterator.next()
        finished = next.done === true || (await body(next.value)) === 'enough'
      })
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  } finally {
    await iterator.return?.()
  }
}
