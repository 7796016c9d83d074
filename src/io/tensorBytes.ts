import { CheckpointError } from '../engine/errors.ts'
import { type DType, type Tensor, tensor } from '../engine/index.ts'
import type { RawTensor, StoredDType } from './rawTensor.ts'

/** How the engine takes the values of each dtype. The stored dtypes that are missing here have no engine dtype. */
const ARRAYS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const satisfies Partial<Record<StoredDType, unknown>>

/** Whether there are tensors of that dtype here. */
export function isTensorDType(dtype: StoredDType): boolean {
  return dtype in ARRAYS
}

/**
 * A tensor on the CPU from bytes of a file.
 * @param where how messages name the tensor
 */
export function tensorFromBytes({ dtype, shape, data }: RawTensor, where: string): Tensor {
  if (!isTensorDType(dtype)) {
    throw new CheckpointError(
      `${where} has the dtype ${dtype}, which tensors here do not have; convert it before saving`,
    )
  }
  const ViewOf = ARRAYS[dtype as keyof typeof ARRAYS]
  const values = new ViewOf(
    data.buffer as ArrayBuffer,
    data.byteOffset,
    data.byteLength / ViewOf.BYTES_PER_ELEMENT,
  )
  return tensor(values, { shape: [...shape], dtype: dtype as DType })
}
