import { checkRange, rejectUnknownOptions } from '../options.ts'
import { randomRotate, randomSymmetricWarp, randomZoom } from './affine.ts'
import { cropPad } from './crop.ts'
import { randomDihedral, randomHorizontalFlip } from './flip.ts'
import { randomLighting } from './lighting.ts'
import type { PictureTransform, Transform } from './Transform.ts'

/** What is done to the training pictures, and what to those of validation and test. */
export interface TransformPair {
  train?: Transform | readonly Transform[]
  valid?: Transform | readonly Transform[]
}

/** The options are fastai's `get_transforms`. */
export interface GetTransformsOptions {
  /** Mirror left and right half of the time. Default true. */
  doFlip?: boolean
  /** With `doFlip`: mirror top and bottom as well and turn by quarters, all eight positions equally likely. Default false. */
  flipVert?: boolean
  /** Degrees, to either side. Default 10. */
  maxRotate?: number
  /** Greatest magnification. Default 1.1. */
  maxZoom?: number
  /** Brightness and contrast, 0 to 1. Default 0.2. */
  maxLighting?: number
  /** Perspective, 0 to 1. Default 0.2. */
  maxWarp?: number
  /** Probability of rotation, zoom and warp, each. Default 0.75. */
  pAffine?: number
  /** Probability of brightness and contrast, each. Default 0.75. */
  pLighting?: number
  /** More transforms of the training pictures, after these. */
  extraTransforms?: readonly PictureTransform[]
}

const NAMES = [
  'doFlip',
  'flipVert',
  'maxRotate',
  'maxZoom',
  'maxLighting',
  'maxWarp',
  'pAffine',
  'pLighting',
  'extraTransforms',
]

/**
 * fastai's tried set of augmentations: flip, rotation, zoom, symmetric warp, brightness and contrast, random crop. Rotation,
 * zoom and warp are one resampling, brightness and contrast one table. Validation pictures are only cut. The sizes come from
 * the `size` option of the data.
 */
export function getTransforms(options: GetTransformsOptions = {}): Required<TransformPair> {
  rejectUnknownOptions('getTransforms', options, NAMES)
  const { doFlip = true, flipVert = false, maxRotate = 10, maxZoom = 1.1, maxLighting = 0.2 } = options
  const { maxWarp = 0.2, pAffine = 0.75, pLighting = 0.75, extraTransforms = [] } = options
  checkRange('getTransforms', 'maxZoom', maxZoom, 1, 100)
  const train: PictureTransform[] = []
  if (maxRotate > 0) train.push(randomRotate({ degrees: maxRotate, p: pAffine }))
  if (maxZoom > 1) train.push(randomZoom({ scale: [1, maxZoom], p: pAffine }))
  if (maxWarp > 0) train.push(randomSymmetricWarp({ magnitude: maxWarp, p: pAffine }))
  train.push(cropPad(undefined, { row: [0, 1], column: [0, 1] }))
  if (doFlip) train.push(flipVert ? randomDihedral() : randomHorizontalFlip())
  if (maxLighting > 0) train.push(randomLighting({ maxLighting, p: pLighting }))
  return { train: [...train, ...extraTransforms], valid: [cropPad()] }
}
