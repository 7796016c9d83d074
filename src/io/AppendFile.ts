import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ConfigError } from '../engine/errors.ts'
import { makeFolders } from './makeFolders.ts'

/**
 * A file that grows line by line or record by record. Where an append fails, what was there before it stays as it was.
 */
export class AppendFile {
  readonly path: string
  /** Who writes, for error messages. */
  readonly #owner: string
  readonly #handle: FileHandle
  #bytes: number
  #closed = false

  private constructor(owner: string, path: string, handle: FileHandle, bytes: number) {
    this.#owner = owner
    this.path = path
    this.#handle = handle
    this.#bytes = bytes
  }

  /**
   * Opens the file, made with its folder if missing.
   * @param keep go on after what it holds, instead of emptying it
   * @throws ConfigError that names the file
   */
  static async open(owner: string, path: string, { keep }: { keep: boolean }): Promise<AppendFile> {
    try {
      await makeFolders(dirname(path))
      const handle = await open(path, keep ? 'a+' : 'w+')
      return new AppendFile(owner, path, handle, (await handle.stat()).size)
    } catch (cause) {
      throw failure(owner, path, cause)
    }
  }

  /** Its length so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** The first line, without its end; undefined if there is none. */
  async firstLine(): Promise<string | undefined> {
    if (this.#bytes === 0) return undefined
    const buffer = Buffer.alloc(Math.min(this.#bytes, 65536))
    await this.#handle.read(buffer, 0, buffer.length, 0)
    return buffer.toString('utf8').split('\n')[0]
  }

  /**
   * @param sync wait until the disk has it, which takes milliseconds
   * @throws ConfigError that names the file, which is closed then
   */
  async append(content: string | Uint8Array, { sync = true } = {}): Promise<void> {
    const piece = typeof content === 'string' ? Buffer.from(content) : content
    try {
      await this.#handle.appendFile(piece)
      if (sync) await this.#handle.sync()
      this.#bytes += piece.length
    } catch (cause) {
      await this.#handle.truncate(this.#bytes).catch(() => undefined)
      await this.close().catch(() => undefined)
      throw failure(this.#owner, this.path, cause)
    }
  }

  /** Cuts off what was written after the first `bytes`; a file that is shorter stays. */
  async truncate(bytes: number): Promise<void> {
    if (bytes >= this.#bytes) return
    try {
      await this.#handle.truncate(bytes)
      this.#bytes = bytes
    } catch (cause) {
      throw failure(this.#owner, this.path, cause)
    }
  }

  /** May be called again. */
  async close(): Promise<void> {
    if (!this.#closed) await this.#handle.close()
    this.#closed = true
  }
}

function failure(owner: string, path: string, cause: unknown): ConfigError {
  return new ConfigError(
    `${owner} cannot write ${path}: ${(cause as Error).message}. What was written before is whole; free some space or choose ` +
      'another file',
    { cause },
  )
}
