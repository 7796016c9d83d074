import { type FileHandle, open, readdir, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { type AnnealError, CheckpointError } from '../engine/errors.ts'
import { nodeCrypto } from './builtins.ts'
import { makeFolders } from './makeFolders.ts'

export interface AtomicWriteOptions {
  /** Class of the error thrown when the file cannot be written. Default: {@link CheckpointError}. */
  error?: new (
    message: string,
    options?: ErrorOptions,
  ) => AnnealError
}

/** What an atomic write can be given: bytes, text, or pieces of them produced one by one. */
export type AtomicContent =
  | string
  | Uint8Array
  | Iterable<string | Uint8Array>
  | AsyncIterable<string | Uint8Array>

/** Leftovers of a killed process are removed once they are this old, in milliseconds. */
const STALE_AFTER = 60_000

/**
 * Writes a file so that at every moment either the old content or the whole new content stands under its name: the
 * bytes go to a temporary file in the same folder, are synced to the disk, and the file is then renamed. On failure
 * the temporary file is removed and the old file is left as it was.
 *
 * Missing folders of its path are made. A symbolic link is followed, even to where nothing is yet, but its folder must be there:
 * a disk may just not be mounted. The mode of a file that is replaced is kept.
 *
 * @throws CheckpointError (or `options.error`) that names the file and says what to do
 */
export async function writeFileAtomic(
  file: string,
  content: AtomicContent,
  options: AtomicWriteOptions = {},
): Promise<void> {
  const Failure = options.error ?? CheckpointError
  const { target, mode } = await resolveTarget(file, Failure)
  const folder = dirname(target)
  const prefix = `.${basename(target).slice(0, 100)}.${hostTag()}-`
  const temporary = join(folder, `${prefix}${process.pid}-${nodeCrypto().randomBytes(6).toString('hex')}.tmp`)
  await removeStale(folder, prefix)

  const producer = { running: false }
  let handle: FileHandle | undefined
  try {
    handle = await open(temporary, 'wx', mode)
    // The process's umask took bits away. Some file systems have no modes to change.
    if (mode !== undefined) await handle.chmod(mode).catch(() => undefined)
    for await (const piece of pieces(content, producer)) await writeAll(handle, piece)
    await handle.sync()
    await handle.close()
    handle = undefined
    await rename(temporary, target)
  } catch (cause) {
    await handle?.close().catch(() => undefined)
    await rm(temporary, { force: true }).catch(() => undefined)
    // What the content's producer threw is not about the file: it goes out as it is.
    if (producer.running || !isSystemError(cause)) throw cause
    throw new Failure(writeMessage(file, folder, cause), { cause })
  }
  await syncFolder(folder)
}

/** The mode is that of the file which will be replaced, if there is one. */
async function resolveTarget(
  file: string,
  Failure: NonNullable<AtomicWriteOptions['error']>,
): Promise<{ target: string; mode?: number }> {
  try {
    const target = await realpath(file)
    const found = await stat(target)
    if (!found.isFile()) {
      throw new Failure(
        `${file} is ${found.isDirectory() ? 'a folder' : 'no regular file'}: give the path of a file to write`,
      )
    }
    return { target, mode: found.mode & 0o777 }
  } catch (cause) {
    if (!isSystemError(cause)) throw cause
    if (cause.code !== 'ENOENT') throw new Failure(writeMessage(file, dirname(file), cause), { cause })
  }
  await makeFolders(dirname(file)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EEXIST') return // Writing the file will tell.
    throw new Failure(
      `${file} cannot be written: its folder ${dirname(file)} cannot be made (${cause.message})`,
      { cause },
    )
  })
  return { target: await followLinks(file) }
}

/** Where a file would be made under a name at which there is none: at the end of links, if the name is one. */
async function followLinks(file: string): Promise<string> {
  const link = await readlink(file).catch(() => undefined)
  if (link === undefined) return file
  return followLinks(resolve(await realpath(dirname(file)), link))
}

/** `producer.running` tells an error of the caller's generator from one of the file being written. */
async function* pieces(content: AtomicContent, producer: { running: boolean }): AsyncGenerator<Uint8Array> {
  if (typeof content === 'string' || content instanceof Uint8Array) {
    yield typeof content === 'string' ? Buffer.from(content) : content
    return
  }
  producer.running = true
  for await (const piece of content) {
    producer.running = false
    yield typeof piece === 'string' ? Buffer.from(piece) : piece
    producer.running = true
  }
  producer.running = false
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.byteLength - done, 1 << 30))
    done += bytesWritten
  }
}

/** The rename itself must reach the disk too. Some file systems cannot sync a folder; the rename stands even so. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}

/** Removes temporary files that an earlier process on this machine left when it was killed while writing this file. */
async function removeStale(folder: string, prefix: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    if (!name.startsWith(prefix) || !name.endsWith('.tmp')) continue
    const pid = Number.parseInt(name.slice(prefix.length), 10)
    const found = await stat(join(folder, name)).catch(() => undefined)
    if (found && Date.now() - found.mtimeMs > STALE_AFTER && !isAlive(pid)) {
      await rm(join(folder, name), { force: true }).catch(() => undefined)
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

function hostTag(): string {
  return hostname()
    .replace(/[^A-Za-z0-9]+/g, '_')
    .slice(0, 40)
}

function isSystemError(cause: unknown): cause is NodeJS.ErrnoException {
  return cause instanceof Error && typeof (cause as NodeJS.ErrnoException).syscall === 'string'
}

function writeMessage(file: string, folder: string, cause: NodeJS.ErrnoException): string {
  switch (cause.code) {
    case 'ENOENT':
      return `${file} cannot be written: the folder ${folder} does not exist. Make it first`
    case 'ENOTDIR':
      return `${file} cannot be written: ${folder} is no folder, or is in something that is none`
    case 'EACCES':
    case 'EPERM':
      return `${file} cannot be written: no permission to write in ${folder}`
    case 'EROFS':
      return `${file} cannot be written: ${folder} is on a read-only file system`
    case 'ENOSPC':
    case 'EDQUOT':
      return `${file} cannot be written: no space left in ${folder}. Nothing was changed; free some space and save again`
    default:
      return `${file} cannot be written: ${cause.message}`
  }
}
