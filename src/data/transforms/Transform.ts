import type { Tensor } from '../../engine/index.ts'
import type { Picture } from '../image/Picture.ts'
import type { RandomStream } from '../random.ts'

/** Height and width, or one number for both. The order is torchvision's and fastai's. */
export type Size = number | readonly [height: number, width: number]

/** Changes one picture. What is geometry is only noted down, and done in one pass when the picture is decoded. */
export interface PictureTransform {
  readonly kind: 'picture'
  readonly name: string
  /** What it was made with, defaults filled in. */
  readonly parameters: Readonly<Record<string, unknown>>
  /** All that is random must be drawn from `random`. */
  apply(picture: Picture, random: RandomStream): void
  /** True if it draws nothing: what comes out can be kept for later epochs. */
  readonly deterministic?: boolean
  /** Height and width of what comes out, for transforms that fix them. */
  readonly outputSize?: readonly [height: number, width: number] | undefined
  /** For transforms that take their size from the data's `size` option: the same transform at that size. */
  withSize?(size: Size): PictureTransform
}

/** Changes a whole batch of pictures, `[N, 3, H, W]`, on the device. */
export interface BatchTransform {
  readonly kind: 'batch'
  readonly name: string
  readonly parameters: Readonly<Record<string, unknown>>
  apply(x: Tensor, random: RandomStream): Tensor
}

/** Transforms in a row: those of single pictures, then those of batches. `compose` makes it. */
export interface Pipeline {
  readonly kind: 'pipeline'
  readonly name: 'compose'
  readonly parameters: Readonly<Record<string, unknown>>
  readonly pictureSteps: readonly PictureTransform[]
  readonly batchSteps: readonly BatchTransform[]
}

export type Transform = PictureTransform | BatchTransform | Pipeline
