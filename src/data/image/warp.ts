import type { Window } from './bytes.ts'
import type { PixelSize } from './decodePlan.ts'

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

/** Where a picture's steps after its decoding lead: sampled once, whatever their number. */
export interface Warp {
  /** Takes places of the result to those of the picture, both counted from the centre of the first pixel. */
  matrix: Matrix
  /** Of the result. */
  width: number
  height: number
  /** What becomes of the values that bytes can have. */
  table?: Uint8Array | undefined
}

/**
 * The warp of a whole picture by a homography in coordinates that run from −1 to 1 between the centres of the outer pixels (x to the
 * right, y down).
 */
export function warpOf(matrix: Matrix, { width, height }: PixelSize): Warp {
  const [lastX, lastY] = [width - 1, height - 1]
  const toUnits: Matrix = [lastX > 0 ? 2 / lastX : 0, 0, -1, 0, lastY > 0 ? 2 / lastY : 0, -1, 0, 0, 1]
  const toPixels: Matrix = [lastX / 2, 0, lastX / 2, 0, lastY / 2, lastY / 2, 0, 0, 1]
  return { matrix: multiplyMatrices(toPixels, multiplyMatrices(matrix, toUnits)), width, height }
}

/** The warp followed by a cut. */
export function cutWarp(warp: Warp, { left, top, width, height }: Window): Warp {
  return { ...warp, matrix: multiplyMatrices(warp.matrix, [1, 0, left, 0, 1, top, 0, 0, 1]), width, height }
}

/** The warp followed by mirroring. */
export function flipWarp(warp: Warp, horizontal: boolean): Warp {
  const { matrix, width, height } = warp
  const flip: Matrix = horizontal
    ? [-1, 0, width - 1, 0, 1, 0, 0, 0, 1]
    : [1, 0, 0, 0, -1, height - 1, 0, 0, 1]
  return { ...warp, matrix: multiplyMatrices(matrix, flip) }
}

/** The warp followed by an exchange of rows and columns. */
export function transposeWarp({ matrix, width, height, table }: Warp): Warp {
  return {
    matrix: multiplyMatrices(matrix, [0, 1, 0, 1, 0, 0, 0, 0, 1]),
    width: height,
    height: width,
    table,
  }
}

/** The warp followed by the replacement of values. */
export function lookupWarp(warp: Warp, table: Uint8Array): Warp {
  const before = warp.table
  return { ...warp, table: before ? before.map((value) => table[value]!) : table }
}

/** The part of a picture that a warp looks at. */
export function partOf({ matrix, width, height }: Warp, whole: PixelSize): Window {
  const corners = [
    [0, 0],
    [width - 1, 0],
    [0, height - 1],
    [width - 1, height - 1],
  ] as const
  const [a, b, c, d, e, f, g, h, i] = matrix
  const depths = corners.map(([x, y]) => g * x + h * y + i)
  // A homography keeps convexity, unless its horizon goes through the result.
  if (!depths.every((w) => w > 1e-9)) return { left: 0, top: 0, ...whole }
  const xs = corners.map(([x, y], at) => (a * x + b * y + c) / depths[at]!)
  const ys = corners.map(([x, y], at) => (d * x + e * y + f) / depths[at]!)
  const [left, right] = reached(Math.min(...xs), Math.max(...xs), whole.width - 1)
  const [top, bottom] = reached(Math.min(...ys), Math.max(...ys), whole.height - 1)
  return { left, top, width: right - left + 1, height: bottom - top + 1 }
}

/** The pixels from 0 to `last` that lie from `low` to `high`, reflected at the ends, and their neighbours. */
function reached(low: number, high: number, last: number): readonly [number, number] {
  if (!(low > -last && high < 2 * last)) return [0, last]
  const first = low < 0 ? 0 : high > last ? Math.min(low, 2 * last - high) : low
  const end = high > last ? last : low < 0 ? Math.max(high, -low) : high
  return [Math.max(0, Math.floor(first - 0.01)), Math.min(last, Math.ceil(end + 0.01))]
}
