import { ConfigError } from '../engine/errors.ts'

/** Throws a ConfigError that lists the valid names if `options` holds any other. */
export function rejectUnknownOptions(owner: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    throw new ConfigError(
      `${owner}: unknown option ${unknown.join(', ')}; the options are ${known.join(', ')}`,
    )
  }
}

/** Throws a ConfigError unless `value` is a whole number of at least `least`. */
export function checkCount(owner: string, name: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new ConfigError(
      `${owner}: ${name} must be a whole number of at least ${least}, got ${String(value)}`,
    )
  }
}

/** Throws a ConfigError unless `value` is a finite number of at least 0. */
export function checkNotNegative(owner: string, name: string, value: number): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw new ConfigError(`${owner}: ${name} must be a finite number of at least 0, got ${String(value)}`)
  }
}
