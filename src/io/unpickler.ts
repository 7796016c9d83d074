import { CheckpointError } from '../engine/errors.ts'

import { HANDLERS, STOP } from './pickleOpcodes.ts'
import {
  describe,
  PickleDict,
  PickleGlobal,
  PickleObject,
  PickleSet,
  PickleTuple,
  type PickleValue,
} from './pickleValues.ts'

/** What the pickle machine may ask of its surroundings. */
export interface PickleHost {
  /** The admitted meaning of `module.name`, or undefined to refuse it. */
  global(module: string, name: string): PickleGlobal | undefined
  /** The object that a persistent id stands for. */
  persistent(id: PickleValue): PickleValue
  /** What to say of a refused name. */
  refuse(name: string): CheckpointError
}

/** Thrown when the bytes end before the pickle does; a caller that holds only the head of a file can read on. */
export class PickleEnd extends CheckpointError {}

/**
 * A pickle machine for the opcodes that tensors and plain containers need (protocols 2 to 5). It looks names up in the
 * host's list and nowhere else: no name in a file can make anything run that the host did not put there.
 *
 * Source: the opcode descriptions of Python's `pickletools`.
 */
export class Unpickler {
  /** Where the next byte is read; after {@link load}, the first byte behind the pickle. */
  position = 0
  readonly host: PickleHost
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  /** Items that calls may still take: a list of many that is passed again and again would take the square of the file's length. */
  #budget: number
  /** Objects, marks and memo entries that may still be made: an opcode of one byte makes an object of a hundred. */
  #objects: number
  #stack: PickleValue[] = []
  #marks: PickleValue[][] = []
  #memo = new Map<number, PickleValue>()

  /** @param what how messages name the pickle */
  constructor(bytes: Uint8Array, host: PickleHost, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
    this.#budget = 16 * bytes.byteLength + 65_536
    this.#objects = 1_000_000 + Math.min(bytes.byteLength / 4, 3_000_000)
    this.host = host
  }

  /** Reads one pickle, up to and with its STOP. Several may follow each other in the same bytes. */
  load(): PickleValue {
    this.#stack = []
    this.#marks = []
    this.#memo = new Map()
    for (;;) {
      const at = this.position
      const code = this.uint8()
      if (code === STOP) {
        if (this.#marks.length > 0 || this.#stack.length !== 1)
          throw this.error('its stack is not down to one value at the end')
        return this.#stack[0]!
      }
      const handler = HANDLERS[code]
      if (!handler) {
        throw this.error(
          `opcode 0x${code.toString(16).padStart(2, '0')} at byte ${at} is none that tensors and plain containers need`,
        )
      }
      handler(this)
    }
  }

  error(problem: string): CheckpointError {
    return new CheckpointError(`${this.#what} cannot be read: ${problem}`)
  }

  // -- bytes ---------------------------------------------------------------------------------------------------------

  take(length: number): Uint8Array {
    const end = this.position + length
    if (end > this.#bytes.byteLength) {
      throw new PickleEnd(
        `${this.#what} is cut short: byte ${end} is needed, but there are only ${this.#bytes.byteLength}`,
      )
    }
    const taken = this.#bytes.subarray(this.position, end)
    this.position = end
    return taken
  }

  uint8(): number {
    return this.take(1)[0]!
  }

  uint16(): number {
    this.take(2)
    return this.#view.getUint16(this.position - 2, true)
  }

  int32(): number {
    this.take(4)
    return this.#view.getInt32(this.position - 4, true)
  }

  uint32(): number {
    this.take(4)
    return this.#view.getUint32(this.position - 4, true)
  }

  /** An eight-byte length. What exceeds the bytes at hand fails in {@link take}. */
  length64(): number {
    this.take(8)
    const value = this.#view.getBigUint64(this.position - 8, true)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.error(`a length of ${value} is impossible`)
    return Number(value)
  }

  float64(): number {
    this.take(8)
    return this.#view.getFloat64(this.position - 8, false)
  }

  /** Text up to the next line end, as GLOBAL writes names. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.position)
    if (end < 0) throw new PickleEnd(`${this.#what} is cut short: a name has no end`)
    const text = this.text(end - this.position)
    this.position += 1
    return text
  }

  text(length: number): string {
    return new TextDecoder().decode(this.take(length))
  }

  /** A little-endian integer in two's complement, as a number where that is exact. */
  integer(length: number): number | bigint {
    if (length > 1024) throw this.error(`an integer of ${length} bytes is impossible`)
    const bytes = this.take(length)
    let value = 0n
    for (let index = length - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[index]!)
    if (length > 0 && bytes[length - 1]! & 0x80) value -= 1n << BigInt(8 * length)
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }

  #spend(): void {
    if (--this.#objects < 0) throw this.error('it makes more objects than any file of weights')
  }

  // -- stack and memo ------------------------------------------------------------------------------------------------

  push(value: PickleValue): void {
    if (typeof value === 'object') this.#spend()
    this.#stack.push(value)
  }

  pop(): PickleValue {
    const value = this.#stack.pop()
    if (value === undefined) throw this.error('it takes a value from an empty stack')
    return value
  }

  top(): PickleValue {
    const value = this.#stack.at(-1)
    if (value === undefined) throw this.error('it looks at a value on an empty stack')
    return value
  }

  mark(): void {
    this.#spend()
    this.#marks.push(this.#stack)
    this.#stack = []
  }

  popToMark(): PickleValue[] {
    const items = this.#stack
    const below = this.#marks.pop()
    if (below === undefined) throw this.error('it goes back to a mark that was never set')
    this.#stack = below
    return items
  }

  memoise(index = this.#memo.size): void {
    this.#spend()
    this.#memo.set(index, this.top())
  }

  recall(index: number): void {
    const value = this.#memo.get(index)
    if (value === undefined) throw this.error(`it recalls entry ${index}, which was never stored`)
    this.push(value)
  }

  // -- containers and names ------------------------------------------------------------------------------------------

  append(items: PickleValue[]): void {
    const list = this.top()
    if (!Array.isArray(list)) throw this.error(`it appends to ${describe(list)}`)
    for (const item of items) list.push(item)
  }

  setItems(items: PickleValue[]): void {
    const dict = this.top()
    if (!(dict instanceof PickleDict)) throw this.error(`it sets an item of ${describe(dict)}`)
    this.fill(dict, items)
  }

  fill(dict: PickleDict, items: PickleValue[]): PickleDict {
    if (items.length % 2 !== 0) throw this.error('a dictionary has a key without a value')
    for (let index = 0; index < items.length; index += 2) dict.set(items[index]!, items[index + 1]!)
    return dict
  }

  addItems(items: PickleValue[]): void {
    const set = this.top()
    if (!(set instanceof PickleSet)) throw this.error(`it adds an item to ${describe(set)}`)
    for (const item of items) set.add(item)
  }

  global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string')
      throw this.error('it looks up a name that is no text')
    const found = this.host.global(module, name)
    if (!found) throw this.host.refuse(`${module}.${name}`)
    this.push(found)
  }

  reduce(): void {
    const args = this.pop()
    const callee = this.pop()
    if (!(callee instanceof PickleGlobal) || !callee.call) throw this.error(`it calls ${describe(callee)}`)
    if (!(args instanceof PickleTuple))
      throw this.error(`it calls ${callee.name} with ${describe(args)} for arguments`)
    for (const item of [args, ...args.items]) this.#budget -= sizeOf(item)
    if (this.#budget < 0) throw this.error('it passes the same long lists again and again')
    this.push(this.#inFile(() => callee.call!(args.items)))
  }

  build(): void {
    const state = this.pop()
    const target = this.top()
    if (target instanceof PickleDict) target.attributes = state
    else if (target instanceof PickleObject) this.#inFile(() => target.setState(state))
    else throw this.error(`it sets attributes on ${describe(target)}`)
  }

  /** What the host's objects complain about, they do not know which file it is in. */
  #inFile<Result>(fn: () => Result): Result {
    try {
      return fn()
    } catch (cause) {
      if (!(cause instanceof CheckpointError)) throw cause
      throw new CheckpointError(`${this.#what}: ${cause.message}`, { cause })
    }
  }
}

function sizeOf(value: PickleValue): number {
  if (Array.isArray(value)) return value.length
  return value instanceof PickleTuple ? value.items.length : 1
}
