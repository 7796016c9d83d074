import { CheckpointError } from '../engine/errors.ts'
import type { FileSource, Steps } from './fileSource.ts'
import { describe, PickleDict, type PickleValue } from './pickleValues.ts'
import { STORED_ITEM_SIZE, type StoredDType } from './rawTensor.ts'
import { bigEndian, type StorageBytes, storageOf, torchHost } from './torchPickle.ts'
import { PickleEnd, type PickleHost, Unpickler } from './unpickler.ts'

/** First pickle of the older format of torch.save. */
const MAGIC_NUMBER = 0x1950a86a20f9469cfc6cn
const PROTOCOL_VERSION = 1001

/** The magic number as it is pickled: LONG1 of ten bytes. A protocol mark, and for protocol 4 a frame, stand before it. */
const MAGIC_BYTES = Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex')

/** The pickles stand before the data and their length is stored nowhere: read a head, and a longer one if need be. */
const FIRST_HEAD = 1024 * 1024
const MAX_HEAD = 64 * 1024 * 1024

/** Whether the first bytes of a file are those of a pickle. */
export function looksLikePickle(head: Uint8Array): boolean {
  return head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5
}

/** Whether the first bytes of a file are those of PyTorch's older format. */
export function looksLikeLegacyPth(head: Uint8Array): boolean {
  return looksLikePickle(head) && Buffer.from(head).subarray(0, 24).includes(MAGIC_BYTES)
}

interface Head {
  root: PickleValue
  keys: string[]
  dtypes: Map<string, StoredDType>
  /** First byte behind the pickles. */
  end: number
}

/**
 * The format before PyTorch 1.6: pickles of a magic number, a version, the machine's properties, the content and the
 * list of storage keys; then, for each key, an eight-byte element count and the elements. It has no checksums.
 */
export function* openLegacyStorages(
  source: FileSource,
): Steps<{ root: PickleValue; storages: StorageBytes }> {
  const { root, keys, dtypes, end } = yield* readHead(source)
  const located = new Map<string, { position: number; length: number }>()
  let position = end
  for (const key of keys) {
    const dtype = dtypes.get(key)
    if (!dtype) throw new CheckpointError(`${source.file} is damaged: nothing refers to its storage "${key}"`)
    const what = `storage "${key}"`
    const count = new DataView((yield* source.read(position, 8, what)).buffer).getBigInt64(0, true)
    const length = Number(count) * STORED_ITEM_SIZE[dtype]
    if (count < 0n || position + 8 + length > source.size) {
      throw new CheckpointError(
        `${source.file} is cut short or damaged: ${what} claims ${count} elements of ${dtype}, ` +
          `but only ${source.size - position - 8} bytes follow`,
      )
    }
    located.set(key, { position: position + 8, length })
    position += 8 + length
  }
  return {
    root,
    storages: {
      length: (key) => located.get(key)?.length,
      // biome-ignore lint/correctness/useYield: the other format reads to find it
      *locate(key) {
        return located.get(key)!.position
      },
      *verify() {},
    },
  }
}

function* readHead(source: FileSource): Steps<Head> {
  for (let length = Math.min(FIRST_HEAD, source.size); ; length = Math.min(length * 4, source.size)) {
    try {
      return parseHead(yield* source.read(0, length, 'the header'), source.file)
    } catch (error) {
      if (!(error instanceof PickleEnd) || length === source.size) throw error
      if (length >= MAX_HEAD) {
        throw new CheckpointError(
          `${source.file} has pickles of more than ${MAX_HEAD} bytes, which are not accepted`,
        )
      }
    }
  }
}

function parseHead(bytes: Uint8Array, file: string): Head {
  const dtypes = new Map<string, StoredDType>()
  const torch = torchHost(file)
  const host: PickleHost = {
    ...torch,
    persistent(id) {
      const storage = storageOf(id, file)
      if (!storage.dtype)
        throw new CheckpointError(`${file} is damaged: storage "${storage.key}" has no element type`)
      dtypes.set(storage.key, storage.dtype)
      return storage
    },
  }
  const unpickler = new Unpickler(bytes, host, file)
  if (unpickler.load() !== MAGIC_NUMBER) throw new CheckpointError(`${file} is no file of torch.save`)
  const version = unpickler.load()
  if (version !== PROTOCOL_VERSION) {
    throw new CheckpointError(
      `${file} has version ${describe(version)} of PyTorch's older format; only ${PROTOCOL_VERSION} is known`,
    )
  }
  const machine = unpickler.load()
  if (machine instanceof PickleDict && machine.get('little_endian') === false) throw bigEndian(file)
  const root = unpickler.load()
  const keys = unpickler.load()
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string')) {
    throw new CheckpointError(`${file} is damaged: its list of storages is none`)
  }
  return { root, keys, dtypes, end: unpickler.position }
}
