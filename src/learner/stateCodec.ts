import { show } from '../engine/check.ts'
import { CheckpointError } from '../engine/errors.ts'
import { noGrad, Tensor } from '../engine/index.ts'
import type { RawTensor } from '../io/index.ts'
import { tensorFromBytes } from '../io/tensorBytes.ts'
import { isNumberArray, type NumberArray, type StateValue } from './callbackState.ts'

/**
 * A {@link StateValue} as JSON, with its tensors and typed arrays beside it. Two kinds of objects stand for what JSON lacks:
 * `{ $array: name, type }` for bulk data, and `{ $number: 'NaN' }` for the numbers that it cannot write. Names that begin with $ are
 * written with one $ more.
 */
export interface EncodedState {
  json: unknown
  arrays: Map<string, RawTensor>
}

/** States of callbacks and loaders are a handful deep. */
const MAX_DEPTH = 100

const numberArrays = {
  Float64Array: { type: Float64Array, dtype: 'float64' },
  Float32Array: { type: Float32Array, dtype: 'float32' },
  Int32Array: { type: Int32Array, dtype: 'int32' },
  Uint8Array: { type: Uint8Array, dtype: 'uint8' },
  BigInt64Array: { type: BigInt64Array, dtype: 'int64' },
} as const

/** Values are those at the time of the call: all reads of tensors are queued before the first is awaited. */
export async function encodeState(value: StateValue, prefix: string): Promise<EncodedState> {
  const reads: Promise<[string, RawTensor]>[] = []
  const encode = (part: StateValue, path: string): unknown => {
    if (typeof part === 'number') return encodeNumber(part)
    if (part === null || typeof part !== 'object') return part
    if (part instanceof Tensor) {
      const { dtype, shape } = part
      reads.push(part.bytes().then((data) => [path, { dtype, shape: [...shape], data }]))
      return { $array: path, type: 'Tensor' }
    }
    if (isNumberArray(part)) {
      reads.push(Promise.resolve([path, rawArray(part)]))
      return { $array: path, type: typeName(part) }
    }
    if (isList(part)) return part.map((item, i) => encode(item ?? null, `${path}/${i}`))
    const entries = Object.entries(part).filter(([, item]) => item !== undefined)
    return Object.fromEntries(
      entries.map(([name, item]) => [
        name.startsWith('$') ? `$${name}` : name,
        encode(item, `${path}/${escapeSlashes(name)}`),
      ]),
    )
  }
  const json = encode(value, prefix)
  return { json, arrays: new Map(await Promise.all(reads)) }
}

/**
 * What `encodeState` was given. Tensors are made anew, in the caller's scope.
 * @throws CheckpointError if `json` names what `arrays` does not have
 */
export function decodeState(json: unknown, arrays: ReadonlyMap<string, RawTensor>, depth = 0): StateValue {
  if (depth > MAX_DEPTH)
    throw new CheckpointError(`the checkpoint is damaged: its state is nested more than ${MAX_DEPTH} deep`)
  if (json === null || typeof json !== 'object') return json as StateValue
  if (Array.isArray(json)) return json.map((item) => decodeState(item, arrays, depth + 1))
  const { $number, $array, type } = json as { $number?: string; $array?: string; type?: string }
  if (typeof $number === 'string') return Number($number)
  if (typeof $array === 'string') {
    const raw = arrays.get($array)
    if (!raw) throw new CheckpointError(`the checkpoint is damaged: it lacks ${$array}`)
    if (type === 'Tensor') return noGrad(() => tensorFromBytes(raw, $array))
    return arrayFrom(raw, type as keyof typeof numberArrays, $array)
  }
  return Object.fromEntries(
    Object.entries(json).map(([name, item]) => [
      name.startsWith('$$') ? name.slice(1) : name,
      decodeState(item, arrays, depth + 1),
    ]),
  )
}

/** As in a JSON pointer (RFC 6901): `a` in `b` and `b/a` beside it are arrays of two names. */
const escapeSlashes = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1')

function encodeNumber(value: number): unknown {
  const writable = Number.isFinite(value) && !Object.is(value, -0)
  return writable ? value : { $number: Object.is(value, -0) ? '-0' : String(value) }
}

const isList = (value: StateValue): value is readonly StateValue[] => Array.isArray(value)

function typeName(array: NumberArray): keyof typeof numberArrays {
  const names = Object.keys(numberArrays) as (keyof typeof numberArrays)[]
  return names.find((name) => array instanceof numberArrays[name].type)!
}

function rawArray(array: NumberArray): RawTensor {
  const copy = array.slice()
  const data = new Uint8Array(copy.buffer, copy.byteOffset, copy.byteLength)
  return { dtype: numberArrays[typeName(array)].dtype, shape: [array.length], data }
}

function arrayFrom({ data }: RawTensor, name: keyof typeof numberArrays, where: string): NumberArray {
  const known = Object.hasOwn(numberArrays, name) ? numberArrays[name] : undefined
  if (!known || data.byteLength % known.type.BYTES_PER_ELEMENT !== 0) {
    throw new CheckpointError(
      `the checkpoint is damaged: ${where} of ${data.byteLength} bytes is said to be of the kind ${show(name)}`,
    )
  }
  const copy = data.slice()
  return new known.type(copy.buffer as ArrayBuffer)
}
