import { type FileHandle, open } from 'node:fs/promises'
import { CheckpointError } from '../engine/errors.ts'

/** The kernel transfers less than 2 GiB a call; larger reads go in pieces of this size. */
const MAX_READ = 1 << 30

/** A file open for reads at chosen positions. Every failure is a CheckpointError that names the file. */
export class FileSource {
  readonly file: string
  readonly size: number
  #handle: FileHandle

  private constructor(file: string, size: number, handle: FileHandle) {
    this.file = file
    this.size = size
    this.#handle = handle
  }

  static async open(file: string): Promise<FileSource> {
    let handle: FileHandle
    try {
      handle = await open(file, 'r')
    } catch (cause) {
      throw new CheckpointError(openMessage(file, cause), { cause })
    }
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) {
        throw new CheckpointError(
          `${file} is ${stat.isDirectory() ? 'a folder' : 'no regular file'}: give the path of a weights file`,
        )
      }
      return new FileSource(file, stat.size, handle)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Reads exactly `length` bytes at `position`, into memory of their own (aligned for any typed array). */
  async read(position: number, length: number, what = 'data'): Promise<Uint8Array<ArrayBuffer>> {
    if (position < 0 || length < 0 || position + length > this.size) {
      throw new CheckpointError(
        `${this.file} is cut short or damaged: ${what} should lie at bytes ${position} to ${position + length}, ` +
          `but the file has ${this.size}. Copy or download it again`,
      )
    }
    const bytes = new Uint8Array(length)
    await this.readInto(bytes, position, what)
    return bytes
  }

  /** Fills `bytes` from `position` on. */
  async readInto(bytes: Uint8Array, position: number, what = 'data'): Promise<void> {
    let done = 0
    while (done < bytes.byteLength) {
      const length = Math.min(MAX_READ, bytes.byteLength - done)
      const { bytesRead } = await this.#handle
        .read(bytes, done, length, position + done)
        .catch((cause: unknown) => {
          throw new CheckpointError(`${this.file}: ${what} cannot be read: ${messageOf(cause)}`, { cause })
        })
      if (bytesRead === 0) {
        throw new CheckpointError(
          `${this.file} ended while ${what} was being read: did another program shorten it?`,
        )
      }
      done += bytesRead
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

function openMessage(file: string, cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException).code
  if (code === 'ENOENT') return `${file} does not exist (looked from ${process.cwd()})`
  if (code === 'EACCES' || code === 'EPERM') return `${file} cannot be opened: no permission to read it`
  return `${file} cannot be opened: ${messageOf(cause)}`
}

/** The text of anything that was thrown. */
export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
