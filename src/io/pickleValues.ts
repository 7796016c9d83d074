import { CheckpointError } from '../engine/errors.ts'

/**
 * What a pickle can hold here: plain data, and whatever objects the host's names build. Lists are arrays.
 * Dictionaries and sets keep JavaScript's notion of equal keys, which is enough for text and numbers.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleTuple
  | PickleDict
  | PickleSet
  | PickleGlobal
  | PickleObject

/** Base of the objects that a host's globals build. */
export abstract class PickleObject {
  /** Receives the state of a BUILD opcode. By default there is none to receive. */
  setState(_state: PickleValue): void {
    throw new CheckpointError(`a pickle sets attributes on ${describe(this)}, which takes none`)
  }
}

export class PickleTuple {
  readonly items: readonly PickleValue[]
  constructor(items: readonly PickleValue[]) {
    this.items = items
  }
}

/** dict and OrderedDict. Attributes (an OrderedDict's `_metadata`) are kept apart from the entries. */
export class PickleDict extends Map<PickleValue, PickleValue> {
  attributes: PickleValue = null
}

export class PickleSet extends Set<PickleValue> {}

/** A name that the host admits. Without `call` it is a value (a dtype, a storage class) and cannot be called. */
export class PickleGlobal {
  readonly name: string
  readonly call: ((args: readonly PickleValue[]) => PickleValue) | undefined
  constructor(name: string, call?: (args: readonly PickleValue[]) => PickleValue) {
    this.name = name
    this.call = call
  }
}

/** A value in words, for messages. */
export function describe(value: PickleValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'None'
  if (Array.isArray(value)) return 'a list'
  if (value instanceof PickleTuple) return 'a tuple'
  if (value instanceof PickleDict) return 'a dictionary'
  if (value instanceof PickleSet) return 'a set'
  if (value instanceof Uint8Array) return 'bytes'
  if (value instanceof PickleGlobal) return value.name
  if (typeof value === 'object') return `a ${value.constructor.name}`
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  return String(value)
}
