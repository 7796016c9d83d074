import { ShapeError } from '../../engine/errors.ts'

/**
 * How often a picture of `size` pixels is halved until 4 are left.
 * @throws ShapeError that names the nearest sizes that can be
 */
export function halvingsTo4(owner: string, size: number): number {
  const halvings = Math.log2(size / 4)
  if (Number.isInteger(halvings) && halvings >= 1) return halvings
  const known = Number.isFinite(size) && size > 8
  const below = known ? 2 ** Math.floor(Math.log2(size)) : 8
  const advice = known ? `${below} or ${2 * below}` : '8, 16, 32, 64 or 128'
  throw new ShapeError(
    `${owner}: pictures of ${size} pixels cannot be halved down to 4 by 4; choose a size of ${advice}, ` +
      'and let the data resize to it (its option size)',
  )
}
