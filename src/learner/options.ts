import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'

export { checkCount, requireOptions as rejectUnknownOptions } from '../engine/check.ts'

/** Throws a ConfigError unless `value` is a finite number of at least 0. */
export function checkNotNegative(owner: string, name: string, value: number): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw new ConfigError(`${owner}: ${name} must be a finite number of at least 0, got ${show(value)}`)
  }
}
