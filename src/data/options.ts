import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'

export { checkCount, requireOptions as rejectUnknownOptions } from '../engine/check.ts'

/** Throws a ConfigError unless `value` is a finite number within [low, high]. */
export function checkRange(owner: string, name: string, value: number, low: number, high: number): void {
  if (typeof value === 'number' && value >= low && value <= high) return
  throw new ConfigError(`${owner}: ${name} must be a number from ${low} to ${high}, got ${show(value)}`)
}

/** Throws a ConfigError unless `value` is one of `choices`. */
export function checkChoice(owner: string, name: string, value: string, choices: readonly string[]): void {
  if (choices.includes(value)) return
  throw new ConfigError(`${owner}: ${name} must be one of '${choices.join("', '")}', got ${show(value)}`)
}
