import { ConfigError } from '../engine/errors.ts'
import type { Module } from './Module.ts'

/** A number as Python writes it: 1e-05, not 0.00001. */
function pythonNumber(value: number): string {
  const size = Math.abs(value)
  if (Number.isInteger(value) || !Number.isFinite(value) || (size >= 1e-4 && size < 1e16))
    return String(value)
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
}

type ReprValue = number | string | boolean | null | readonly number[]

/** A value in PyTorch's notation: `(3, 3)`, `True`, `None`, `1e-05`; strings are taken as they are. */
export function reprValue(value: ReprValue): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return pythonNumber(value)
  if (typeof value === 'string') return value
  return value.length === 1 ? `(${pythonNumber(value[0]!)},)` : `(${value.map(pythonNumber).join(', ')})`
}

/** `a=1, b=True` in PyTorch's notation, for a module's `extraRepr`. */
export function reprFields(fields: Record<string, ReprValue>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${reprValue(value)}`)
    .join(', ')
}

/** The indented tree of a module, as `str(module)` gives it in PyTorch. */
export function moduleToString(module: Module, ancestors: readonly Module[] = []): string {
  if (ancestors.includes(module)) throw containsItself(module)
  const within = [...ancestors, module]
  const lines = module
    .namedChildren({ repeated: true })
    .map(([name, child]) => `  (${name}): ${moduleToString(child, within).replaceAll('\n', '\n  ')}`)
  const extra = module.extraRepr()
  const name = module.constructor.name
  if (lines.length === 0) return `${name}(${extra})`
  return [`${name}(${extra}`, ...lines, ')'].join('\n')
}

/** The error for a module that is reachable from itself. */
export function containsItself(module: Module): ConfigError {
  return new ConfigError(
    `${module.constructor.name} contains itself: a field of it or of a module inside it refers back to it. ` +
      'Keep such a reference in a #private field, which is not searched for modules.',
  )
}
