import { ConfigError } from '../../engine/errors.ts'
import type { PixelSize } from '../image/decodePlan.ts'
import { rejectUnknownOptions } from '../options.ts'
import type { RandomStream } from '../random.ts'
import { roundHalfEven, sizePair } from './size.ts'
import type { PictureTransform, Size } from './Transform.ts'

export interface RandomResizedCropOptions {
  /** Range of the window's area as a part of the picture's. Default [0.08, 1]. */
  scale?: readonly [low: number, high: number]
  /** Range of the window's width divided by its height; drawn uniformly in the logarithm. Default [3 / 4, 4 / 3]. */
  ratio?: readonly [low: number, high: number]
}

const ATTEMPTS = 10

/**
 * Cuts out a window of random area, shape and place and resizes it to `size`; torchvision's `RandomResizedCrop`. The
 * cutting and the resizing are part of the decoding.
 */
export function randomResizedCrop(size: Size, options: RandomResizedCropOptions = {}): PictureTransform {
  rejectUnknownOptions('randomResizedCrop', options, ['scale', 'ratio'])
  const { scale = [0.08, 1], ratio = [3 / 4, 4 / 3] } = options
  const [height, width] = sizePair('randomResizedCrop', size)
  checkInterval('scale', scale, 1)
  checkInterval('ratio', ratio, Number.POSITIVE_INFINITY)
  return {
    kind: 'picture',
    name: 'randomResizedCrop',
    parameters: { size, scale, ratio },
    outputSize: [height, width],
    apply: (picture, random) => {
      const window = drawWindow(picture, scale, ratio, random)
      picture.crop(window.left, window.top, window.width, window.height).resize(width, height)
    },
  }
}

/** Ten attempts at a window that lies inside, then the largest one in the middle that keeps the ratio in bounds. */
function drawWindow(
  { width, height }: PixelSize,
  scale: readonly [number, number],
  ratio: readonly [number, number],
  random: RandomStream,
) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const area = width * height * random.uniform(scale[0], scale[1])
    const shape = random.logUniform(ratio[0], ratio[1])
    const w = roundHalfEven(Math.sqrt(area * shape))
    const h = roundHalfEven(Math.sqrt(area / shape))
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const top = random.integer(height - h + 1)
      const left = random.integer(width - w + 1)
      return { left, top, width: w, height: h }
    }
  }
  const shape = width / height
  const w = shape > ratio[1] ? roundHalfEven(height * ratio[1]) : width
  const h = shape < ratio[0] ? roundHalfEven(width / ratio[0]) : height
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h }
}

function checkInterval(name: string, [low, high]: readonly [number, number], most: number): void {
  if (low > 0 && low <= high && high <= most) return
  throw new ConfigError(
    `randomResizedCrop: ${name} is [low, high] with 0 < low <= high${Number.isFinite(most) ? ` <= ${most}` : ''}, got [${low}, ${high}]`,
  )
}
