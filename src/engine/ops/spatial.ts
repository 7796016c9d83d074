import { requireTensor, show } from '../check.ts'
import { ConfigError, DTypeError, ShapeError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'

/** One number for both directions, or [height, width]. */
export type Pair = number | readonly number[]

/** One number for both directions, or two. */
export function pair(value: Pair): readonly number[] {
  return typeof value === 'number' ? [value, value] : value
}

/** The number of a layer along one direction, as a pair whose other direction is of no effect. */
export function single(op: string, name: string, value: Pair, other: number): readonly number[] {
  if (typeof value === 'number') return [other, value]
  if (Array.isArray(value) && value.length === 1) return [other, value[0] as number]
  throw new ConfigError(`${op}: ${name} must be a number or a list of one, got ${show(value)}`)
}

/** Runs an op that takes `rank` dimensions, the first of which counts pictures, also on a single picture. */
export function batched(op: string, x: Tensor, rank: 3 | 4, run: (batch: Tensor) => Tensor): Tensor {
  requireTensor(op, 'input', x)
  if (x.ndim === rank) return run(x)
  if (x.ndim === rank - 1) return run(x.unsqueeze(0)).squeeze(0)
  const layout = rank === 4 ? '[N, C, H, W] or [C, H, W]' : '[N, C, L] or [C, L]'
  throw new ShapeError(`${op}: expected an input of ${layout}, got [${x.shape.join(', ')}]`)
}

/** Throws a ConfigError unless `value` is one of `choices`. */
export function checkChoice(op: string, name: string, value: unknown, choices: readonly string[]): void {
  if (choices.includes(value as string)) return
  throw new ConfigError(`${op}: ${name} must be ${choices.join(', ')}; got ${show(value)}`)
}

/** Runs an op on lines as on pictures of height one; its errors speak of the lines. */
export function asPicture(op: string, x: Tensor, weight: Tensor, run: () => Tensor): Tensor {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof ShapeError || error instanceof DTypeError)) throw error
    const message =
      `${op} of an input [${x.shape.join(', ')}] with a weight [${weight.shape.join(', ')}], ` +
      `done as on pictures of height 1: ${error.message.replace(/^conv\w*: /, '')}`
    throw error instanceof ShapeError ? new ShapeError(message) : new DTypeError(message)
  }
}
