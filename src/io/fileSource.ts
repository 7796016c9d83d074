import { constants as bufferConstants } from 'node:buffer'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { CheckpointError } from '../engine/errors.ts'

/** The kernel transfers less than 2 GiB a call; larger reads go in pieces of this size. */
const MAX_READ = 1 << 30

/** Does not wait for somebody to write into what turns out to be a pipe. */
const toRead = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/** A wish of {@link Steps}: fill `bytes` from `position` of a file on. `what` names them in messages. */
export interface ReadRequest {
  file: string
  bytes: Uint8Array
  position: number
  what: string
}

/** A wish of {@link Steps}: another file beside the first. Its size is filled in. */
export interface OpenRequest {
  open: string
  size?: number
}

/**
 * A computation that reads from a file, written once and run either way: {@link AsyncFile} waits for the disk without holding
 * up the event loop, {@link SyncFile} serves functions that must return at once with a result, such as
 * `models.resnet18({ weights })`. A generator yields what it wants read; `yield*` stands where `await` would.
 */
export type Steps<Result> = Generator<ReadRequest | OpenRequest, Result, void>

/** What a computation knows of its file: name, size, and how to ask for bytes. */
export class FileSource {
  readonly file: string
  readonly size: number

  constructor(file: string, size: number) {
    this.file = file
    this.size = size
  }

  /** Reads exactly `length` bytes at `position`, into memory of their own (aligned for any typed array). */
  *read(position: number, length: number, what: string): Steps<Uint8Array<ArrayBuffer>> {
    if (position < 0 || length < 0 || position + length > this.size) {
      throw new CheckpointError(
        `${this.file} is cut short or damaged: ${what} should lie at bytes ${position} to ${position + length}, ` +
          `but the file has ${this.size}. Copy or download it again`,
      )
    }
    const bytes = allocate(length, this.file, what)
    yield { file: this.file, bytes, position, what }
    return bytes
  }

  /** Another file, open as long as this one is. */
  static *open(file: string): Steps<FileSource> {
    const request: OpenRequest = { open: file }
    yield request
    return new FileSource(file, request.size!)
  }
}

/**
 * Memory for a part of a file.
 * @throws CheckpointError if Node cannot hold so much in one piece (before Node 22 that are 4 GiB), or there is not so much
 */
export function allocate(length: number, file: string, what: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length)
  } catch (cause) {
    const { MAX_LENGTH } = bufferConstants
    throw new CheckpointError(
      `${file}: ${what} takes ${length} bytes, ` +
        (length > MAX_LENGTH
          ? `more than the ${MAX_LENGTH} that this version of Node can hold in one piece. Use Node 22 or later, or split the tensor before saving`
          : 'for which there is no memory. End other programs, or use a machine with more'),
      { cause },
    )
  }
}

/** Files open for {@link Steps} that wait without holding up the event loop. */
export class AsyncFile {
  readonly source: FileSource
  readonly #handles = new Map<string, FileHandle>()

  private constructor(source: FileSource, handle: FileHandle) {
    this.source = source
    this.#handles.set(source.file, handle)
  }

  static async open(file: string): Promise<AsyncFile> {
    const { handle, size } = await openHandle(file)
    return new AsyncFile(new FileSource(file, size), handle)
  }

  async run<Result>(steps: Steps<Result>): Promise<Result> {
    for (;;) {
      const { done, value } = steps.next()
      if (done) return value
      if ('open' in value) await this.#open(value)
      else await this.#fill(value)
    }
  }

  async #open(request: OpenRequest): Promise<void> {
    const { handle, size } = await openHandle(request.open)
    await this.#handles.get(request.open)?.close()
    this.#handles.set(request.open, handle)
    request.size = size
  }

  async #fill({ file, bytes, position, what }: ReadRequest): Promise<void> {
    const handle = this.#handles.get(file)!
    for (let filled = 0; filled < bytes.byteLength; ) {
      const length = Math.min(MAX_READ, bytes.byteLength - filled)
      const { bytesRead } = await handle
        .read(bytes, filled, length, position + filled)
        .catch((cause: unknown) => {
          throw readError(file, what, cause)
        })
      if (bytesRead === 0) throw shortened(file, what)
      filled += bytesRead
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#handles.values()].map((handle) => handle.close()))
  }

  /** Opens a file, runs what is given and closes it. */
  static async with<Result>(file: string, steps: (source: FileSource) => Steps<Result>): Promise<Result> {
    const opened = await AsyncFile.open(file)
    try {
      return await opened.run(steps(opened.source))
    } finally {
      await opened.close()
    }
  }
}

async function openHandle(file: string): Promise<{ handle: FileHandle; size: number }> {
  const handle = await open(file, toRead).catch((cause: unknown) => {
    throw openError(file, cause)
  })
  try {
    return { handle, size: checkedSize(file, await handle.stat()) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Runs {@link Steps} to their end at once. */
export const SyncFile = {
  with<Result>(file: string, makeSteps: (source: FileSource) => Steps<Result>): Result {
    const descriptors = new Map<string, number>()
    const openFile = (path: string): number => {
      const descriptor = attempt(
        () => openSync(path, toRead),
        (cause) => openError(path, cause),
      )
      const before = descriptors.get(path)
      if (before !== undefined) closeSync(before)
      descriptors.set(path, descriptor)
      return checkedSize(path, fstatSync(descriptor))
    }
    try {
      const steps = makeSteps(new FileSource(file, openFile(file)))
      for (;;) {
        const { done, value } = steps.next()
        if (done) return value
        if ('open' in value) value.size = openFile(value.open)
        else fillNow(descriptors.get(value.file)!, value)
      }
    } finally {
      for (const descriptor of descriptors.values()) closeSync(descriptor)
    }
  },
}

/** Runs {@link Steps} over bytes in memory, as if they were a file of that name; there are no others beside it. */
export function readFromMemory<Result>(
  file: string,
  content: Uint8Array,
  makeSteps: (source: FileSource) => Steps<Result>,
): Result {
  const steps = makeSteps(new FileSource(file, content.byteLength))
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
    if ('open' in value) throw new CheckpointError(`${value.open} does not exist`)
    value.bytes.set(content.subarray(value.position, value.position + value.bytes.byteLength))
  }
}

function fillNow(descriptor: number, { file, bytes, position, what }: ReadRequest): void {
  for (let filled = 0; filled < bytes.byteLength; ) {
    const length = Math.min(MAX_READ, bytes.byteLength - filled)
    const bytesRead = attempt(
      () => readSync(descriptor, bytes, filled, length, position + filled),
      (cause) => readError(file, what, cause),
    )
    if (bytesRead === 0) throw shortened(file, what)
    filled += bytesRead
  }
}

function attempt<Result>(fn: () => Result, explain: (cause: unknown) => CheckpointError): Result {
  try {
    return fn()
  } catch (cause) {
    throw explain(cause)
  }
}

function checkedSize(
  file: string,
  stat: { isFile(): boolean; isDirectory(): boolean; size: number },
): number {
  if (stat.isFile()) return stat.size
  throw new CheckpointError(
    `${file} is ${stat.isDirectory() ? 'a folder' : 'no regular file'}: give the path of a weights file`,
  )
}

function openError(file: string, cause: unknown): CheckpointError {
  const code = (cause as NodeJS.ErrnoException).code
  const problem =
    code === 'ENOENT'
      ? `does not exist (looked from ${process.cwd()})`
      : code === 'EACCES' || code === 'EPERM'
        ? 'cannot be opened: no permission to read it'
        : `cannot be opened: ${messageOf(cause)}`
  return new CheckpointError(`${file} ${problem}`, { cause })
}

function readError(file: string, what: string, cause: unknown): CheckpointError {
  return new CheckpointError(`${file}: ${what} cannot be read: ${messageOf(cause)}`, { cause })
}

function shortened(file: string, what: string): CheckpointError {
  return new CheckpointError(`${file} ended while ${what} was being read: did another program shorten it?`)
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
