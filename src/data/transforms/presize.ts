import { rejectUnknownOptions } from '../options.ts'
import { centerCrop } from './crop.ts'
import type { TransformPair } from './getTransforms.ts'
import { type RandomResizedCropOptions, randomResizedCrop } from './randomResizedCrop.ts'
import { resize } from './resize.ts'
import { sizePair } from './size.ts'
import type { Size } from './Transform.ts'

export interface PresizeOptions extends RandomResizedCropOptions {
  /** Validation pictures are resized to so much more than `size` before their middle is cut out. Default 32. */
  validExtraSize?: number
}

/** A random window for training, the middle of a slightly larger picture for validation; fastai's `presize`. */
export function presize(size: Size, options: PresizeOptions = {}): Required<TransformPair> {
  rejectUnknownOptions('presize', options, ['validExtraSize', 'scale', 'ratio'])
  const { validExtraSize = 32, ...window } = options
  const [height, width] = sizePair('presize', size)
  return {
    train: [randomResizedCrop(size, window)],
    valid: [resize(Math.max(height, width) + validExtraSize), centerCrop(size)],
  }
}
