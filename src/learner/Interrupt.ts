import { isMainThread } from 'node:worker_threads'

/**
 * Listens for Ctrl-C (SIGINT) on behalf of a running fit. Once it has come, `requested` is true and nobody listens any more: a second
 * one ends the process at once, as it would without us. Where the program listens itself, or in a worker thread, it does nothing.
 */
export class Interrupt {
  requested = false
  readonly #onSignal = () => {
    this.requested = true
    this.close()
    process.stderr.write('\nInterrupted: finishing the batch (once more ends at once) …\n')
  }

  listen(): void {
    this.requested = false
    if (isMainThread && process.listenerCount('SIGINT') === 0) process.on('SIGINT', this.#onSignal)
  }

  close(): void {
    process.off('SIGINT', this.#onSignal)
  }
}

/** What a process ends with after SIGINT: 128 and the signal's number. */
export const interruptedStatus = 130
