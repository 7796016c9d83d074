import type { Interpolation } from '../image/Picture.ts'
import { checkChoice, rejectUnknownOptions } from '../options.ts'
import { markKnown } from './known.ts'
import { sizePair } from './size.ts'
import type { PictureTransform, Size } from './Transform.ts'

export interface ResizeOptions {
  /**
   * 'bicubic' is what some pretrained weights have seen (`pretrainedWeights('efficientnetB0').interpolation`): on bytes that are
   * decoded it gives Pillow's to the bit, but takes some 40 ms for a photo, outside the decoding threads. Default 'bilinear'.
   */
  interpolation?: Interpolation
}

/**
 * Resizes the shorter side to `size`, keeping the aspect ratio, or to exactly `[height, width]`; torchvision's `Resize`,
 * bilinear (or bicubic) with antialias.
 * @throws ConfigError for a size or an interpolation that is none
 */
export function resize(size: Size, options: ResizeOptions = {}): PictureTransform {
  rejectUnknownOptions('resize', options, ['interpolation'])
  const { interpolation = 'bilinear' } = options
  checkChoice('resize', 'interpolation', interpolation, ['bilinear', 'bicubic'])
  const [height, width] = sizePair('resize', size)
  const shorter = typeof size === 'number'
  return markKnown({
    kind: 'picture',
    name: 'resize',
    parameters: { size, ...(interpolation !== 'bilinear' && { interpolation }) },
    deterministic: true,
    outputSize: shorter ? undefined : [height, width],
    apply: (picture) => {
      const to = (width: number, height: number) => picture.resize(width, height, interpolation)
      if (!shorter) to(width, height)
      else if (picture.width <= picture.height) {
        to(width, Math.max(1, Math.trunc((width * picture.height) / picture.width)))
      } else to(Math.max(1, Math.trunc((height * picture.width) / picture.height)), height)
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
