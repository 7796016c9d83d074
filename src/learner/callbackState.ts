import { CheckpointError, ConfigError } from '../engine/errors.ts'
import { Tensor } from '../engine/index.ts'
import type { Callback } from './Callback.ts'

/** Numbers in bulk: a checkpoint holds them to the bit. */
export type NumberArray = Float64Array | Float32Array | Int32Array | Uint8Array | BigInt64Array

/**
 * What a callback can put into a checkpoint: any numbers (NaN and infinite ones too), text, truth values, null, typed arrays and
 * tensors, in lists and plain objects as deep as need be. Entries that are undefined are left out.
 */
export type StateValue =
  | number
  | string
  | boolean
  | null
  | undefined
  | NumberArray
  | Tensor
  | readonly StateValue[]
  | { readonly [name: string]: StateValue }

/** What `stateDict` gives and `loadStateDict` gets back. */
export type CallbackState = { readonly [name: string]: StateValue }

const arrayTypes = [Float64Array, Float32Array, Int32Array, Uint8Array, BigInt64Array] as const

export function isNumberArray(value: unknown): value is NumberArray {
  return arrayTypes.some((type) => value instanceof type)
}

/**
 * The states of callbacks by their names in a checkpoint: the class, and a number where there are several of a class. Those that
 * remember nothing are not there.
 * @throws ConfigError that names the place of a value that no checkpoint can hold
 */
export function callbackStates(callbacks: readonly Callback[]): Map<string, CallbackState> {
  const states = new Map<string, CallbackState>()
  for (const [name, callback] of nameCallbacks(callbacks)) {
    const state = callback.stateDict?.()
    if (state === undefined) continue
    checkStorable(state, `${name}.stateDict()`)
    states.set(name, state)
  }
  return states
}

/** Each callback under its name in a checkpoint: `EarlyStoppingCallback`, a second one `EarlyStoppingCallback#2`. */
export function nameCallbacks(callbacks: readonly Callback[]): Map<string, Callback> {
  const named = new Map<string, Callback>()
  const counts = new Map<string, number>()
  for (const callback of callbacks) {
    const { name } = callback.constructor
    const count = (counts.get(name) ?? 0) + 1
    counts.set(name, count)
    named.set(count === 1 ? name : `${name}#${count}`, callback)
  }
  return named
}

/**
 * For callbacks whose course follows from their options, such as schedules: their state is those options, and what was saved must
 * be what is asked for now.
 * @throws CheckpointError that lists what differs
 */
export function requireSame(owner: string, saved: CallbackState, now: CallbackState): void {
  const text = (value: StateValue) => JSON.stringify(value) ?? 'the default'
  const differing = [...new Set([...Object.keys(saved), ...Object.keys(now)])].filter(
    (name) => text(saved[name]) !== text(now[name]),
  )
  if (differing.length === 0) return
  const list = differing.map((name) => `${name} was ${text(saved[name])} and is ${text(now[name])}`)
  throw new CheckpointError(
    `${owner} is not as it was at the checkpoint: ${list.join(', ')}. Make the same fit call as before the interruption`,
  )
}

function checkStorable(value: unknown, where: string): void {
  if (value === null || ['number', 'string', 'boolean', 'undefined'].includes(typeof value)) return
  if (value instanceof Tensor || isNumberArray(value)) return
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) checkStorable(item, `${where}[${i}]`)
    return
  }
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const [name, item] of Object.entries(value)) checkStorable(item, `${where}.${name}`)
    return
  }
  const kind = typeof value === 'object' ? (value.constructor?.name ?? 'object') : typeof value
  throw new ConfigError(
    `${where} is a ${kind}, which a checkpoint cannot hold; it takes numbers, text, true and false, null, typed arrays and ` +
      'tensors, in lists and plain objects',
  )
}
