import { types } from 'node:util'
import { addon, beginArguments, guarded } from '../addon.ts'
import { requireHolds, requireNumber, requireOptions, requireTensor, show } from '../check.ts'
import { admit } from '../creationLimit.ts'
import { deviceNumber } from '../device.ts'
import { type DType, dtypeCode, dtypeSize, type TypedArray } from '../dtype.ts'
import { ConfigError, DTypeError, ShapeError } from '../errors.ts'
import { numberList } from '../methods.ts'
import { type Argument, call, callOn } from '../native.ts'
import { type Tensor, tensorOf } from '../tensor.ts'
import { toDType } from './convert.ts'

/** Names of {@link TensorOptions}. */
export const TENSOR_OPTIONS = ['dtype', 'device', 'requiresGrad']

export interface TensorOptions {
  /** Default float32; `tensor` takes the dtype of a typed array. */
  dtype?: DType | undefined
  /** Default the default device. */
  device?: string | undefined
  /** Whether gradients accumulate into the tensor. Default false. */
  requiresGrad?: boolean | undefined
}

export interface TensorFromOptions extends TensorOptions {
  /** The shape of the values of a typed or flat array. Default: one dimension. */
  shape?: readonly number[] | undefined
}

/** Numbers, booleans or big integers, nested to any depth; all rows of one length. */
export type NestedArray = number | boolean | bigint | readonly NestedArray[]

/** A shape: a list of sizes, or one size. */
export type Shape = number | readonly number[]

function finish(out: Tensor, options: TensorOptions): Tensor {
  requireOptions('creating a tensor', options)
  const number = deviceNumber(options.device)
  let there = out
  if (out.deviceNumber !== number) {
    there = call('to_device', out, number)
    out.dispose()
  }
  return options.requiresGrad ? there.requiresGrad_() : there
}

/** Runs an op that makes a tensor of nothing, where the options say. */
function make(options: TensorOptions, op: string, ...inputs: Argument[]): Tensor {
  requireOptions('creating a tensor', options)
  return finish(callOn(deviceNumber(options.device), op, ...inputs), options)
}

function shapeList(shape: Shape): readonly number[] {
  const list = numberList(shape, [])
  if (!Array.isArray(list) || list.some((size) => !Number.isInteger(size) || size < 0)) {
    throw new ShapeError(`a shape is a list of non-negative integers, got ${show(shape)}`)
  }
  return list
}

/** Of a tensor, and so of lists in it. */
export const MAX_DIMENSIONS = 8

// Walks the first element of each level for the shape, then checks every row against it.
function flattenNested(data: NestedArray): { shape: number[]; flat: (number | boolean | bigint)[] } {
  const shape: number[] = []
  for (let level: NestedArray | undefined = data; Array.isArray(level); level = level[0]) {
    // A list may hold itself.
    if (shape.length === MAX_DIMENSIONS) {
      throw new ShapeError(
        `tensor: lists are nested deeper than the ${MAX_DIMENSIONS} dimensions that a tensor has at most`,
      )
    }
    shape.push(level.length)
  }
  const flat: (number | boolean | bigint)[] = []
  const walk = (value: NestedArray, depth: number): void => {
    if (depth === shape.length) {
      if (typeof value !== 'number' && typeof value !== 'boolean' && typeof value !== 'bigint') {
        throw new ShapeError(
          Array.isArray(value)
            ? `tensor: rows differ in depth: a list of ${value.length} where a number was expected`
            : `tensor: expected numbers, found ${show(value)}`,
        )
      }
      flat.push(value)
      return
    }
    if (!Array.isArray(value) || value.length !== shape[depth]) {
      const found = Array.isArray(value) ? `one of ${value.length}` : show(value)
      throw new ShapeError(`tensor: expected a list of ${shape[depth]} at depth ${depth}, found ${found}`)
    }
    for (const item of value) walk(item, depth + 1)
  }
  walk(data, 0)
  return { shape, flat }
}

// Of whatever realm: a test runner may have given its files globals of their own.
function dtypeOfArray(array: TypedArray): DType {
  if (types.isFloat32Array(array)) return 'float32'
  if (types.isFloat64Array(array)) return 'float64'
  if (types.isBigInt64Array(array)) return 'int64'
  if (types.isInt32Array(array) || types.isInt8Array(array) || types.isInt16Array(array)) return 'int32'
  if (types.isUint8Array(array) || types.isUint8ClampedArray(array)) return 'uint8'
  if (types.isUint16Array(array)) return 'int32'
  if (types.isUint32Array(array)) return 'int64'
  throw new DTypeError(`tensor: cannot make a tensor of ${Object.prototype.toString.call(array)}`)
}

// The array's bytes as they are when the engine has the same element type, otherwise converted to one that it has.
function upload(array: TypedArray, shape: readonly number[], dtype: DType): Tensor {
  let source: TypedArray = array
  let held = dtypeOfArray(array)
  if (types.isUint16Array(array) && (dtype === 'bfloat16' || dtype === 'float16')) held = dtype
  else if (types.isInt8Array(array) || types.isInt16Array(array) || types.isUint16Array(array)) {
    source = Int32Array.from(array)
  } else if (types.isUint32Array(array)) source = BigInt64Array.from(array, BigInt)
  else if (dtype === 'bool' && held === 'uint8') {
    source = Uint8Array.from(array as Uint8Array, (value) => (value === 0 ? 0 : 1))
    held = 'bool'
  }
  const count = shape.reduce((product, size) => product * size, 1)
  if (count * dtypeSize(held) !== source.byteLength) {
    throw new ShapeError(
      `tensor: ${array.length} values do not fill the shape [${shape.join(', ')}] (${count})`,
    )
  }
  if (types.isSharedArrayBuffer(source.buffer)) source = source.slice()
  beginArguments()
  for (let i = 0; i < shape.length; i++) addon.args[i] = shape[i] as number
  const handle = guarded(() => addon.fromBytes(source, dtypeCode(held), shape.length))
  const out = tensorOf(handle)
  if (held === dtype) return out
  const converted = toDType(out, dtype)
  out.dispose()
  return converted
}

/**
 * A tensor of the given values: nested arrays, one number, or a typed array with `{ shape }`.
 * Numbers become float32 unless `dtype` says otherwise, booleans bool, big integers int64.
 * @throws DTypeError where `dtype` is an integer one that cannot hold a number of a list: it may have a fraction, which is
 * dropped, and for uint8 be an integer down to -255, which wraps around. Typed arrays are converted as by `to`.
 */
export function tensor(data: NestedArray | TypedArray, options: TensorFromOptions = {}): Tensor {
  requireOptions('tensor', options, [...TENSOR_OPTIONS, 'shape'])
  if (ArrayBuffer.isView(data)) {
    requireAttached(data as TypedArray)
    const array = data as TypedArray
    const shape = options.shape ? shapeList(options.shape) : [array.length]
    return finish(upload(array, shape, options.dtype ?? dtypeOfArray(array)), options)
  }
  const nested = flattenNested(data as NestedArray)
  let { shape } = nested
  const { flat } = nested
  if (options.shape) {
    const wanted = [...shapeList(options.shape)]
    if (wanted.reduce((product, size) => product * size, 1) !== flat.length) {
      throw new ShapeError(`tensor: ${flat.length} values do not fill the shape [${wanted.join(', ')}]`)
    }
    shape = wanted
  }
  const first = flat[0]
  const inferred: DType =
    typeof first === 'boolean' ? 'bool' : typeof first === 'bigint' ? 'int64' : 'float32'
  const dtype = options.dtype ?? inferred
  dtypeCode(dtype)
  let array: TypedArray
  if (dtype === 'int64') array = BigInt64Array.from(flat, (value) => toBigInt(value))
  else if (dtype === 'int32') array = Int32Array.from(flat, (value) => held(value, dtype))
  else if (dtype === 'uint8') array = Uint8Array.from(flat, (value) => held(value, dtype))
  else if (dtype === 'bool')
    array = Uint8Array.from(flat, (value) => (Number(value) === 0 ? 0 : 1)) // NaN is true
  else if (dtype === 'float64') array = Float64Array.from(flat, Number)
  else array = Float32Array.from(flat, Number)
  return finish(upload(array, shape, dtype), options)
}

// The memory of an array that was transferred to another thread is gone, though the array still answers.
function requireAttached(array: TypedArray): void {
  if (array.byteLength > 0) return
  try {
    new Uint8Array(array.buffer)
  } catch {
    throw new ConfigError('tensor: the memory of this array has been transferred elsewhere (it is detached)')
  }
}

function held(value: number | boolean | bigint, dtype: DType): number {
  const number = Number(value)
  requireHolds('tensor', number, dtype)
  return number
}

function toBigInt(value: number | boolean | bigint): bigint {
  if (typeof value === 'number') return BigInt(Math.trunc(held(value, 'int64')))
  const integer = BigInt(value)
  if (BigInt.asIntN(64, integer) !== integer) {
    throw new DTypeError(`tensor: ${value} cannot be stored in a tensor of int64`)
  }
  return integer
}

/**
 * All elements `value`.
 * @throws DTypeError where the dtype cannot hold it: see `tensor`.
 */
export function full(shape: Shape, value: number | boolean, options: TensorOptions = {}): Tensor {
  requireOptions('full', options, TENSOR_OPTIONS)
  if (typeof value !== 'boolean') requireNumber('full', 'value', value)
  const dtype = options.dtype ?? (typeof value === 'boolean' ? 'bool' : 'float32')
  const sizes = shapeList(shape)
  requireHolds('full', Number(value), dtype)
  admit(sizes, dtype)
  return make(options, 'full', sizes, Number(value), dtypeCode(dtype))
}

export function zeros(shape: Shape, options: TensorOptions = {}): Tensor {
  requireOptions('zeros', options, TENSOR_OPTIONS)
  return full(shape, 0, { ...options, dtype: options.dtype ?? 'float32' })
}

export function ones(shape: Shape, options: TensorOptions = {}): Tensor {
  requireOptions('ones', options, TENSOR_OPTIONS)
  return full(shape, 1, { ...options, dtype: options.dtype ?? 'float32' })
}

/** Uninitialised memory, for what is filled at once. */
export function empty(shape: Shape, options: TensorOptions = {}): Tensor {
  requireOptions('empty', options, TENSOR_OPTIONS)
  const { dtype = 'float32' } = options
  const sizes = shapeList(shape)
  admit(sizes, dtype)
  return make(options, 'empty', sizes, dtypeCode(dtype))
}

export function zerosLike(like: Tensor, options: TensorOptions = {}): Tensor {
  requireTensor('zerosLike', 'first argument', like)
  return zeros(like.shape, { dtype: like.dtype, device: like.device, ...options })
}

export function onesLike(like: Tensor, options: TensorOptions = {}): Tensor {
  requireTensor('onesLike', 'first argument', like)
  return ones(like.shape, { dtype: like.dtype, device: like.device, ...options })
}

/**
 * `arange(end)`, `arange(start, end)` or `arange(start, end, step)`: start, start + step, … before end.
 * int64 when all are integers, as in PyTorch; float32 otherwise.
 */
export function arange(
  startOrEnd: number,
  end?: number | TensorOptions,
  step?: number | TensorOptions,
  options: TensorOptions = {},
): Tensor {
  const settings = [end, step, options].find((value) => typeof value === 'object') as TensorOptions
  requireOptions('arange', settings, TENSOR_OPTIONS)
  const start = typeof end === 'number' ? startOrEnd : 0
  const stop = typeof end === 'number' ? end : startOrEnd
  const by = typeof step === 'number' ? step : 1
  requireNumber('arange', 'start', start)
  requireNumber('arange', 'end', stop)
  if (![start, stop, by].every(Number.isFinite) || by === 0 || (stop - start) / by < 0) {
    throw new ShapeError(`arange: steps of ${by} do not lead from ${start} to ${stop}`)
  }
  const integers = [start, stop, by].every(Number.isInteger)
  const dtype = settings.dtype ?? (integers ? 'int64' : 'float32')
  return make(settings, 'arange', start, by, Math.ceil((stop - start) / by), dtypeCode(dtype))
}

/**
 * `steps` values from `start` to `end`, both included.
 * @throws DTypeError where the dtype cannot hold both.
 */
export function linspace(start: number, end: number, steps: number, options: TensorOptions = {}): Tensor {
  requireOptions('linspace', options, TENSOR_OPTIONS)
  const { dtype = 'float32' } = options
  for (const limit of [start, end]) requireHolds('linspace', limit, dtype, { wraps: false })
  return make(options, 'linspace', start, end, steps, dtypeCode(dtype))
}

/** The identity matrix. */
export function eye(rows: number, columns?: number | TensorOptions, options: TensorOptions = {}): Tensor {
  const settings = typeof columns === 'object' ? columns : options
  requireOptions('eye', settings, TENSOR_OPTIONS)
  const width = typeof columns === 'number' ? columns : rows
  return make(settings, 'eye', rows, width, dtypeCode(settings.dtype ?? 'float32'))
}
