import { DataError, ShapeError } from '../engine/errors.ts'
import { type DType, stack, Tensor, tensor } from '../engine/index.ts'
import { type AssembledPictures, assemblePictures, isPicture, toPictureTensor } from './collatePictures.ts'
import { type ClassMask, checkClassMask, isClassMask, type RgbImage } from './image/RgbImage.ts'

type NumericArray = Uint8Array | Uint8ClampedArray | Int32Array | BigInt64Array | Float32Array | Float64Array

/** What single numbers become. */
export type NumberDtype = 'int64' | 'float32'

/** What items of this type become in a batch. */
export type Collated<Item> = Item extends
  | Tensor
  | RgbImage
  | ClassMask
  | NumericArray
  | number
  | bigint
  | boolean
  | readonly number[]
  ? Tensor
  : Item extends string
    ? string[]
    : Item extends readonly unknown[] | object
      ? { -readonly [Key in keyof Item]: Collated<Item[Key]> }
      : never

/** A batch on its way: all its bytes are together, but no tensor is made yet. */
type Assembled =
  | { kind: 'numbers'; data: NumericArray; shape: number[]; dtype: DType }
  | AssembledPictures
  | { kind: 'tensors'; tensors: Tensor[] }
  | { kind: 'texts'; texts: string[] }
  | { kind: 'list'; parts: Assembled[] }
  | { kind: 'record'; parts: [string, Assembled][] }

/** Where in a sample something lies, `y` or `x.age` for example, and how its items are called in errors. */
interface Place {
  path: string
  describe: (position: number) => string
}

/**
 * Makes batches of items: pictures become `[N, 3, H, W]` bytes (channels-last), masks `[N, H, W]` int64, tensors are stacked, a list of numbers is a
 * row of float32, a typed array a row of its own type, texts stay texts, and lists and plain objects are collated part by part.
 * Single numbers become int64 if they are whole (class indices; up to 2^53, where they are exact), else float32; which of the two is settled by the first
 * batch, or by `numberDtype`, so that a target does not change its type from batch to batch.
 */
export class Collator {
  #numberDtypes = new Map<string, NumberDtype>()
  readonly #numberDtype: NumberDtype | undefined

  constructor(numberDtype?: NumberDtype) {
    this.#numberDtype = numberDtype
  }

  /** What batches have settled so far, by where in a sample the numbers lie (`y`, `x.age`, or nothing for a sample that is one). */
  get settled(): Record<string, NumberDtype> {
    return Object.fromEntries(this.#numberDtypes)
  }

  set settled(dtypes: Readonly<Record<string, NumberDtype>>) {
    this.#numberDtypes = new Map(Object.entries(dtypes))
  }

  /** Puts items together; `describe` names the item at a position of the batch. Makes no tensor. */
  assemble(items: readonly unknown[], describe: (position: number) => string): Assembled {
    return this.#assemble(items, { path: '', describe })
  }

  #assemble(items: readonly unknown[], place: Place): Assembled {
    const first = items[0]
    if (isPicture(first)) return assemblePictures(all(items, isPicture, place, 'a picture'), place.describe)
    if (isClassMask(first)) return assembleMasks(all(items, isClassMask, place, 'a mask'), place)
    if (first instanceof Tensor) {
      const tensors = all(items, (item) => item instanceof Tensor, place, 'a tensor')
      checkSameShape(
        tensors.map(({ shape }) => shape),
        place,
      )
      return { kind: 'tensors', tensors }
    }
    if (typeof first === 'number')
      return this.#assembleNumbers(all(items, isNumber, place, 'a number'), place)
    if (typeof first === 'bigint') {
      const values = all(items, (item) => typeof item === 'bigint', place, 'a bigint') as bigint[]
      const large = values.findIndex((value) => BigInt.asIntN(64, value) !== value)
      if (large >= 0) {
        throw new DataError(
          `${place.describe(large)}: ${where(place)} is ${values[large]}n, which int64 cannot hold. Return a number instead`,
        )
      }
      return { kind: 'numbers', data: BigInt64Array.from(values), shape: [values.length], dtype: 'int64' }
    }
    if (typeof first === 'boolean') {
      const values = all(items, (item) => typeof item === 'boolean', place, 'a boolean')
      return { kind: 'numbers', data: Uint8Array.from(values, Number), shape: [values.length], dtype: 'bool' }
    }
    if (typeof first === 'string') {
      return { kind: 'texts', texts: all(items, (item) => typeof item === 'string', place, 'a text') }
    }
    if (isNumericArray(first)) return assembleRows(all(items, isNumericArray, place, 'a typed array'), place)
    if (isNumberList(first)) {
      const rows = all(items, isNumberList, place, 'a list of numbers')
      return assembleRows(
        rows.map((row) => Float32Array.from(row)),
        place,
      )
    }
    if (Array.isArray(first)) {
      const isAlike = (item: unknown): item is unknown[] =>
        Array.isArray(item) && item.length === first.length
      const lists = all(items, isAlike, place, `a list of ${first.length}`)
      const parts = first.map((_, at) =>
        this.#assemble(
          lists.map((list) => list[at]),
          under(place, String(at)),
        ),
      )
      return { kind: 'list', parts }
    }
    if (isRecord(first)) {
      const records = all(items, isRecord, place, 'a plain object')
      const parts = Object.keys(first).map((key): [string, Assembled] => [
        key,
        this.#assemble(
          records.map((record) => record[key]),
          under(place, key),
        ),
      ])
      return { kind: 'record', parts }
    }
    throw new DataError(
      `${place.describe(0)}: ${where(place)} is ${typeof first === 'object' && first !== null ? describeKind(first) : String(first)}, which cannot be made into a batch. Return numbers, typed arrays (bytes, Int32Array, BigInt64Array, Float32Array, Float64Array), tensors, pictures or texts (in lists and plain objects if you like), or pass collate to the loader`,
    )
  }

  #assembleNumbers(values: number[], place: Place): Assembled {
    // Beyond 2^53 they are measured values: no class index is so large, and int64 would give digits that were never there.
    const fraction = values.findIndex((value) => !Number.isSafeInteger(value))
    const settled = this.#numberDtype ?? this.#numberDtypes.get(place.path)
    const dtype = settled ?? (fraction < 0 ? 'int64' : 'float32')
    if (dtype === 'int64' && fraction >= 0) {
      throw new DataError(
        `${place.describe(fraction)}: ${where(place)} is ${values[fraction]}, but ${this.#numberDtype ? "numberDtype is 'int64'" : 'the numbers were whole before, so they are taken for class indices (int64)'}. For measured values pass numberDtype: 'float32' to the loader`,
      )
    }
    if (this.#numberDtype === undefined) this.#numberDtypes.set(place.path, dtype)
    const shape = [values.length]
    if (dtype === 'float32') return { kind: 'numbers', data: Float32Array.from(values), shape, dtype }
    return { kind: 'numbers', data: BigInt64Array.from(values, BigInt), shape, dtype }
  }
}

/** Makes the tensors of a batch. They belong to whoever calls this. */
export function toTensors(batch: Assembled, device?: string): unknown {
  if (batch.kind === 'images' || batch.kind === 'sampled') return toPictureTensor(batch, device)
  if (batch.kind === 'numbers') {
    return tensor(batch.data, { shape: batch.shape, dtype: batch.dtype, ...on(device) })
  }
  if (batch.kind === 'tensors') {
    const stacked = stack(batch.tensors)
    return device === undefined ? stacked : stacked.to(device)
  }
  if (batch.kind === 'texts') return batch.texts
  if (batch.kind === 'list') return batch.parts.map((part) => toTensors(part, device))
  return Object.fromEntries(batch.parts.map(([key, part]) => [key, toTensors(part, device)]))
}

function on(device: string | undefined) {
  return device === undefined ? {} : { device }
}

/** `[N, H, W]` class indices. */
function assembleMasks(masks: ClassMask[], place: Place): Assembled {
  for (const [at, mask] of masks.entries()) checkClassMask(mask, () => place.describe(at))
  const { width, height } = masks[0]!
  checkSameShape(
    masks.map((mask) => [mask.height, mask.width]),
    place,
  )
  const data = new BigInt64Array(masks.length * width * height)
  for (const [position, { classes }] of masks.entries()) {
    const start = position * width * height
    for (let at = 0; at < classes.length; at++) data[start + at] = BigInt(classes[at]!)
  }
  return { kind: 'numbers', data, shape: [masks.length, height, width], dtype: 'int64' }
}

function assembleRows(rows: NumericArray[], place: Place): Assembled {
  const first = rows[0]!
  checkSameShape(
    rows.map((row) => [row.length]),
    place,
  )
  const dtype = dtypeOf(first)
  const data = new rowKinds[dtype](rows.length * first.length)
  for (const [position, row] of rows.entries()) {
    if (dtypeOf(row) !== dtype) {
      throw new DataError(
        `${place.describe(position)}: ${where(place)} is a ${row.constructor.name}, but that of ${place.describe(0)} a ${first.constructor.name}: one batch has one type`,
      )
    }
    data.set(row as never, position * first.length)
  }
  return { kind: 'numbers', data, shape: [rows.length, first.length], dtype }
}

const rowKinds = {
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
}

function dtypeOf(array: NumericArray): keyof typeof rowKinds {
  if (array instanceof Uint8Array || array instanceof Uint8ClampedArray) return 'uint8'
  if (array instanceof Int32Array) return 'int32'
  if (array instanceof BigInt64Array) return 'int64'
  return array instanceof Float32Array ? 'float32' : 'float64'
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number'
}

function isNumberList(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every(isNumber)
}

function isNumericArray(value: unknown): value is NumericArray {
  return [Uint8ClampedArray, ...Object.values(rowKinds)].some((kind) => value instanceof kind)
}

/** An object without a class of its own: what others hold, such as a Map or a Date, their keys do not tell. */
function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  // That of another realm's objects counts too.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function under(place: Place, key: string): Place {
  return { ...place, path: place.path === '' ? key : `${place.path}.${key}` }
}

function where({ path }: Place): string {
  return path === '' ? 'the item' : `its ${path}`
}

function all<T>(items: readonly unknown[], is: (item: unknown) => item is T, place: Place, what: string): T[]
function all<T>(items: readonly unknown[], is: (item: unknown) => boolean, place: Place, what: string): T[]
function all<T>(items: readonly unknown[], is: (item: unknown) => boolean, place: Place, what: string): T[] {
  const odd = items.findIndex((item) => !is(item))
  if (odd < 0) return items as T[]
  throw new DataError(
    `${place.describe(odd)}: ${where(place)} is ${describeKind(items[odd])}, but that of ${place.describe(0)} is ${what}: the items of one batch must be alike`,
  )
}

function describeKind(value: unknown): string {
  if (value === null || typeof value !== 'object')
    return value === undefined ? 'missing' : `a ${typeof value}`
  return Array.isArray(value) ? `a list of ${value.length}` : `a ${value.constructor?.name ?? 'object'}`
}

function checkSameShape(shapes: (readonly number[])[], place: Place): void {
  const first = shapes[0]!
  const odd = shapes.findIndex((shape) => shape.join() !== first.join())
  if (odd < 0) return
  throw new ShapeError(
    `${where(place)} has the shape [${first.join(', ')}] in ${place.describe(0)}, but [${shapes[odd]!.join(', ')}] in ${place.describe(odd)}: the items of one batch must have one shape`,
  )
}

export type { Assembled }
