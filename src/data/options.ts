import { ConfigError } from '../engine/errors.ts'

/** Throws a ConfigError that lists the known names if `options` holds another one (a slip that plain JavaScript hides). */
export function rejectUnknownOptions(owner: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  throw new ConfigError(`${owner}: unknown option '${unknown.join("', '")}'; it takes ${known.join(', ')}`)
}

/** Throws a ConfigError unless `value` is a whole number of at least `least`. */
export function checkCount(owner: string, name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return
  throw new ConfigError(`${owner}: ${name} must be a whole number of at least ${least}, got ${String(value)}`)
}

/** Throws a ConfigError unless `value` is a finite number within [low, high]. */
export function checkRange(owner: string, name: string, value: number, low: number, high: number): void {
  if (typeof value === 'number' && value >= low && value <= high) return
  throw new ConfigError(`${owner}: ${name} must be a number from ${low} to ${high}, got ${String(value)}`)
}

/** Throws a ConfigError unless `value` is one of `choices`. */
export function checkChoice(owner: string, name: string, value: string, choices: readonly string[]): void {
  if (choices.includes(value)) return
  throw new ConfigError(
    `${owner}: ${name} must be one of '${choices.join("', '")}', got ${JSON.stringify(value)}`,
  )
}
