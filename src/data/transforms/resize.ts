import { markKnown } from './known.ts'
import { sizePair } from './size.ts'
import type { PictureTransform, Size } from './Transform.ts'

/**
 * Resizes the shorter side to `size`, keeping the aspect ratio, or to exactly `[height, width]`; torchvision's `Resize`,
 * bilinear with antialias.
 */
export function resize(size: Size): PictureTransform {
  const [height, width] = sizePair('resize', size)
  const shorter = typeof size === 'number'
  return markKnown({
    kind: 'picture',
    name: 'resize',
    parameters: { size },
    deterministic: true,
    outputSize: shorter ? undefined : [height, width],
    apply: (picture) => {
      if (!shorter) picture.resize(width, height)
      else if (picture.width <= picture.height) {
        picture.resize(width, Math.max(1, Math.trunc((width * picture.height) / picture.width)))
      } else picture.resize(Math.max(1, Math.trunc((height * picture.width) / picture.height)), height)
    },
  })
}

/** Resizes, keeping the aspect ratio, until the picture just covers `size`; fastai's first half of "crop". */
export function cover(size: Size): PictureTransform {
  return scaled('cover', size, Math.max)
}

/** Resizes, keeping the aspect ratio, until the picture just fits into `size`; fastai's first half of "pad". */
export function contain(size: Size): PictureTransform {
  return scaled('contain', size, Math.min)
}

function scaled(name: string, size: Size, choose: (a: number, b: number) => number): PictureTransform {
  const [height, width] = sizePair(name, size)
  return markKnown({
    kind: 'picture',
    name,
    parameters: { size },
    deterministic: true,
    apply: (picture) => {
      const scale = choose(height / picture.height, width / picture.width)
      picture.resize(
        Math.max(1, Math.round(picture.width * scale)),
        Math.max(1, Math.round(picture.height * scale)),
      )
    },
  })
}
