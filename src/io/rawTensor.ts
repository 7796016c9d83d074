import { show } from '../engine/check.ts'
import { CheckpointError } from '../engine/errors.ts'
import type { Steps } from './fileSource.ts'

/** Element types that weights files hold and this library can name. Not all of them are engine dtypes. */
export type StoredDType =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int16'
  | 'int8'
  | 'uint8'
  | 'bool'

/** Bytes that one element takes in a file. */
export const STORED_ITEM_SIZE: Readonly<Record<StoredDType, number>> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
}

/** What a weights file says about one tensor before its bytes are read. */
export interface TensorInfo {
  dtype: StoredDType
  shape: readonly number[]
}

/** A tensor as bytes: contiguous, row-major, little-endian. `data` starts at an address fit for its typed array. */
export interface RawTensor extends TensorInfo {
  data: Uint8Array
}

/**
 * The directory of a weights file: headers are parsed and checked in full, the bytes of a tensor are read on demand. Loading a
 * model so never holds the whole file beside the model.
 */
export interface WeightsDirectory {
  readonly file: string
  readonly format: 'safetensors' | 'pth' | 'pth-legacy'
  /** Bytes on the disk. */
  readonly size: number
  /** Free text stored beside the tensors (safetensors only). */
  readonly metadata: Readonly<Record<string, string>>
  /** Tensors in the order of the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** Keys of the state dict whose values are no tensors; they cannot be loaded. */
  readonly others: readonly string[]
  read(name: string): Steps<RawTensor>
}

/** Largest number of dimensions accepted from a file (PyTorch's own limit). */
const MAX_DIMENSIONS = 64

/**
 * Elements of a shape read from a file; every size and the product are checked to be exact integers.
 *
 * @param where how messages name the tensor
 */
export function countElements(shape: readonly number[], where: string): number {
  if (shape.length > MAX_DIMENSIONS) {
    throw new CheckpointError(
      `${where} claims ${shape.length} dimensions; at most ${MAX_DIMENSIONS} are accepted`,
    )
  }
  let count = 1
  let empty = false
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new CheckpointError(`${where} has an impossible shape ${show(shape)}`)
    }
    if (size === 0) empty = true
    else count *= size
    if (count > Number.MAX_SAFE_INTEGER) {
      throw new CheckpointError(`${where} has an impossible shape ${show(shape)}: too many elements`)
    }
  }
  return empty ? 0 : count
}
