import { randomBytes } from 'node:crypto'
import { type FileHandle, link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** How often the holder of a lock shows that it lives, and after how long without that it is held to be dead, in milliseconds. */
export interface LockTimes {
  beat: number
  stale: number
  poll: number
}

const defaults: LockTimes = { beat: 2000, stale: 20_000, poll: 200 }

/**
 * A file that one process at a time may make. Its holder touches it every now and then; one that was killed leaves it behind,
 * and it is taken from it when it has not been touched for a while. Works on file systems that several machines share.
 */
export class FileLock {
  readonly #path: string
  readonly #token: string
  readonly #timer: NodeJS.Timeout

  private constructor(path: string, token: string, beat: number) {
    this.#path = path
    this.#token = token
    this.#timer = setInterval(() => {
      const now = new Date()
      utimes(path, now, now).catch(() => undefined)
    }, beat)
    this.#timer.unref()
  }

  /**
   * Waits for the lock.
   * @param waiting called once if another process has it
   * @param done asked again and again while another process has it: true ends the waiting, without a lock
   */
  static async take(
    path: string,
    { waiting, done }: { waiting: () => void; done: () => Promise<boolean> },
    times: Partial<LockTimes> = {},
  ): Promise<FileLock | undefined> {
    const { beat, stale, poll } = { ...defaults, ...times }
    const token = `${process.pid}-${randomBytes(8).toString('hex')}`
    for (let told = false; ; await sleep(poll)) {
      if (await create(path, token)) return new FileLock(path, token, beat)
      if (await done()) return undefined
      if (!told) waiting()
      told = true
      await removeStale(path, stale, token)
    }
  }

  async release(): Promise<void> {
    clearInterval(this.#timer)
    const holder = await readFile(this.#path, 'utf8').catch(() => undefined)
    if (holder === this.#token) await rm(this.#path, { force: true }).catch(() => undefined)
  }
}

/** A lock that cannot be written (on a full disk, say) does not stay, or others would wait for nobody. */
async function create(path: string, token: string): Promise<boolean> {
  let handle: FileHandle
  try {
    handle = await open(path, 'wx')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  try {
    await handle.writeFile(token)
    await handle.close()
    return true
  } catch (error) {
    await handle.close().catch(() => undefined)
    await rm(path, { force: true }).catch(() => undefined)
    throw error
  }
}

/**
 * Moves a lock out of the way that nobody touches any more. Two processes may come upon it at once: the second then moves the
 * first one's new lock, sees so, and puts it back.
 */
async function removeStale(path: string, stale: number, token: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (!found || Date.now() - found.mtimeMs < stale) return
  const aside = `${path}.${token}`
  try {
    await rename(path, aside)
  } catch {
    return // Somebody else was quicker.
  }
  const moved = await stat(aside).catch(() => undefined)
  if (moved && Date.now() - moved.mtimeMs < stale) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true }).catch(() => undefined)
}
