import type { Matrix } from '../image/warp.ts'

type Point = readonly [x: number, y: number]

const CORNERS: readonly Point[] = [
  [-1, -1],
  [-1, 1],
  [1, -1],
  [1, 1],
]

/** The homography that takes the corners (−1, −1), (−1, 1), (1, −1), (1, 1) to the four points. */
export function homography(points: readonly [Point, Point, Point, Point]): Matrix {
  const rows: number[][] = []
  for (const [corner, [u, v]] of CORNERS.entries()) {
    const [x, y] = points[corner]!
    rows.push([u, v, 1, 0, 0, 0, -x * u, -x * v, x], [0, 0, 0, u, v, 1, -y * u, -y * v, y])
  }
  const [a, b, c, d, e, f, g, h] = solve(rows) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  return [a, b, c, d, e, f, g, h, 1]
}

/** Solves a linear system; each row ends with its right-hand side. Gauss's elimination with row exchange. */
function solve(rows: number[][]): number[] {
  const count = rows.length
  for (let column = 0; column < count; column++) {
    let best = column
    for (let row = column + 1; row < count; row++) {
      if (Math.abs(rows[row]![column]!) > Math.abs(rows[best]![column]!)) best = row
    }
    const pivot = rows[best]!
    rows[best] = rows[column]!
    rows[column] = pivot
    for (let row = 0; row < count; row++) {
      if (row === column) continue
      const factor = rows[row]![column]! / pivot[column]!
      for (let at = column; at <= count; at++) rows[row]![at]! -= factor * pivot[at]!
    }
  }
  return rows.map((row, at) => row[count]! / row[at]!)
}
