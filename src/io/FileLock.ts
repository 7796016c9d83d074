import { type FileHandle, link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { nodeCrypto } from './builtins.ts'

/**
 * How often the holder of a lock shows that it lives, and after how long without that it is held to be dead, in milliseconds; how
 * often those who wait look.
 */
export interface LockTimes {
  beat: number
  stale: number
  poll: number
}

const defaults: LockTimes = { beat: 2000, stale: 20_000, poll: 200 }

/** A lock that a killed process left long ago is given so many beats to show otherwise. */
const BEATS_OF_OLD = 4

/**
 * A file that one process at a time may make. Its holder touches it every now and then; one that was killed leaves it behind,
 * and it is taken from it when it has not been touched for a while, as those who wait see it: machines that share a file system need
 * not agree what time it is.
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
    const token = `${process.pid}-${nodeCrypto().randomBytes(8).toString('hex')}`
    let seen: Sight | undefined
    for (let told = false; ; await sleep(poll)) {
      if (await create(path, token)) return new FileLock(path, token, beat)
      if (await done()) return undefined
      if (!told) waiting()
      told = true
      const now = await look(path)
      if (now === undefined || seen === undefined || !isSame(now, seen)) seen = now
      else if (isStale(seen, { beat, stale, poll })) await remove(path, seen, token)
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

/** A lock as one who waits found it. */
interface Sight {
  inode: number
  touched: number
  /** When it was first found so, by this process's own clock, which nobody sets. */
  since: number
}

async function look(path: string): Promise<Sight | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found && { inode: found.ino, touched: found.mtimeMs, since: performance.now() }
}

const isSame = (a: Sight, b: Sight) => a.inode === b.inode && a.touched === b.touched

/**
 * Nobody touches it any more. What the clock says about its age, which may be that of another machine, only shortens the waiting: a
 * time to come, or one long ago by a clock that is wrong, makes no difference to a holder that lives.
 */
function isStale({ touched, since }: Sight, { beat, stale }: LockTimes): boolean {
  const still = performance.now() - since
  return still >= stale || (still >= BEATS_OF_OLD * beat && Date.now() - touched >= stale)
}

/**
 * Moves a stale lock out of the way. Two processes may come upon it at once: the second then moves the first one's new lock, sees so,
 * and puts it back.
 */
async function remove(path: string, seen: Sight, token: string): Promise<void> {
  const aside = `${path}.${token}`
  try {
    await rename(path, aside)
  } catch {
    return // Somebody else was quicker.
  }
  const moved = await look(aside)
  if (moved && !isSame(moved, seen)) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true }).catch(() => undefined)
}
