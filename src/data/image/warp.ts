import type { Window } from './bytes.ts'
import type { RgbImage } from './RgbImage.ts'

/** A 3 × 3 matrix, row by row. */
export type Matrix = readonly [number, number, number, number, number, number, number, number, number]

export const identityMatrix: Matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1]

/** The matrix product a · b: `b` is applied to points first. */
export function multiplyMatrices(a: Matrix, b: Matrix): Matrix {
  const cell = (row: number, column: number) =>
    a[row * 3]! * b[column]! + a[row * 3 + 1]! * b[column + 3]! + a[row * 3 + 2]! * b[column + 6]!
  return [
    cell(0, 0),
    cell(0, 1),
    cell(0, 2),
    cell(1, 0),
    cell(1, 1),
    cell(1, 2),
    cell(2, 0),
    cell(2, 1),
    cell(2, 2),
  ]
}

// Places between pixels are known to 1/2048 of a pixel; sums of four bytes so weighted fit into 30 bits.
const FRACTION_BITS = 11
const ONE = 1 << FRACTION_BITS
const HALF = 1 << (2 * FRACTION_BITS - 1)

/** Reflects a position at the centres of the first and the last pixel, as often as need be. */
function reflect(position: number, last: number): number {
  if (position >= 0 && position <= last) return position
  if (last === 0) return 0
  const wrapped = Math.abs(position) % (2 * last)
  return wrapped > last ? 2 * last - wrapped : wrapped
}

/**
 * Looks up where each place of the result comes from: a homography in coordinates that run from −1 to 1 between the centres
 * of the outer pixels (x to the right, y down), sampled bilinearly or at the nearest pixel, reflected at the borders. Only `window` of the result,
 * which is as large as the source, is computed; the window may reach beyond it.
 */
export function warpBytes(
  image: RgbImage,
  matrix: Matrix,
  window: Window,
  sampling: 'bilinear' | 'nearest' = 'bilinear',
): RgbImage {
  const { data: source, width: sourceWidth, height: sourceHeight } = image
  const { left, top, width, height, flipX = false, flipY = false } = window
  const [a, b, c, d, e, f, g, h, i] = matrix
  const data = new Uint8Array(width * height * 3)
  const lastX = sourceWidth - 1
  const lastY = sourceHeight - 1
  const stepX = lastX > 0 ? 2 / lastX : 0
  const stepY = lastY > 0 ? 2 / lastY : 0
  const nearest = sampling === 'nearest'
  let to = 0
  for (let row = 0; row < height; row++) {
    const v = (top + (flipY ? height - 1 - row : row)) * stepY - 1
    for (let column = 0; column < width; column++, to += 3) {
      const u = (left + (flipX ? width - 1 - column : column)) * stepX - 1
      const w = g * u + h * v + i
      let x = reflect(((a * u + b * v + c) / w + 1) * 0.5 * lastX, lastX)
      let y = reflect(((d * u + e * v + f) / w + 1) * 0.5 * lastY, lastY)
      if (nearest) {
        x = Math.round(x)
        y = Math.round(y)
      }
      const x0 = x | 0
      const y0 = y | 0
      const fx = ((x - x0) * ONE + 0.5) | 0
      const fy = ((y - y0) * ONE + 0.5) | 0
      const at = (y0 * sourceWidth + x0) * 3
      const right = x0 < lastX ? 3 : 0
      const below = y0 < lastY ? sourceWidth * 3 : 0
      const corner = right + below
      const w11 = Math.imul(fx, fy)
      const w10 = Math.imul(ONE, fy) - w11
      const w01 = Math.imul(ONE, fx) - w11
      const w00 = ONE * ONE - w01 - w10 - w11
      for (let channel = 0; channel < 3; channel++) {
        const sum =
          Math.imul(source[at + channel]!, w00) +
          Math.imul(source[at + right + channel]!, w01) +
          Math.imul(source[at + below + channel]!, w10) +
          Math.imul(source[at + corner + channel]!, w11)
        data[to + channel] = (sum + HALF) >> (2 * FRACTION_BITS)
      }
    }
  }
  return { data, width, height }
}
