import { ConfigError } from '../../engine/errors.ts'
import type { Size } from './Transform.ts'

/** [height, width] of a size. Throws a ConfigError unless both are whole numbers of at least 1. */
export function sizePair(owner: string, size: Size): readonly [height: number, width: number] {
  const pair = typeof size === 'number' ? ([size, size] as const) : size
  if (Array.isArray(pair) && pair.length === 2 && pair.every((side) => Number.isInteger(side) && side >= 1)) {
    return [pair[0], pair[1]]
  }
  throw new ConfigError(
    `${owner}: a size is a whole number of at least 1, or [height, width]; got ${JSON.stringify(size)}`,
  )
}

/** Python's `round`: halves go to the even neighbour. torchvision's crops use it. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  if (value - floor !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}
