import { checkRange, rejectUnknownOptions } from '../options.ts'
import { homography } from './homography.ts'
import type { PictureTransform } from './Transform.ts'

export interface PerspectiveOptions {
  /** How far the corners move inwards, as a part of half the side. Default 0.5. */
  distortionScale?: number
  /** Probability. Default 0.5. */
  p?: number
}

/**
 * Looks at the picture from aside: each corner moves inwards by uniform(0, distortionScale) of half the side. torchvision's
 * `RandomPerspective`; the borders are mirrored instead of black.
 */
export function randomPerspective(options: PerspectiveOptions = {}): PictureTransform {
  rejectUnknownOptions('randomPerspective', options, ['distortionScale', 'p'])
  const { distortionScale = 0.5, p = 0.5 } = options
  checkRange('randomPerspective', 'distortionScale', distortionScale, 0, 0.99)
  checkRange('randomPerspective', 'p', p, 0, 1)
  return {
    kind: 'picture',
    name: 'randomPerspective',
    parameters: { distortionScale, p },
    apply: (picture, random) => {
      const draw = () => random.uniform(0, distortionScale)
      const inwards = Array.from({ length: 4 }, () => [draw(), draw()] as const)
      if (!random.chance(p)) return
      const [a, b, c, d] = inwards as [Point, Point, Point, Point]
      // The corners of the picture come to lie there, so the warp looks the other way.
      picture.warp(
        inverse(
          homography([
            [-1 + a[0], -1 + a[1]],
            [-1 + b[0], 1 - b[1]],
            [1 - c[0], -1 + c[1]],
            [1 - d[0], 1 - d[1]],
          ]),
        ),
      )
    },
  }
}

type Point = readonly [number, number]
type Nine = Parameters<import('../image/Picture.ts').Picture['warp']>[0]

/** The inverse of a homography, up to a factor, which does not matter. */
export function inverse([a, b, c, d, e, f, g, h, i]: Nine): Nine {
  return [
    e * i - f * h,
    c * h - b * i,
    b * f - c * e,
    f * g - d * i,
    a * i - c * g,
    c * d - a * f,
    d * h - e * g,
    b * g - a * h,
    a * e - b * d,
  ]
}
