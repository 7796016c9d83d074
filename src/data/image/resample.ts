import type { RgbImage } from './RgbImage.ts'

// Weights are whole numbers with this many fractional bits, as in Pillow, so that results equal its to the bit.
const PRECISION_BITS = 22
const HALF = 1 << (PRECISION_BITS - 1)

/** For each place of the result: the first place of the source that counts, and the weights from there on. */
interface Taps {
  first: Int32Array
  count: Int32Array
  weights: Int32Array
  stride: number
}

/**
 * The triangle filter ("bilinear with antialias"): its support grows with the reduction, and its weights are normalised at
 * the edges. This is Pillow's BILINEAR, which torchvision's transforms use on pictures.
 */
function bilinearTaps(source: number, target: number): Taps {
  const scale = source / target
  const support = Math.max(scale, 1)
  const stride = Math.ceil(support) * 2 + 1
  const first = new Int32Array(target)
  const count = new Int32Array(target)
  const weights = new Int32Array(target * stride)
  for (let place = 0; place < target; place++) {
    const centre = (place + 0.5) * scale
    const low = Math.max(Math.trunc(centre - support + 0.5), 0)
    const high = Math.min(Math.trunc(centre + support + 0.5), source)
    const raw = Array.from({ length: high - low }, (_, tap) =>
      Math.max(0, 1 - Math.abs((tap + low - centre + 0.5) / support)),
    )
    const sum = raw.reduce((total, weight) => total + weight, 0)
    first[place] = low
    count[place] = high - low
    raw.forEach((weight, tap) => {
      weights[place * stride + tap] = Math.trunc(0.5 + (weight / sum) * 2 ** PRECISION_BITS)
    })
  }
  return { first, count, weights, stride }
}

function resizeColumns(image: RgbImage, width: number): RgbImage {
  const { first, count, weights, stride } = bilinearTaps(image.width, width)
  const { data: source, height } = image
  const data = new Uint8Array(width * height * 3)
  let to = 0
  for (let y = 0; y < height; y++) {
    const row = y * image.width * 3
    for (let x = 0; x < width; x++, to += 3) {
      let red = HALF
      let green = HALF
      let blue = HALF
      let from = row + first[x]! * 3
      const end = x * stride + count[x]!
      for (let tap = x * stride; tap < end; tap++, from += 3) {
        const weight = weights[tap]!
        red = (red + Math.imul(source[from]!, weight)) | 0
        green = (green + Math.imul(source[from + 1]!, weight)) | 0
        blue = (blue + Math.imul(source[from + 2]!, weight)) | 0
      }
      data[to] = red >> PRECISION_BITS
      data[to + 1] = green >> PRECISION_BITS
      data[to + 2] = blue >> PRECISION_BITS
    }
  }
  return { data, width, height }
}

function resizeRows(image: RgbImage, height: number): RgbImage {
  const { first, count, weights, stride } = bilinearTaps(image.height, height)
  const { data: source, width } = image
  const rowBytes = width * 3
  const data = new Uint8Array(height * rowBytes)
  const sums = new Int32Array(rowBytes)
  for (let y = 0; y < height; y++) {
    sums.fill(HALF)
    const last = count[y]! - 1
    for (let tap = 0; tap < last; tap++) {
      const weight = weights[y * stride + tap]!
      const from = (first[y]! + tap) * rowBytes
      for (let at = 0; at < rowBytes; at++) sums[at] = sums[at]! + Math.imul(source[from + at]!, weight)
    }
    const weight = weights[y * stride + last]!
    const from = (first[y]! + last) * rowBytes
    const to = y * rowBytes
    for (let at = 0; at < rowBytes; at++) {
      data[to + at] = (sums[at]! + Math.imul(source[from + at]!, weight)) >> PRECISION_BITS
    }
  }
  return { data, width, height }
}

/**
 * Resizes a picture with Pillow's bilinear filter, to the bit: columns first, then rows, rounded to bytes in between. For
 * pictures that are decoded already, and for enlarging, where libvips places the picture half a pixel off.
 */
export function resizeBytes(image: RgbImage, width: number, height: number): RgbImage {
  const columns = width === image.width ? image : resizeColumns(image, width)
  return height === image.height ? columns : resizeRows(columns, height)
}

/** Resizes a picture by its nearest pixels, as Pillow's NEAREST: no value comes that was not there. */
export function nearestBytes(image: RgbImage, width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3)
  for (let y = 0, to = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * image.height) / height) * image.width
    for (let x = 0; x < width; x++, to += 3) {
      const from = (row + Math.floor(((x + 0.5) * image.width) / width)) * 3
      data[to] = image.data[from]!
      data[to + 1] = image.data[from + 1]!
      data[to + 2] = image.data[from + 2]!
    }
  }
  return { data, width, height }
}
