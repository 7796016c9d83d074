import { show } from '../engine/check.ts'
import { CheckpointError } from '../engine/errors.ts'
import { Tensor } from '../engine/index.ts'

/**
 * What a part of a checkpoint's state must be. The header of a file may have been made to deceive: whatever it says is compared with
 * what can be true before anything goes by it.
 */
export type StateCheck = (value: unknown, where: string) => void

/** @throws CheckpointError that names the part and what it is */
function refuse(where: string, value: unknown, expected: string): never {
  throw new CheckpointError(
    `the checkpoint is damaged, or of another fit: ${where} is ${value === undefined ? 'missing' : show(value)}, and must be ${expected}`,
  )
}

export function must(holds: (value: unknown) => boolean, expected: string): StateCheck {
  return (value, where) => {
    if (!holds(value)) refuse(where, value, expected)
  }
}

/** A number, NaN and infinite ones too. */
export const anyNumber = must((value) => typeof value === 'number', 'a number')
export const text = must((value) => typeof value === 'string', 'text')
export const truth = must((value) => typeof value === 'boolean', 'true or false')

/** A finite number from `low` to `high`. */
export function between(low: number, high: number): StateCheck {
  const within = (value: unknown) =>
    Number.isFinite(value) && (value as number) >= low && (value as number) <= high
  return must(within, `a number from ${low} to ${high}`)
}

/** A whole number from 0 to `most`. */
export function count(most = Number.MAX_SAFE_INTEGER): StateCheck {
  const holds = (value: unknown) =>
    Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most
  return must(
    holds,
    most === Number.MAX_SAFE_INTEGER ? 'a whole number of at least 0' : `a whole number from 0 to ${most}`,
  )
}

/** @param length default: any */
export function listOf(item: StateCheck, length?: number): StateCheck {
  return (value, where) => {
    if (!Array.isArray(value)) refuse(where, value, 'a list')
    if (length !== undefined && value.length !== length)
      refuse(where, `a list of ${value.length}`, `one of ${length}`)
    for (const [i, each] of value.entries()) item(each, `${where}[${i}]`)
  }
}

/** An object with entries under any names. */
export function mapOf(item: StateCheck): StateCheck {
  return (value, where) => {
    if (!isPlain(value)) refuse(where, value, 'an object')
    for (const [name, each] of Object.entries(value)) item(each, `${where}.${name}`)
  }
}

/** An object with these fields; it may have others, as those of a class that extends the one that asks. */
export function fields(checks: Readonly<Record<string, StateCheck>>): StateCheck {
  return (value, where) => {
    if (!isPlain(value)) refuse(where, value, 'an object')
    for (const [name, check] of Object.entries(checks)) {
      check(Object.hasOwn(value, name) ? value[name] : undefined, `${where}.${name}`)
    }
  }
}

/** An object with these fields and no others. */
export function exactly(checks: Readonly<Record<string, StateCheck>>): StateCheck {
  const known = fields(checks)
  return (value, where) => {
    known(value, where)
    const all = value as Record<string, unknown>
    const unknown = Object.keys(all).find((name) => !Object.hasOwn(checks, name))
    if (unknown !== undefined) refuse(`${where}.${unknown}`, all[unknown], 'left out')
  }
}

export function nullable(check: StateCheck): StateCheck {
  return (value, where) => {
    if (value !== null) check(value, where)
  }
}

/** May be missing. */
export function optional(check: StateCheck): StateCheck {
  return (value, where) => {
    if (value !== undefined) check(value, where)
  }
}

/** A typed array, such as Float64Array. */
export function bulk(type: abstract new (...args: never[]) => object): StateCheck {
  return must((value) => value instanceof type, `a ${type.name}`)
}

/** A tensor of this shape; of any, without. */
export function tensorOf(shape?: readonly number[]): StateCheck {
  const expected = shape ? `a tensor of shape [${shape.join(', ')}]` : 'a tensor'
  return must(
    (value) => value instanceof Tensor && (shape === undefined || value.shape.join() === shape.join()),
    expected,
  )
}

/**
 * A value laid out as `example`: the same fields, lists of the same lengths, and the same kinds of values in them. Fields that the
 * example has as undefined may be missing.
 */
export function like(example: unknown): StateCheck {
  if (Array.isArray(example)) {
    return (value, where) => {
      listOf(() => {}, example.length)(value, where)
      for (const [i, each] of example.entries()) like(each)((value as unknown[])[i], `${where}[${i}]`)
    }
  }
  if (isPlain(example)) {
    const known = Object.entries(example).filter(([, value]) => typeof value !== 'function')
    return exactly(
      Object.fromEntries(
        known.map(([name, value]) => [name, value === undefined ? () => {} : like(value)] as const),
      ),
    )
  }
  if (example === null) return () => {}
  const kind = typeof example
  return must((value) => typeof value === kind, `a ${kind}`)
}

/** What {@link SmoothedValue} gives as its state. */
export const smoothing = (most?: number) => fields({ average: anyNumber, count: count(most) })

function isPlain(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value) &&
    !(value instanceof Tensor)
  )
}
