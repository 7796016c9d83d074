import { nodeWorkerThreads } from '../io/builtins.ts'

/** One key press may come twice: from the terminal, and passed on by a wrapper such as npx or tsx. In milliseconds. */
const echo = 500

/**
 * Listens for Ctrl-C (SIGINT) on behalf of a running fit. Once it has come, `requested` is true; a second one, half a second later or
 * more, ends the process at once, as it would without us. Where the program listens itself, or in a worker thread, it does nothing.
 */
export class Interrupt {
  requested = false
  #came = 0
  readonly #onSignal = () => {
    if (this.requested) {
      if (performance.now() - this.#came < echo) return
      this.close()
      process.kill(process.pid, 'SIGINT')
      return
    }
    this.requested = true
    this.#came = performance.now()
    process.stderr.write('\nInterrupted: finishing the batch (once more ends at once) …\n')
  }

  listen(): void {
    this.requested = false
    if (!nodeWorkerThreads().isMainThread || process.listenerCount('SIGINT') > 0) return
    process.on('SIGINT', this.#onSignal)
  }

  close(): void {
    process.off('SIGINT', this.#onSignal)
    // The fit may be over before the same key press comes again.
    const left = this.requested ? this.#came + echo - performance.now() : 0
    if (left <= 0) return
    const ignore = () => {}
    process.on('SIGINT', ignore)
    setTimeout(() => process.off('SIGINT', ignore), left).unref()
  }
}

/** What a process ends with after SIGINT: 128 and the signal's number. */
export const interruptedStatus = 130
