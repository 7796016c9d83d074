import { CheckpointError } from '../engine/errors.ts'
import type { Steps } from './fileSource.ts'
import {
  describe,
  PickleDict,
  PickleGlobal,
  PickleObject,
  PickleSet,
  PickleTuple,
  type PickleValue,
} from './pickleValues.ts'
import { countElements, STORED_ITEM_SIZE, type StoredDType } from './rawTensor.ts'
import type { PickleHost } from './unpickler.ts'

/** A run of bytes in the file that tensors look into. */
export class StorageRef extends PickleObject {
  readonly key: string
  /** Undefined for an untyped storage, whose `size` counts bytes. */
  readonly dtype: StoredDType | undefined
  readonly size: number
  /** Where this storage starts inside the one named `key`, in elements (legacy views; 0 otherwise). */
  readonly offset: number

  constructor(key: string, dtype: StoredDType | undefined, size: number, offset = 0) {
    super()
    this.key = key
    this.dtype = dtype
    this.size = size
    this.offset = offset
  }
}

/** A tensor as the pickle describes it: a strided window on a storage, checked to lie inside it. */
export class TensorRef extends PickleObject {
  readonly storage: StorageRef
  readonly dtype: StoredDType
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  /** Its values are the stored ones with the other sign: PyTorch's negative bit, which views of complex tensors have. */
  readonly negative: boolean

  constructor(
    storage: StorageRef,
    dtype: StoredDType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
    negative = false,
  ) {
    super()
    this.storage = storage
    this.dtype = dtype
    this.offset = offset
    this.shape = shape
    this.strides = strides
    this.negative = negative
  }

  /** Attributes set on a parameter by user code say nothing about its values. */
  override setState(): void {}
}

/** A storage class or a dtype: both name an element type. */
export class DTypeGlobal extends PickleGlobal {
  readonly dtype: StoredDType | undefined
  constructor(name: string, dtype: StoredDType | undefined) {
    super(name)
    this.dtype = dtype
  }
}

const STORAGE_CLASSES: Readonly<Record<string, StoredDType>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
}

const DTYPE_NAMES: Readonly<Record<string, StoredDType>> = {
  float64: 'float64',
  double: 'float64',
  float32: 'float32',
  float: 'float32',
  float16: 'float16',
  half: 'float16',
  bfloat16: 'bfloat16',
  int64: 'int64',
  long: 'int64',
  int32: 'int32',
  int: 'int32',
  int16: 'int16',
  short: 'int16',
  int8: 'int8',
  uint8: 'uint8',
  bool: 'bool',
}

/**
 * The whole list of names that a weights file may use. None of them runs code from the file: the callable ones only
 * make the containers and descriptions above.
 */
const NAMES: ReadonlyMap<string, PickleGlobal> = new Map(
  [
    new PickleGlobal('collections.OrderedDict', orderedDict),
    new PickleGlobal('builtins.set', set),
    new PickleGlobal('__builtin__.set', set),
    new PickleGlobal('torch.Size', size),
    new PickleGlobal('torch.device', (args) => args[0] ?? null),
    new PickleGlobal('torch._utils._rebuild_tensor', rebuildTensor),
    new PickleGlobal('torch._utils._rebuild_tensor_v2', rebuildTensor),
    new PickleGlobal('torch._utils._rebuild_tensor_v3', rebuildUntyped),
    new PickleGlobal('torch._utils._rebuild_parameter', firstTensor),
    new PickleGlobal('torch._utils._rebuild_parameter_with_state', firstTensor),
    ...Object.entries(STORAGE_CLASSES).map(([name, dtype]) => new DTypeGlobal(`torch.${name}`, dtype)),
    ...Object.entries(DTYPE_NAMES).map(([name, dtype]) => new DTypeGlobal(`torch.${name}`, dtype)),
    new DTypeGlobal('torch.UntypedStorage', undefined),
    new DTypeGlobal('torch.storage.UntypedStorage', undefined),
    new DTypeGlobal('torch.storage._UntypedStorage', undefined),
  ].map((entry) => [entry.name, entry]),
)

/** Bytes of a storage by its key in the file. */
export interface StorageBytes {
  /** Bytes of it, or undefined when the file has no such storage. */
  length(key: string): number | undefined
  /** Where it begins in the file; of a storage that the file has. */
  locate(key: string): Steps<number>
  /** Checks the stored bytes where the format has checksums. */
  verify(keys: Iterable<string>): Steps<void>
}

/** The pickle host for a torch file. */
export function torchHost(file: string): PickleHost {
  return {
    global: (module, name) => NAMES.get(`${module}.${name}`),
    persistent: (id) => storageOf(id, file),
    refuse: (name) => refuseName(file, name),
  }
}

export function bigEndian(file: string): CheckpointError {
  return new CheckpointError(
    `${file} was saved on a big-endian machine, which is not supported. Save it again on another machine`,
  )
}

function refuseName(file: string, name: string): CheckpointError {
  const advice = name.startsWith('torch._utils._rebuild_')
    ? 'tensors of that kind (sparse, quantised or a subclass) cannot be loaded'
    : 'it holds more than tensors and plain containers, for instance a whole model or its options. If you trust it, save only the ' +
      'weights in Python: torch.save(model.state_dict(), "weights.pth")'
  return new CheckpointError(
    `${file} asks for "${name}", which is not on the list of names that a weights file may use. ` +
      `Nothing from the file was run. Most likely ${advice}`,
  )
}

/** The storage a persistent id stands for: ('storage', class, key, location, size[, view]). */
export function storageOf(id: PickleValue, file: string): StorageRef {
  const damaged = () =>
    new CheckpointError(`${file} is damaged: it refers to a storage in a way that torch.save does not`)
  if (!(id instanceof PickleTuple)) throw damaged()
  const [kind, storageClass, key, , size, view = null] = id.items
  if (
    kind !== 'storage' ||
    !(storageClass instanceof DTypeGlobal) ||
    typeof key !== 'string' ||
    !isCount(size)
  ) {
    throw damaged()
  }
  if (view === null) return new StorageRef(key, storageClass.dtype, size)
  // Legacy files of shared storages: (key of the view, offset into the storage above, size of the view).
  if (!(view instanceof PickleTuple)) throw damaged()
  const [, offset, viewSize] = view.items
  if (!isCount(offset) || !isCount(viewSize) || offset + viewSize > size) throw damaged()
  return new StorageRef(key, storageClass.dtype, viewSize, offset)
}

function orderedDict(args: readonly PickleValue[]): PickleDict {
  const dict = new PickleDict()
  const pairs = args[0] ?? []
  if (!Array.isArray(pairs)) throw new CheckpointError(`an OrderedDict is made from ${describe(pairs)}`)
  for (const pair of pairs) {
    const items = Array.isArray(pair) ? pair : pair instanceof PickleTuple ? pair.items : []
    if (items.length !== 2) throw new CheckpointError('an OrderedDict is made from pairs that are none')
    dict.set(items[0]!, items[1]!)
  }
  return dict
}

function set(args: readonly PickleValue[]): PickleSet {
  const items = args[0] ?? []
  if (!Array.isArray(items)) throw new CheckpointError(`a set is made from ${describe(items)}`)
  return new PickleSet(items)
}

function size(args: readonly PickleValue[]): PickleTuple {
  return new PickleTuple(counts(args[0], 'torch.Size'))
}

/** (storage, offset, shape, strides, requiresGrad, hooks, metadata), where older files end earlier. */
function rebuildTensor(args: readonly PickleValue[]): TensorRef {
  const [storage, offset, shape, strides, , , metadata] = args
  if (!(storage instanceof StorageRef) || storage.dtype === undefined) {
    throw new CheckpointError(`a tensor is built on ${describe(storage)} instead of a typed storage`)
  }
  return tensorRef(storage, storage.dtype, storage.size, offset, shape, strides, metadata)
}

/** (untyped storage, offset, shape, strides, requiresGrad, hooks, dtype, metadata): element types without a storage class. */
function rebuildUntyped(args: readonly PickleValue[]): TensorRef {
  const [storage, offset, shape, strides, , , dtype, metadata] = args
  if (!(storage instanceof StorageRef) || !(dtype instanceof DTypeGlobal) || dtype.dtype === undefined) {
    throw new CheckpointError(`a tensor is built on ${describe(storage)} with ${describe(dtype)} for a dtype`)
  }
  const bytes = storage.dtype === undefined ? storage.size : storage.size * STORED_ITEM_SIZE[storage.dtype]
  return tensorRef(
    storage,
    dtype.dtype,
    Math.floor(bytes / STORED_ITEM_SIZE[dtype.dtype]),
    offset,
    shape,
    strides,
    metadata,
  )
}

function firstTensor(args: readonly PickleValue[]): TensorRef {
  const [data] = args
  if (!(data instanceof TensorRef))
    throw new CheckpointError(`a parameter is built on ${describe(data)} instead of a tensor`)
  return data
}

function tensorRef(
  storage: StorageRef,
  dtype: StoredDType,
  available: number,
  offset: PickleValue | undefined,
  shapeValue: PickleValue | undefined,
  stridesValue: PickleValue | undefined,
  metadata: PickleValue | undefined,
): TensorRef {
  const shape = counts(shapeValue, 'the shape of a tensor')
  const strides = counts(stridesValue, 'the strides of a tensor')
  const where = `the tensor on storage "${storage.key}"`
  if (!isCount(offset)) throw new CheckpointError(`${where} has the offset ${describe(offset)}`)
  if (shape.length !== strides.length) {
    throw new CheckpointError(`${where} has ${shape.length} dimensions but ${strides.length} strides`)
  }
  if (countElements(shape, where) > 0) {
    const last = shape.reduce((index, length, dim) => index + (length - 1) * strides[dim]!, offset)
    if (last >= available) {
      throw new CheckpointError(
        `${where} reaches element ${last} (shape [${shape.join(', ')}], strides [${strides.join(', ')}], offset ${offset}), ` +
          `but the storage has ${available}: the file is damaged or was made to deceive`,
      )
    }
  }
  return new TensorRef(storage, dtype, offset, shape, strides, isNegative(metadata, dtype, where))
}

/** Reads the bits with which PyTorch says that a tensor's values are not quite those that are stored. */
function isNegative(metadata: PickleValue | undefined, dtype: StoredDType, where: string): boolean {
  if (metadata === undefined || metadata === null) return false
  if (!(metadata instanceof PickleDict)) {
    throw new CheckpointError(`${where} has ${describe(metadata)} instead of a dictionary of its properties`)
  }
  // All of them are complex, which no dtype here is.
  if (metadata.get('conj')) throw new CheckpointError(`${where} is conjugate, which is not supported`)
  if (!metadata.get('neg')) return false
  if (dtype.includes('float')) return true
  throw new CheckpointError(
    `${where} is a negative view of ${dtype}, which is not supported. Save tensor.resolve_neg() instead`,
  )
}

function counts(value: PickleValue | undefined, what: string): number[] {
  const items = value instanceof PickleTuple ? value.items : Array.isArray(value) ? value : undefined
  if (!items?.every(isCount))
    throw new CheckpointError(`${what} is ${describe(value)} instead of a list of sizes`)
  return items as number[]
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
