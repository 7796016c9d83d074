import type { Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename, rm, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AnnealError, CheckpointError } from '../engine/errors.ts'
import { nodeCrypto } from './builtins.ts'
import { FileLock, type LockTimes } from './FileLock.ts'
import type { HttpAnswer, HttpTimeouts } from './httpRequest.ts'
import { makeFolders } from './makeFolders.ts'
import { formatBytes, type ProgressSink, TransferProgress } from './transferProgress.ts'

export interface DownloadOptions {
  /** Where the file is to be had; the second and later ones are asked if those before fail. */
  urls: readonly string[]
  /** SHA-256 of the file in hexadecimal, or its first digits (at least 8) where no more is known. */
  sha256: string
  /** Bytes, if known: for the check of free space, and where a server does not say. */
  bytes?: number | undefined
  /** Where progress is shown. Default `process.stderr`; null for nowhere. */
  progress?: ProgressSink | null
  /** How often a connection that breaks is taken up again. Default 4. */
  retries?: number
  /** Milliseconds before the first such try; twice as long before each one after, longer where the server says so. Default 500. */
  retryDelay?: number
  timeouts?: Partial<HttpTimeouts>
  lockTimes?: Partial<LockTimes>
}

/** A try that brought this many bytes was not in vain. */
const WORTH_A_TRY = 1 << 20

/** The longest wait that a server may ask for, in milliseconds. */
const MAX_WAIT = 60_000

/** Downloads of this process by the file that they make: who asks again waits for the first. */
const running = new Map<string, Promise<void>>()

/**
 * Brings a file to where it belongs, unless it is there. It appears whole, its checksum compared, or not at all. What a broken
 * connection or a killed process left is gone on with. Of several processes that want the file, one downloads it and
 * the others wait.
 *
 * @throws CheckpointError that says what to do: no network, no such file, another checksum, no space
 */
export async function download(file: string, options: DownloadOptions): Promise<void> {
  const earlier = running.get(file)
  if (earlier) return earlier
  const work = downloadOnce(file, options).finally(() => running.delete(file))
  running.set(file, work)
  return work
}

async function downloadOnce(file: string, options: DownloadOptions): Promise<void> {
  if (await exists(file)) return
  const folder = dirname(file)
  const sink = options.progress === null ? { write: () => true } : (options.progress ?? process.stderr)
  const progress = new TransferProgress(basename(file), sink)
  const lock = await guarded(file, async () => {
    await makeFolders(folder)
    return FileLock.take(
      join(folder, `.${basename(file)}.lock`),
      {
        waiting: () => progress.line(`Another process is downloading ${basename(file)}; waiting for it`),
        done: () => exists(file),
      },
      options.lockTimes,
    )
  })
  if (!lock) return
  try {
    if (await exists(file)) return
    await fetchFrom(file, options, progress)
  } finally {
    progress.erase()
    await lock.release()
  }
}

/** Asks one place after the other; what has been received is worth as much at the next. */
async function fetchFrom(file: string, options: DownloadOptions, progress: TransferProgress): Promise<void> {
  const failures: AnnealError[] = []
  for (const url of options.urls) {
    try {
      await new Transfer(url, file, options, progress).run()
      return
    } catch (error) {
      if (!(error instanceof AnnealError)) throw error
      if (error instanceof DiskError) throw error
      failures.push(error)
    }
  }
  if (failures.length === 1) throw failures[0]
  throw new CheckpointError(
    `${basename(file)} could not be downloaded from any of ${failures.length} places:\n${failures.map((failure) => `  ${failure.message}`).join('\n')}`,
    { cause: failures[0] },
  )
}

/** Nothing that another server could help with. */
class DiskError extends CheckpointError {}

/** A failure after which it is worth trying once more. */
class Broken extends Error {
  /** Milliseconds before which the server does not want to be asked again. */
  wait = 0
}

class Transfer {
  readonly #url: string
  readonly #file: string
  readonly #part: string
  readonly #options: DownloadOptions
  readonly #progress: TransferProgress

  constructor(url: string, file: string, options: DownloadOptions, progress: TransferProgress) {
    this.#url = url
    this.#file = file
    this.#part = join(dirname(file), `.${basename(file)}.part`)
    this.#options = options
    this.#progress = progress
  }

  /** @param again what there was has been thrown away: nothing older can spoil it a second time */
  async run(again = false): Promise<void> {
    const resumed = await guarded(this.#part, () => this.#receiveAll())
    const { sha256 } = this.#options
    const found = (await guarded(this.#part, () => hashOf(this.#part))).digest('hex')
    if (!found.startsWith(sha256.toLowerCase())) {
      await rm(this.#part, { force: true })
      // What was here before may have been of another file, which may also have changed meanwhile, or of a server that does not
      // keep its ranges.
      if (resumed && !again) {
        this.#progress.line(`${basename(this.#file)}: what was received earlier does not fit; starting anew`)
        return this.run(true)
      }
      throw new CheckpointError(
        `${this.#url} is not the file that was expected: its SHA-256 is ${found}, not ${sha256}${sha256.length < 64 ? '…' : ''}. ` +
          'It was not kept. A proxy or a mirror may have sent something else; try again, or fetch it by another way and pass it as { weights: path }',
      )
    }
    await guarded(this.#file, () => rename(this.#part, this.#file))
  }

  /** Receives to the end, however often the connection breaks. Returns whether the bytes are from more than one request. */
  async #receiveAll(): Promise<boolean> {
    const { retries = 4, retryDelay = 500 } = this.#options
    let reached = await sizeOf(this.#part)
    for (let failures = 0; ; failures++) {
      try {
        return !(await this.#receive())
      } catch (error) {
        if (!(error instanceof Broken)) throw error
        const here = await sizeOf(this.#part)
        // A connection that breaks now and then brings a large file in the end: only tries that bring little count.
        if (here - reached >= WORTH_A_TRY) failures = 0
        reached = Math.max(reached, here)
        if (failures >= retries) {
          throw new CheckpointError(
            `${this.#url} could not be downloaded: ${error.message}${failures > 0 ? ` (tried ${failures + 1} times)` : ''}. ` +
              `${here > 0 ? `The ${formatBytes(here)} received are kept, and the next try goes on from there. ` : ''}` +
              'Check the network; HTTPS_PROXY and NO_PROXY are followed, ANNEAL_HUB names a mirror, ' +
              'and a file that you have serves as { weights: path }',
            { cause: error },
          )
        }
        const wait = Math.max(retryDelay * 2 ** failures, Math.min(error.wait, MAX_WAIT))
        const when = wait >= 10_000 ? ` in ${Math.round(wait / 1000)} seconds` : ''
        this.#progress.line(`${basename(this.#file)}: ${error.message}; trying again${when}`)
        await sleep(wait)
      }
    }
  }

  /** One request, for what is missing yet. Returns whether it began at the start. @throws Broken if it may be tried again */
  async #receive(): Promise<boolean> {
    const { timeouts } = this.#options
    const have = await sizeOf(this.#part)
    const headers: Record<string, string> = { 'accept-encoding': 'identity', 'user-agent': 'anneal' }
    if (have > 0) headers.range = `bytes=${have}-`
    // Loaded here: few programs download anything, and every one would wait for it.
    const { httpGet } = await import('./httpRequest.ts')
    let answer: HttpAnswer
    try {
      answer = await httpGet(this.#url, headers, { connect: 15_000, silence: 60_000, ...timeouts })
    } catch (error) {
      if (error instanceof AnnealError) throw error
      throw new Broken(reason(error), { cause: error })
    }
    try {
      // What there is may already be all, or of another file: the checksum will tell.
      if (answer.status === 416 && have > 0) return false
      if (answer.status !== 200 && answer.status !== 206) throw this.#refused(answer)
      const start = answer.status === 206 ? rangeStart(answer) : 0
      if (start !== 0 && start !== have)
        throw new Broken(`the server sent bytes from ${start} on instead of ${have}`)
      await this.#write(answer, start)
      return start === 0
    } finally {
      await answer.close()
    }
  }

  #refused({ status, headers }: HttpAnswer): Error {
    const message = `the server answered ${status}${STATUS_WORDS[status] ? ` (${STATUS_WORDS[status]})` : ''}`
    if (status === 408 || status === 429 || status >= 500) {
      return Object.assign(new Broken(message), { wait: retryAfter(headers['retry-after']) })
    }
    return new CheckpointError(
      `${this.#url} could not be downloaded: ${message}. ` +
        'If the file has moved, fetch it by another way and pass it as { weights: path }, or name a mirror in ANNEAL_HUB',
    )
  }

  async #write(answer: HttpAnswer, start: number): Promise<void> {
    const length = Number(answer.headers['content-length'])
    const total = Number.isSafeInteger(length) ? start + length : this.#options.bytes
    await this.#checkSpace(total, start)
    const handle = await open(this.#part, start === 0 ? 'w' : 'r+')
    let position = start
    try {
      this.#progress.begin(start, total)
      for await (const piece of pieces(answer)) {
        await writeAll(handle, piece, position)
        position += piece.byteLength
        this.#progress.update(position)
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (Number.isSafeInteger(length) && position < start + length) {
      throw new Broken(`the connection ended at ${formatBytes(position)} of ${formatBytes(start + length)}`)
    }
  }

  async #checkSpace(total: number | undefined, start: number): Promise<void> {
    if (total === undefined) return
    const folder = dirname(this.#file)
    const free = await statfs(folder).then(
      ({ bavail, bsize }) => bavail * bsize,
      () => Number.POSITIVE_INFINITY,
    )
    if (total - start > free)
      throw noSpace(this.#file, `${formatBytes(total - start)} are needed, ${formatBytes(free)} are free`)
  }
}

const STATUS_WORDS: Readonly<Record<number, string>> = {
  401: 'not authorised',
  403: 'forbidden',
  404: 'not found',
  407: 'the proxy wants a password',
  410: 'gone',
  429: 'too many requests',
  500: 'internal error',
  502: 'bad gateway',
  503: 'unavailable',
  504: 'gateway timeout',
}

async function* pieces({ body }: HttpAnswer): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  for (;;) {
    let next: IteratorResult<Uint8Array>
    try {
      next = await iterator.next()
    } catch (error) {
      throw new Broken(reason(error), { cause: error })
    }
    if (next.done) return
    yield next.value
  }
}

/** The first byte of a `Content-Range: bytes 100-199/200`. */
function rangeStart({ headers }: HttpAnswer): number {
  const match = /^bytes (\d+)-/.exec(String(headers['content-range'] ?? ''))
  if (!match) throw new Broken('the server sent a part without saying which')
  return Number(match[1])
}

/** Milliseconds to wait by a `Retry-After`, which has seconds or a date. */
function retryAfter(value: string | string[] | undefined): number {
  const text = String(value ?? '')
  const wait = /^\d+$/.test(text) ? 1000 * Number(text) : Date.parse(text) - Date.now()
  return wait > 0 ? wait : 0
}

/** Why a request failed, in words. */
function reason(error: unknown): string {
  const { code, cause, message } = error as NodeJS.ErrnoException & { cause?: unknown }
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the name of the server cannot be resolved (is there a network?)'
    case 'ECONNREFUSED':
      return 'nothing answers at that address'
    case 'ECONNRESET':
    case 'UND_ERR_SOCKET':
      return 'the connection was cut'
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return 'the server cannot be reached'
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'the server went silent'
    default:
      return cause instanceof Error ? reason(cause) : message
  }
}

async function hashOf(file: string): Promise<Hash> {
  const hash = nodeCrypto().createHash('sha256')
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await handle.write(bytes, done, bytes.byteLength - done, position + done)).bytesWritten
  }
}

const exists = (file: string) =>
  stat(file).then(
    (found) => found.isFile(),
    () => false,
  )

const sizeOf = (file: string) =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  )

/** Runs what works with the disk; its failures name the file and what to do. On a full disk nothing half-written stays. */
async function guarded<Result>(file: string, body: () => Promise<Result>): Promise<Result> {
  try {
    return await body()
  } catch (cause) {
    const { code, syscall, message } = cause as NodeJS.ErrnoException
    if (cause instanceof AnnealError || cause instanceof Broken || syscall === undefined) throw cause
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      if (file.endsWith('.part')) await rm(file, { force: true }).catch(() => undefined)
      throw noSpace(file, 'the disk is full', cause)
    }
    throw new DiskError(
      `${dirname(file)} cannot be written: ${message}. ANNEAL_CACHE names another folder for what is downloaded`,
      { cause },
    )
  }
}

function noSpace(file: string, why: string, cause?: unknown): DiskError {
  return new DiskError(
    `no space left in ${dirname(file)}: ${why}. Nothing was kept; free some space, or name another folder in ANNEAL_CACHE`,
    { cause },
  )
}
