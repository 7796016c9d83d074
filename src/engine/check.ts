import type { DType } from './dtype.ts'
import { AnnealError, ConfigError, DTypeError } from './errors.ts'
import { Tensor } from './tensor.ts'

/** A value as it can stand in an error message, whatever it is. */
export function show(value: unknown, depth = 0): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'bigint':
      return `${value}n`
    case 'function':
      return 'a function'
    case 'object':
      break
    default:
      return String(value)
  }
  if (value === null) return 'null'
  if (value instanceof Tensor) {
    return value.isAlive ? `a tensor of shape [${value.shape.join(', ')}]` : 'a tensor that has been freed'
  }
  if (Array.isArray(value)) {
    if (depth > 3) return '[…]'
    const shown = value.slice(0, 8).map((item) => show(item, depth + 1))
    return `[${shown.join(', ')}${value.length > 8 ? ', …' : ''}]`
  }
  const made = (value as { constructor?: unknown }).constructor
  const name = typeof made === 'function' ? made.name : ''
  return name === '' ? 'an object' : `an object of class ${name}`
}

/** @throws AnnealError unless `value` is a tensor. */
export function requireTensor(op: string, name: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) {
    throw new AnnealError(`${op}: the ${name} must be a tensor, got ${show(value)}`)
  }
}

/**
 * Options may be left out where the caller has a default.
 * @throws ConfigError unless `options` is an object, and for keys that are none of `names`, where these are given
 */
export function requireOptions(op: string, options: unknown, names?: readonly string[]): void {
  const isNone = Array.isArray(options) || options instanceof Tensor
  if (options === null || typeof options !== 'object' || isNone) {
    throw new ConfigError(`${op}: the options must be an object, got ${show(options)}`)
  }
  if (!names) return
  // Asked at every call of an op: no list is made unless there is something to tell.
  for (const name in options) {
    if (names.includes(name)) continue
    const unknown = Object.keys(options).filter((key) => !names.includes(key))
    throw new ConfigError(`${op}: unknown option ${unknown.join(', ')}; the options are ${names.join(', ')}`)
  }
}

/** @throws ConfigError unless `value` is a number. */
export function requireNumber(op: string, name: string, value: unknown): asserts value is number {
  if (typeof value !== 'number') {
    throw new ConfigError(`${op}: the ${name} must be a number, got ${show(value)}`)
  }
}

/** @throws ConfigError unless `value` is a whole number of at least `least`. */
export function checkCount(owner: string, name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return
  throw new ConfigError(`${owner}: ${name} must be a whole number of at least ${least}, got ${show(value)}`)
}

// What an integer dtype holds, ends included: int64's upper end is the last number below 2^63.
const ranges: ReadonlyMap<DType, readonly [number, number]> = new Map([
  ['int64', [-(2 ** 63), 2 ** 63 - 1024]],
  ['int32', [-(2 ** 31), 2 ** 31 - 1]],
  ['uint8', [0, 255]],
])

export interface HoldingOptions {
  /** Whether uint8 takes -1 to -255, which wrap around, as where PyTorch takes an integer. Default true. */
  wraps?: boolean
}

/**
 * Fractions may be dropped: 2.5 is 2 in an integer dtype.
 * @throws DTypeError unless a tensor of this dtype can hold `value`: NaN, infinities and what is out of range.
 */
export function requireHolds(op: string, value: number, dtype: DType, options: HoldingOptions = {}): void {
  const range = ranges.get(dtype)
  if (!range || (value >= range[0] && value <= range[1])) return
  const { wraps = true } = options
  if (wraps && dtype === 'uint8' && Number.isInteger(value) && Math.abs(value) < 256) return
  throw new DTypeError(`${op}: ${value} cannot be stored in a tensor of ${dtype}`)
}

/** @throws ConfigError unless `value` is a function. */
export function requireFunction(op: string, name: string, value: unknown): void {
  if (typeof value !== 'function') {
    throw new ConfigError(`${op}: the ${name} must be a function, got ${show(value)}`)
  }
}
