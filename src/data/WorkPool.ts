/** What a job that never started is rejected with when its pool is closed. Whoever closes it keeps this from users. */
export class PoolClosed extends Error {
  override readonly name = 'PoolClosed'
}

/** Runs jobs in the order in which they were given, at most `size` of them at a time. */
export class WorkPool {
  readonly #size: number
  readonly #waiting: { start: () => void; abandon: (reason: PoolClosed) => void }[] = []
  readonly #running = new Set<Promise<unknown>>()
  #closed = false

  constructor(size: number) {
    this.#size = size
  }

  run<T>(job: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const start = () => {
        const running = (async () => job())()
        const done = running.then(resolve, reject).finally(() => {
          this.#running.delete(done)
          this.#waiting.shift()?.start()
        })
        this.#running.add(done)
      }
      if (this.#closed) reject(new PoolClosed())
      else if (this.#running.size < this.#size) start()
      else this.#waiting.push({ start, abandon: reject })
    })
  }

  /** Jobs that wait never start; resolves once those that run have ended. */
  async close(): Promise<void> {
    this.abandonWaiting()
    await Promise.all(this.#running)
  }

  /** No further job starts. */
  abandonWaiting(): void {
    this.#closed = true
    for (const { abandon } of this.#waiting.splice(0)) abandon(new PoolClosed())
  }
}
