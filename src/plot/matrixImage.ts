import { encodePng } from './encodePng.ts'

type Color = readonly [number, number, number]

/** Colours of a scale of shades, from nothing to the largest: evenly spaced, red, green and blue in proportion between. */
export const shades = ['#f3f6fb', '#a9c6e8', '#4f8ac9', '#1f5aa6', '#0b3263']

const stops = shades.map((shade): Color => {
  const bits = Number.parseInt(shade.slice(1), 16)
  return [bits >> 16, (bits >> 8) & 255, bits & 255]
})

const white: Color = [255, 255, 255]

/** The shade of `part`, from 0 to 1; white for what is not finite. */
function shade(part: number): Color {
  if (!Number.isFinite(part)) return white
  const place = Math.max(0, Math.min(1, part)) * (stops.length - 1)
  const below = Math.min(Math.floor(place), stops.length - 2)
  const [from, to] = [stops[below]!, stops[below + 1]!]
  const mix = (i: 0 | 1 | 2) => Math.round(from[i] + (place - below) * (to[i] - from[i]))
  return [mix(0), mix(1), mix(2)]
}

/**
 * A square matrix as one PNG: a square of `side` pixels for each element, in the shade of its share of `largest`, the last
 * row and column of it white where `lines` are asked for.
 */
export function matrixImage(
  values: readonly ArrayLike<number>[],
  largest: number,
  { side, lines }: { side: number; lines: boolean },
): Buffer {
  const width = values.length * side
  const stride = width * 3
  const data = new Uint8Array(stride * width).fill(255)
  const filled = lines ? side - 1 : side
  values.forEach((row, i) => {
    const top = i * side * stride
    for (let j = 0; j < row.length; j++) {
      const color = shade(row[j]! / largest)
      for (let x = j * side; x < j * side + filled; x++) data.set(color, top + x * 3)
    }
    for (let y = 1; y < filled; y++) data.copyWithin(top + y * stride, top, top + stride)
  })
  return encodePng(data, width, width)
}
