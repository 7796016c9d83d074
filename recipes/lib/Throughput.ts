import { type BatchEndContext, Callback, type EpochBeginContext } from '../../src/learner/index.ts'

/** Counts training pictures and the time spent on them; validation and saving are left out. */
export class Throughput extends Callback {
  override readonly runsInLrFind = false
  /** Training pictures so far. */
  images = 0
  /** Seconds spent on training batches so far, loading included. */
  seconds = 0
  #since = 0

  get imagesPerSecond(): number {
    return this.seconds > 0 ? this.images / this.seconds : 0
  }

  override onEpochBegin(_context: EpochBeginContext): void {
    this.#since = performance.now()
  }

  override onBatchEnd({ train, lastInput }: BatchEndContext): void {
    if (!train) return
    const now = performance.now()
    const [pictures] = Array.isArray(lastInput) ? lastInput : [lastInput]
    this.images += pictures.shape[0]
    this.seconds += (now - this.#since) / 1000
    this.#since = now
  }
}
