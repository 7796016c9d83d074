import {
  close,
  mkdirSync,
  openSync,
  read,
  readdirSync,
  readSync,
  stat,
  statfsSync,
  statSync,
  write,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { ConfigError, DataError } from '../../engine/errors.ts'
import { nodeCrypto } from '../../io/builtins.ts'
import { packageVersion } from '../../packageFolder.ts'
import { decoderNames } from './decode.ts'
import type { PicturePath } from './listPictures.ts'
import type { PictureStore } from './PictureCache.ts'
import type { RgbImage } from './RgbImage.ts'

/** Keep decoded pictures in files, for later epochs and for later programs. */
export interface DiskCacheOption {
  /** Folder for them; made if it is missing. May be deleted when no program uses it. */
  folder: string
  /** Default: half of what is free there when the program begins. */
  maxBytes?: number
}

// A record: magic number, checksum of what follows, key (32 bytes), width, height; then the picture's bytes.
const MAGIC = 0x50434e41
const HEADER = 48
const SUFFIX = '.pictures'
// To be raised with any change of what becomes of a picture that was decoded, between versions of the package too.
const REVISION = 2

const readAsync = promisify(read)
const writeAsync = promisify(write)
const statAsync = promisify(stat)

interface Entry {
  file: number
  position: number
  width: number
  height: number
}

// Descriptors are closed when the cache that opened them is gone.
const descriptors = new FinalizationRegistry<number>((file) => close(file))

/**
 * Decoded pictures in files. Each program writes a file of its own and reads those of all before it, so that several may share
 * a folder; a record that was cut off by a crash is not believed. A picture is known by what had been done to it, by which versions
 * of what, and by its file's path, size and time of change. These are asked once by each cache: a file that is changed later is decoded
 * anew by the next one, while this one gives what it holds of the file as it was, and keeps nothing of the file as it is.
 */
export class DiskCache implements PictureStore {
  readonly lasting = true
  readonly folder: string
  readonly maxBytes: number
  readonly #entries = new Map<string, Entry>()
  readonly #identities = new Map<string, Promise<string>>()
  readonly #version = packageVersion()
  #file: number | undefined
  #end = 0
  #used = 0
  #full = false

  /** @throws DataError for a folder that cannot be used, ConfigError for options that cannot be */
  constructor({ folder, maxBytes }: DiskCacheOption) {
    if (typeof folder !== 'string' || folder === '')
      throw new ConfigError(`cache: folder is the path of a folder, got ${JSON.stringify(folder)}`)
    if (maxBytes !== undefined && !(Number.isSafeInteger(maxBytes) && maxBytes > 0))
      throw new ConfigError(`cache: maxBytes is a number of bytes, got ${JSON.stringify(maxBytes)}`)
    this.folder = resolve(folder)
    try {
      mkdirSync(this.folder, { recursive: true })
      const { bavail, bsize } = statfsSync(this.folder)
      for (const name of readdirSync(this.folder))
        if (name.endsWith(SUFFIX)) this.#index(join(this.folder, name))
      this.maxBytes = maxBytes ?? this.#used + Math.floor((bavail * bsize) / 2)
    } catch (error) {
      throw new DataError(
        `${this.folder}: pictures cannot be kept there (${(error as Error).message}). Give a folder that can be written to`,
        { cause: error },
      )
    }
  }

  async get(state: string, _index: number, picture: PicturePath): Promise<RgbImage | undefined> {
    const key = await this.#key(state, picture)
    const entry = key && this.#entries.get(key)
    if (!entry) return undefined
    const { file, position, width, height } = entry
    const record = Buffer.allocUnsafeSlow(HEADER + width * height * 3)
    try {
      const { bytesRead } = await readAsync(file, record, 0, record.length, position)
      if (bytesRead === record.length && record.readUInt32LE(4) === crc32(record.subarray(8)))
        return { data: new Uint8Array(record.buffer, HEADER), width, height }
    } catch {
      // like one that is damaged
    }
    this.#entries.delete(key)
    return undefined
  }

  async add(state: string, _index: number, picture: PicturePath, image: RgbImage): Promise<void> {
    const key = await this.#key(state, picture)
    const size = HEADER + image.data.length
    // What was decoded may be another file by now, which must not be known by the name of the first.
    if (!key || (await identify(picture)) !== (await this.#identity(picture))) return
    if (this.#full || this.#entries.has(key)) return
    if (this.#used + size > this.maxBytes)
      return this.#stop(`it holds ${this.#used} bytes, and maxBytes is ${this.maxBytes}`)
    const record = Buffer.allocUnsafeSlow(size)
    record.writeUInt32LE(MAGIC, 0)
    record.write(key, 8, 'hex')
    record.writeUInt32LE(image.width, 40)
    record.writeUInt32LE(image.height, 44)
    record.set(image.data, HEADER)
    record.writeUInt32LE(crc32(record.subarray(8)), 4)
    this.#used += size
    try {
      const file = this.#ownFile()
      const position = this.#end
      this.#end += size
      for (let done = 0; done < size; ) {
        const { bytesWritten } = await writeAsync(file, record, done, size - done, position + done)
        done += bytesWritten
      }
      this.#entries.set(key, { file, position, width: image.width, height: image.height })
    } catch (error) {
      this.#stop((error as Error).message)
    }
  }

  #ownFile(): number {
    this.#file ??= this.#open(
      join(this.folder, `${nodeCrypto().randomBytes(8).toString('hex')}${SUFFIX}`),
      'wx+',
    )
    return this.#file
  }

  #open(path: string, flags: string): number {
    const file = openSync(path, flags)
    descriptors.register(this, file)
    return file
  }

  /** Notes where each record of a file lies, up to the first that is none. */
  #index(path: string): void {
    const file = this.#open(path, 'r')
    const { size } = statSync(path)
    const header = Buffer.alloc(HEADER)
    let position = 0
    while (position + HEADER <= size && readSync(file, header, 0, HEADER, position) === HEADER) {
      if (header.readUInt32LE(0) !== MAGIC) break
      const [width, height] = [header.readUInt32LE(40), header.readUInt32LE(44)]
      const end = position + HEADER + width * height * 3
      if (width === 0 || height === 0 || end > size) break
      this.#entries.set(header.toString('hex', 8, 40), { file, position, width, height })
      position = end
    }
    this.#used += size
  }

  #stop(reason: string): void {
    if (this.#full) return
    this.#full = true
    process.emitWarning(
      `${this.folder}: no more pictures are kept there (${reason}); further ones are decoded each epoch`,
      { type: 'AnnealWarning', code: 'ANNEAL_CACHE_FULL' },
    )
  }

  /** Undefined for a file that is not there. */
  async #key(state: string, picture: PicturePath): Promise<string | undefined> {
    const known = await this.#identity(picture)
    const maker = JSON.stringify([REVISION, this.#version, ...decoderNames()])
    return known && nodeCrypto().createHash('sha256').update(`${maker}\n${state}\n${known}`).digest('hex')
  }

  /** Of a file when it was first asked for: this goes through all files in each epoch. */
  #identity(picture: PicturePath): Promise<string> {
    const name = Buffer.from(picture).toString('latin1')
    let identity = this.#identities.get(name)
    if (!identity) {
      identity = identify(picture)
      this.#identities.set(name, identity)
    }
    return identity
  }
}

/** A file as it is now; empty for one that is not there. */
async function identify(picture: PicturePath): Promise<string> {
  try {
    const { size, mtimeMs } = await statAsync(picture)
    const path = typeof picture === 'string' ? resolve(picture) : picture.toString('latin1')
    return JSON.stringify([path, size, mtimeMs])
  } catch {
    return '' // who decodes it says what is wrong with it
  }
}
