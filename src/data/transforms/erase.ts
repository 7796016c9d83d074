import { ConfigError } from '../../engine/errors.ts'
import type { Picture } from '../image/Picture.ts'
import { checkCount, checkRange, rejectUnknownOptions } from '../options.ts'
import type { RandomStream } from '../random.ts'
import type { PictureTransform } from './Transform.ts'

export interface RandomErasingOptions {
  /** Probability. Default 0.5. */
  p?: number
  /** Range of the rectangle's area as a part of the picture's. Default [0.02, 0.33]. */
  scale?: readonly [low: number, high: number]
  /** Range of the rectangle's height divided by its width; drawn uniformly in the logarithm. Default [0.3, 3.3]. */
  ratio?: readonly [low: number, high: number]
  /** Bytes to put there: a grey, a colour, or 'random' for noise. Default 0. */
  value?: number | readonly [red: number, green: number, blue: number] | 'random'
}

/** Overwrites a rectangle of random area, shape and place; torchvision's `RandomErasing`, but on bytes, before normalising. */
export function randomErasing(options: RandomErasingOptions = {}): PictureTransform {
  rejectUnknownOptions('randomErasing', options, ['p', 'scale', 'ratio', 'value'])
  const { p = 0.5, scale = [0.02, 0.33], ratio = [0.3, 3.3], value = 0 } = options
  checkRange('randomErasing', 'p', p, 0, 1)
  checkRange('randomErasing', 'scale[1]', scale[1], 0, 1)
  checkRange('randomErasing', 'scale[0]', scale[0], 0, scale[1])
  if (!(ratio[0] > 0 && ratio[0] <= ratio[1])) {
    throw new ConfigError(
      `randomErasing: ratio is [low, high] with 0 < low <= high, got ${JSON.stringify(ratio)}`,
    )
  }
  const colour = typeof value === 'number' ? [value, value, value] : value
  if (colour !== 'random') for (const byte of colour) checkRange('randomErasing', 'value', byte, 0, 255)
  return {
    kind: 'picture',
    name: 'randomErasing',
    parameters: { p, scale, ratio, value },
    apply: (picture, random) => {
      if (!random.chance(p)) return
      const { width, height } = picture
      for (let attempt = 0; attempt < 10; attempt++) {
        const area = width * height * random.uniform(scale[0], scale[1])
        const shape = random.logUniform(ratio[0], ratio[1])
        const h = Math.round(Math.sqrt(area * shape))
        const w = Math.round(Math.sqrt(area / shape))
        if (!(h < height && w < width && h > 0 && w > 0)) continue
        const [top, left] = [random.integer(height - h + 1), random.integer(width - w + 1)]
        overwrite(picture, { left, top, right: left + w, bottom: top + h }, colour, random)
        return
      }
    },
  }
}

export interface CutoutOptions {
  /** Number of squares. Default 1. */
  holes?: number
  /** Side of the squares in pixels. Default 40. */
  length?: number
  /** Probability. Default 1. */
  p?: number
}

/** Blackens squares whose middles lie anywhere in the picture; fastai's `cutout` (DeVries & Taylor 2017). */
export function cutout(options: CutoutOptions = {}): PictureTransform {
  rejectUnknownOptions('cutout', options, ['holes', 'length', 'p'])
  const { holes = 1, length = 40, p = 1 } = options
  checkCount('cutout', 'holes', holes, 1)
  checkCount('cutout', 'length', length, 1)
  checkRange('cutout', 'p', p, 0, 1)
  return {
    kind: 'picture',
    name: 'cutout',
    parameters: { holes, length, p },
    apply: (picture, random) => {
      if (!random.chance(p)) return
      for (let hole = 0; hole < holes; hole++) {
        const [row, column] = [random.integer(picture.height), random.integer(picture.width)]
        const half = Math.floor(length / 2)
        const [top, left] = [Math.max(0, row - half), Math.max(0, column - half)]
        const [bottom, right] = [
          Math.min(picture.height, row - half + length),
          Math.min(picture.width, column - half + length),
        ]
        overwrite(picture, { left, top, right, bottom }, [0, 0, 0], random)
      }
    },
  }
}

interface Edges {
  left: number
  top: number
  right: number
  bottom: number
}

function overwrite(
  picture: Picture,
  { left, top, right, bottom }: Edges,
  colour: readonly number[] | 'random',
  random: RandomStream,
): void {
  // What is random is drawn now: the bytes come later, and a mask does not ask for them.
  const count = (right - left) * (bottom - top) * 3
  const noise =
    colour === 'random' ? Uint8Array.from({ length: count }, () => random.integer(256)) : undefined
  picture.map((image) => {
    let drawn = 0
    for (let y = top; y < bottom; y++) {
      const row = y * image.width * 3
      for (let at = row + left * 3; at < row + right * 3; at++) {
        image.data[at] = noise ? noise[drawn++]! : (colour[(at - row) % 3] as number)
      }
    }
    return image
  })
}
