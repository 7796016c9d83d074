import { addon, guarded } from './addon.ts'
import { requireFunction } from './check.ts'
import { reads } from './state.ts'

const finalizers = new FinalizationRegistry<number>((id) => addon.dropRecording(id))

/**
 * What ops enqueue while a function runs, to be enqueued again as a whole: the same kernels on the same memory, without the
 * calls. On CUDA the first repetition captures what is launched as a graph, if all of it can be captured, and further ones
 * launch that. Numbers that were given to ops are part of it; values of tensors are read anew each time, and random numbers
 * drawn anew.
 *
 * The function must be synchronous. Values may be read inside (that is not repeated). Tensors that it makes keep their memory
 * as long as the recording lives, and hold the values of its last run.
 */
export class Recording {
  readonly #id: number
  /** Whether the function read a tensor's values, or made a shape of them: whatever followed from them is not repeated. */
  readonly readsValues: boolean

  private constructor(id: number, readsValues: boolean) {
    this.#id = id
    this.readsValues = readsValues
    finalizers.register(this, id, this)
  }

  /** Runs `body`, once, and returns what it returned with the recording. */
  static of<Result>(body: () => Result): { recording: Recording; result: Result } {
    requireFunction('Recording.of', 'argument', body)
    guarded(() => addon.beginRecording())
    const earlier = reads.count
    let result: Result
    try {
      result = body()
    } catch (error) {
      addon.dropRecording(addon.endRecording())
      throw error
    }
    return { recording: new Recording(addon.endRecording(), reads.count > earlier), result }
  }

  /** Enqueues all of it again and returns at once. */
  replay(): void {
    guarded(() => addon.replay(this.#id))
  }

  /** Whether repetitions launch a graph of CUDA. Known after the first; waits for the queue. */
  get isGraph(): boolean {
    return guarded(() => addon.isCaptured(this.#id))
  }

  /** Frees its memory, except that of tensors which are still held. */
  dispose(): void {
    finalizers.unregister(this)
    addon.dropRecording(this.#id)
  }
}
