import { DTypeError } from './errors.ts'

/** Element types. `float32` is the default of everything that makes floating numbers. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int64' | 'int32' | 'uint8' | 'bool'

/** In the order of the engine's own numbering (native/core/dtype.h). */
export const dtypes: readonly DType[] = [
  'float32',
  'float64',
  'bfloat16',
  'float16',
  'int64',
  'int32',
  'uint8',
  'bool',
]

const codes = new Map<string, number>(dtypes.map((name, code) => [name, code]))
const sizes: Record<DType, number> = {
  float32: 4,
  float64: 8,
  bfloat16: 2,
  float16: 2,
  int64: 8,
  int32: 4,
  uint8: 1,
  bool: 1,
}

/** The engine's number of a dtype; throws a DTypeError that lists the valid names. */
export function dtypeCode(dtype: DType): number {
  const code = codes.get(dtype)
  if (code === undefined)
    throw new DTypeError(
      `unknown dtype ${typeof dtype === 'string' ? JSON.stringify(dtype) : `of type ${typeof dtype}`}; the dtypes are ${dtypes.join(', ')}`,
    )
  return code
}

/** Bytes of one element. */
export function dtypeSize(dtype: DType): number {
  dtypeCode(dtype)
  return sizes[dtype]
}

/** True for the dtypes that can carry gradients. */
export function isFloatingPoint(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'bfloat16' || dtype === 'float16'
}

/** What `data()` and `dataSync()` give: numbers whatever the dtype (int64 as Float64Array, exact to 2^53). */
export type TensorData = Float32Array | Float64Array | Int32Array | Uint8Array

/** Typed arrays that `tensor` takes. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | BigInt64Array
  | Int8Array
  | Int16Array
  | Uint32Array
