import type { Matrix } from '../image/warp.ts'
import { checkRange, rejectUnknownOptions } from '../options.ts'
import { homography } from './homography.ts'
import type { PictureTransform } from './Transform.ts'

export interface RotateOptions {
  /** Turned by uniform(−degrees, degrees), counter-clockwise if positive. Default 10. */
  degrees?: number
  /** Probability. Default 0.75. */
  p?: number
}

/** Turns the picture about its middle, mirrored at the borders; fastai's `rotate`. */
export function randomRotate(options: RotateOptions = {}): PictureTransform {
  rejectUnknownOptions('randomRotate', options, ['degrees', 'p'])
  const { degrees = 10, p = 0.75 } = options
  checkRange('randomRotate', 'degrees', degrees, 0, 360)
  checkRange('randomRotate', 'p', p, 0, 1)
  return {
    kind: 'picture',
    name: 'randomRotate',
    parameters: { degrees, p },
    apply: (picture, random) => {
      const drawn = random.uniform(-degrees, degrees)
      if (random.chance(p)) picture.warp(rotation(drawn, picture.width, picture.height))
    },
  }
}

/** The warp that turns a picture counter-clockwise. Exported for tests and transforms of one's own. */
export function rotation(degrees: number, width: number, height: number): Matrix {
  const angle = (degrees * Math.PI) / 180
  // Coordinates run from -1 to 1 on both axes; a rotation must act on pixels, or it would shear a picture that is not square.
  const shape = width > 1 && height > 1 ? (height - 1) / (width - 1) : 1
  return [Math.cos(angle), -Math.sin(angle) * shape, 0, Math.sin(angle) / shape, Math.cos(angle), 0, 0, 0, 1]
}

export interface ZoomOptions {
  /** Range of the magnification. Default [1, 1.1]. */
  scale?: readonly [low: number, high: number]
  /** Probability. Default 0.75. */
  p?: number
}

/** Magnifies about a random place; fastai's `rand_zoom`. */
export function randomZoom(options: ZoomOptions = {}): PictureTransform {
  rejectUnknownOptions('randomZoom', options, ['scale', 'p'])
  const { scale = [1, 1.1], p = 0.75 } = options
  checkRange('randomZoom', 'scale[0]', scale[0], 0.01, 100)
  checkRange('randomZoom', 'scale[1]', scale[1], scale[0], 100)
  checkRange('randomZoom', 'p', p, 0, 1)
  return {
    kind: 'picture',
    name: 'randomZoom',
    parameters: { scale, p },
    apply: (picture, random) => {
      const drawn = random.uniform(scale[0], scale[1])
      const row = random.uniform()
      const column = random.uniform()
      if (random.chance(p)) picture.warp(zoom(drawn, row, column))
    },
  }
}

/** The warp that magnifies about the place (row, column), both from 0 to 1. */
export function zoom(scale: number, row = 0.5, column = 0.5): Matrix {
  const s = 1 / scale
  return [s, 0, (1 - s) * (2 * column - 1), 0, s, (1 - s) * (2 * row - 1), 0, 0, 1]
}

export interface SymmetricWarpOptions {
  /** Each of the four edges is stretched by uniform(−magnitude, magnitude). Default 0.2. */
  magnitude?: number
  /** Probability. Default 0.75. */
  p?: number
}

/** Looks at the picture from a little aside; fastai's `symmetric_warp`. */
export function randomSymmetricWarp(options: SymmetricWarpOptions = {}): PictureTransform {
  rejectUnknownOptions('randomSymmetricWarp', options, ['magnitude', 'p'])
  const { magnitude = 0.2, p = 0.75 } = options
  checkRange('randomSymmetricWarp', 'magnitude', magnitude, 0, 0.9)
  checkRange('randomSymmetricWarp', 'p', p, 0, 1)
  return {
    kind: 'picture',
    name: 'randomSymmetricWarp',
    parameters: { magnitude, p },
    apply: (picture, random) => {
      const draw = () => random.uniform(-magnitude, magnitude)
      const edges = { right: draw(), left: draw(), bottom: draw(), top: draw() }
      if (random.chance(p)) picture.warp(symmetricWarp(edges))
    },
  }
}

/** The warp that looks up the picture's edges stretched by these parts. */
export function symmetricWarp(edges: { right: number; left: number; bottom: number; top: number }): Matrix {
  const { right, left, bottom, top } = edges
  return homography([
    [-1 - top, -1 - left],
    [-1 - bottom, 1 + left],
    [1 + top, -1 - right],
    [1 + bottom, 1 + right],
  ])
}
