import { CheckpointError } from '../engine/errors.ts'
import { allocate, type FileSource, type Steps } from './fileSource.ts'
import { openLegacyStorages } from './legacyPth.ts'
import { describe, PickleDict, type PickleValue } from './pickleValues.ts'
import { countElements, type RawTensor, STORED_ITEM_SIZE, type WeightsDirectory } from './rawTensor.ts'
import { bigEndian, type StorageBytes, type StorageRef, TensorRef, torchHost } from './torchPickle.ts'
import { Unpickler } from './unpickler.ts'
import { checkZipEntry, locateZipEntry, readZipDirectory, type ZipEntry } from './zip.ts'

/** Names under which training scripts keep the state dict in a larger checkpoint, in the order they are tried. */
export const WRAPPER_KEYS = ['state_dict', 'model_state_dict', 'model'] as const

/** The descriptions of tensors take about a hundred bytes each. */
const MAX_PICKLE_BYTES = 64 * 1024 * 1024

/** Strides of zero repeat elements. By how many bytes a tensor may so exceed the file that holds it, or all of them 16 times the file. */
const MAX_EXPANSION = 32 * 1024 ** 2

export interface PthOptions {
  /** Dotted path to the state dict inside a checkpoint, such as `ema.state_dict`. Default: found by itself. */
  key?: string
}

/**
 * Opens a file of `torch.save`: the zip format (PyTorch 1.6 and later) or the older stream of pickles. The pickle is
 * read by an allow-listed machine and never runs code; every tensor is checked to lie inside its storage, and every
 * storage that is used against its checksum.
 *
 * The state dict is the top-level dictionary, or stands in it under one of {@link WRAPPER_KEYS}.
 *
 * @throws CheckpointError
 */
export function* readPthDirectory(
  source: FileSource,
  format: 'pth' | 'pth-legacy',
  options: PthOptions = {},
): Steps<WeightsDirectory> {
  const { file } = source
  const { root, storages } =
    format === 'pth' ? yield* openZipStorages(source) : yield* openLegacyStorages(source)
  const dict = findStateDict(root, file, options.key)
  const tensors = new Map<string, TensorRef>()
  const others: string[] = []
  for (const [key, value] of dict) {
    // A list as a key, which Python has not, would be written out with all that it holds.
    const name = typeof key === 'string' || typeof key === 'number' ? String(key) : describe(key)
    if (!(value instanceof TensorRef)) others.push(name)
    else if (!tensors.has(name)) tensors.set(name, value)
    else {
      throw new CheckpointError(
        `${file} holds two tensors under keys that are both "${name}" here: keys must be text. Rename them in Python before saving`,
      )
    }
  }
  for (const [name, tensor] of tensors) checkStorage(tensor, storages, `${file}: tensor "${name}"`)
  checkExpansion(tensors.values(), source)
  yield* storages.verify(new Set([...tensors.values()].map(({ storage }) => storage.key)))
  return {
    file,
    format,
    size: source.size,
    metadata: {},
    tensors,
    others,
    *read(name): Steps<RawTensor> {
      const tensor = tensors.get(name)
      if (!tensor) throw new CheckpointError(`${file} holds no tensor "${name}"`)
      return {
        dtype: tensor.dtype,
        shape: tensor.shape,
        data: yield* readStrided(source, tensor, storages, name),
      }
    },
  }
}

/** The zip format: <name>/data.pkl, <name>/data/<key> for each storage, and small notes beside them. */
function* openZipStorages(source: FileSource): Steps<{ root: PickleValue; storages: StorageBytes }> {
  const { file } = source
  const entries = yield* readZipDirectory(source)
  const pickles = [...entries.values()].filter(
    ({ name }) => name === 'data.pkl' || /^[^/]+\/data\.pkl$/.test(name),
  )
  const pickle = pickles[0]
  if (!pickle || pickles.length > 1) {
    const names = [...entries.keys()].slice(0, 5).join(', ')
    throw new CheckpointError(
      `${file} is a zip archive, but none of torch.save: it has no data.pkl (it holds ${names || 'nothing'})`,
    )
  }
  const prefix = pickle.name.slice(0, -'data.pkl'.length)
  if (entries.has(`${prefix}constants.pkl`)) {
    throw new CheckpointError(
      `${file} is a TorchScript program, not a state dict. In Python: torch.save(torch.jit.load(file).state_dict(), "weights.pth")`,
    )
  }
  yield* checkByteOrder(source, entries.get(`${prefix}byteorder`))
  if (pickle.size > MAX_PICKLE_BYTES) {
    throw new CheckpointError(
      `${file} has a pickle of ${pickle.size} bytes; at most ${MAX_PICKLE_BYTES} are accepted`,
    )
  }
  yield* checkZipEntry(source, pickle)
  const bytes = yield* source.read(yield* locateZipEntry(source, pickle), pickle.size, pickle.name)
  const root = new Unpickler(bytes, torchHost(file), file).load()
  return {
    root,
    storages: {
      length: (key) => entries.get(`${prefix}data/${key}`)?.size,
      locate: (key) => locateZipEntry(source, entries.get(`${prefix}data/${key}`)!),
      *verify(keys) {
        for (const key of keys) {
          const entry = entries.get(`${prefix}data/${key}`)
          if (entry) yield* checkZipEntry(source, entry)
        }
      },
    },
  }
}

function* checkByteOrder(source: FileSource, entry: ZipEntry | undefined): Steps<void> {
  if (!entry || entry.size > 16) return
  yield* checkZipEntry(source, entry)
  const position = yield* locateZipEntry(source, entry)
  const order = new TextDecoder().decode(yield* source.read(position, entry.size, entry.name))
  if (order !== 'little') throw bigEndian(source.file)
}

/** The dictionary of tensors in what a checkpoint's pickle holds. */
function findStateDict(root: PickleValue, file: string, key: string | undefined): PickleDict {
  if (key !== undefined) {
    let value: PickleValue | undefined = root
    for (const part of key.split('.')) {
      value = value instanceof PickleDict ? value.get(part) : undefined
      if (value === undefined) {
        throw new CheckpointError(`${file} has nothing under the key "${key}"; ${topKeys(root)}`)
      }
    }
    if (value instanceof PickleDict && hasTensor(value)) return value
    throw new CheckpointError(`${file} holds no state dict under the key "${key}"`)
  }
  if (!(root instanceof PickleDict))
    throw new CheckpointError(`${file} holds no state dict: its content is no dictionary`)
  for (const wrapper of WRAPPER_KEYS) {
    const inner = root.get(wrapper)
    if (inner instanceof PickleDict && hasTensor(inner)) return inner
  }
  if (hasTensor(root) || root.size === 0) return root
  throw new CheckpointError(
    `${file} holds no state dict at its top or under ${WRAPPER_KEYS.join(', ')}; ${topKeys(root)}. ` +
      'If one of these is a state dict, name it with the option "key"',
  )
}

function hasTensor(dict: PickleDict): boolean {
  for (const value of dict.values()) if (value instanceof TensorRef) return true
  return false
}

function topKeys(root: PickleValue): string {
  if (!(root instanceof PickleDict)) return 'its content is no dictionary'
  const keys = [...root.keys()].slice(0, 10).map((key) => (typeof key === 'string' ? key : describe(key)))
  return `its top-level keys are ${keys.join(', ')}${root.size > keys.length ? ', …' : ''}`
}

function checkStorage(tensor: TensorRef, storages: StorageBytes, where: string): void {
  const { storage } = tensor
  const length = storages.length(storage.key)
  if (length === undefined)
    throw new CheckpointError(`${where} refers to storage "${storage.key}", which the file does not hold`)
  const needed = (storage.offset + storage.size) * storageItemSize(storage)
  if (length < needed) {
    throw new CheckpointError(
      `${where} refers to storage "${storage.key}" of ${needed} bytes, but the file holds ${length} of it`,
    )
  }
}

/** Many tensors may look at the same bytes, each within its limit; of those far apart all between them is read. */
function checkExpansion(tensors: Iterable<TensorRef>, { file, size }: FileSource): void {
  let bytes = 0
  for (const { shape, strides, dtype } of tensors) {
    const count = countElements(shape, file)
    if (count > 0) bytes += Math.max(count, spanOf(shape, strides)) * STORED_ITEM_SIZE[dtype]
  }
  if (bytes > 16 * size + MAX_EXPANSION) {
    throw new CheckpointError(
      `${file} holds tensors that share what is stored and would take ${bytes} bytes of reading, of a file of ${size}, which is not accepted`,
    )
  }
}

function storageItemSize(storage: StorageRef): number {
  return storage.dtype === undefined ? 1 : STORED_ITEM_SIZE[storage.dtype]
}

/** A tensor's bytes in row-major order. Only the part of the storage that it looks at is read. */
function* readStrided(
  source: FileSource,
  tensor: TensorRef,
  storages: StorageBytes,
  name: string,
): Steps<Uint8Array> {
  const { shape, strides, storage } = tensor
  const itemSize = STORED_ITEM_SIZE[tensor.dtype]
  const count = countElements(shape, `tensor "${name}"`)
  if (count === 0) return new Uint8Array(0)
  if (count * itemSize > source.size + MAX_EXPANSION) {
    throw new CheckpointError(
      `${source.file}: tensor "${name}" of shape [${shape.join(', ')}] repeats few stored elements ${count} times, which is not accepted`,
    )
  }
  const start =
    (yield* storages.locate(storage.key)) +
    storage.offset * storageItemSize(storage) +
    tensor.offset * itemSize
  const span = spanOf(shape, strides)
  const bytes = yield* source.read(start, span * itemSize, `tensor "${name}"`)
  let values = bytes
  if (!isContiguous(shape, strides)) {
    values = allocate(count * itemSize, source.file, `tensor "${name}"`)
    gather(bytes, values, shape, strides, itemSize)
  }
  // The sign of a floating number is the highest bit of its last byte.
  if (tensor.negative) for (let at = itemSize - 1; at < values.length; at += itemSize) values[at]! ^= 0x80
  return values
}

/** Elements of the storage from a tensor's first to its last. */
function spanOf(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((index, length, dim) => index + (length - 1) * strides[dim]!, 0) + 1
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1
  for (let dim = shape.length - 1; dim >= 0; dim--) {
    if (shape[dim] !== 1 && strides[dim] !== expected) return false
    expected *= shape[dim]!
  }
  return true
}

/** Fills `out` with the elements that a tensor looks at, in row-major order. */
function gather(
  bytes: Uint8Array<ArrayBuffer>,
  out: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  strides: readonly number[],
  itemSize: number,
): void {
  const from = elements(bytes, itemSize)
  const to = elements(out, itemSize)
  const index = shape.map(() => 0)
  let position = 0
  for (let at = 0; at < to.length; at++) {
    to[at] = from[position]!
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      position += strides[dim]!
      index[dim] = index[dim]! + 1
      if (index[dim]! < shape[dim]!) break
      position -= strides[dim]! * shape[dim]!
      index[dim] = 0
    }
  }
}

/** Bytes as whole elements to move about; their meaning does not matter. */
function elements(
  bytes: Uint8Array<ArrayBuffer>,
  itemSize: number,
): Uint8Array | Uint16Array | Uint32Array | Float64Array {
  if (itemSize === 1) return bytes
  if (itemSize === 2) return new Uint16Array(bytes.buffer)
  if (itemSize === 4) return new Uint32Array(bytes.buffer)
  return new Float64Array(bytes.buffer)
}
