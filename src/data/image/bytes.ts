import { show } from '../../engine/check.ts'
import { ConfigError } from '../../engine/errors.ts'
import type { RgbImage } from './RgbImage.ts'

/** A window of a picture, mirrored or not. */
export interface Window {
  left: number
  top: number
  width: number
  height: number
  /** Mirror left and right, after cropping. */
  flipX?: boolean
  /** Mirror top and bottom, after cropping. */
  flipY?: boolean
}

/** What lies outside a picture: one colour, its last row or column, or its mirror image without or with the last row. */
export type PaddingMode = 'constant' | 'edge' | 'reflect' | 'symmetric'

export const paddingModes: readonly PaddingMode[] = ['constant', 'edge', 'reflect', 'symmetric']

/** Rows and columns to add on each side. */
export interface Padding {
  left: number
  top: number
  right: number
  bottom: number
}

/** Cuts a window out of a picture; the window must lie inside. */
export function cropBytes(image: RgbImage, window: Window): RgbImage {
  const { left, top, width, height, flipX = false, flipY = false } = window
  const rowBytes = width * 3
  const data = new Uint8Array(height * rowBytes)
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * image.width + left) * 3
    const target = (flipY ? height - 1 - y : y) * rowBytes
    if (flipX) copyMirrored(image.data, start, data, target, width)
    else data.set(image.data.subarray(start, start + rowBytes), target)
  }
  return { data, width, height }
}

function copyMirrored(
  source: Uint8Array,
  start: number,
  out: Uint8Array,
  target: number,
  width: number,
): void {
  let to = target + (width - 1) * 3
  for (let from = start; from < start + width * 3; from += 3) {
    out[to] = source[from]!
    out[to + 1] = source[from + 1]!
    out[to + 2] = source[from + 2]!
    to -= 3
  }
}

/**
 * The row or column inside a picture of `size` that stands for `position`, which may lie outside: torchvision's and
 * NumPy's rules for 'edge', 'reflect' (… 2 1 | 0 1 2 …) and 'symmetric' (… 1 0 | 0 1 …).
 */
export function insidePosition(
  position: number,
  size: number,
  mode: Exclude<PaddingMode, 'constant'>,
): number {
  if (mode === 'edge' || size === 1) return Math.min(Math.max(position, 0), size - 1)
  const period = mode === 'reflect' ? 2 * (size - 1) : 2 * size
  const wrapped = ((position % period) + period) % period
  return wrapped < size ? wrapped : period - wrapped - (mode === 'reflect' ? 0 : 1)
}

/** Adds rows and columns around a picture. `fill` is the colour of the 'constant' mode. */
export function padBytes(
  image: RgbImage,
  { left, top, right, bottom }: Padding,
  mode: PaddingMode,
  fill: readonly [number, number, number],
): RgbImage {
  const width = image.width + left + right
  const height = image.height + top + bottom
  const data = new Uint8Array(width * height * 3)
  if (mode === 'constant') {
    if (fill.some((channel) => channel !== 0)) {
      for (let at = 0; at < data.length; at++) data[at] = fill[at % 3]!
    }
    for (let y = 0; y < image.height; y++) {
      const start = y * image.width * 3
      data.set(image.data.subarray(start, start + image.width * 3), ((y + top) * width + left) * 3)
    }
    return { data, width, height }
  }
  for (let y = 0; y < height; y++) {
    const sourceRow = insidePosition(y - top, image.height, mode) * image.width * 3
    const row = y * width * 3
    data.set(image.data.subarray(sourceRow, sourceRow + image.width * 3), row + left * 3)
    for (let x = 0; x < width; x = x === left - 1 ? left + image.width : x + 1) {
      const from = sourceRow + insidePosition(x - left, image.width, mode) * 3
      data.set(image.data.subarray(from, from + 3), row + x * 3)
    }
  }
  return { data, width, height }
}

/** Exchanges rows and columns. */
export function transposeBytes(image: RgbImage): RgbImage {
  const { width, height } = image
  const data = new Uint8Array(image.data.length)
  let from = 0
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++, from += 3) {
      const to = (x * height + y) * 3
      data[to] = image.data[from]!
      data[to + 1] = image.data[from + 1]!
      data[to + 2] = image.data[from + 2]!
    }
  }
  return { data, width: height, height: width }
}

/** @throws ConfigError unless a table has an entry for each value of a byte */
export function checkTable(table: Uint8Array): void {
  if (table instanceof Uint8Array && table.length === 256) return
  const got = table instanceof Uint8Array ? table.length : show(table)
  throw new ConfigError(
    `a lookup table is a Uint8Array of 256 entries, one for each value of a byte; got ${got}`,
  )
}

/** Replaces every byte by its entry in a table of 256: brightness and contrast in one pass. Writes to `out` if given. */
export function lookupBytes(image: RgbImage, table: Uint8Array, out?: Uint8Array): RgbImage {
  checkTable(table)
  const data = out ?? new Uint8Array(image.data.length)
  for (let at = 0; at < data.length; at++) data[at] = table[image.data[at]!]!
  return { data, width: image.width, height: image.height }
}
