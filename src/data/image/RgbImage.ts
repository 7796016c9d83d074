import type { Lane, Sampling } from '../../engine/pictures.ts'
import type { WorkPool } from '../WorkPool.ts'

/** A decoded picture: red, green and blue bytes, interleaved, row by row from the top left. */
export interface RgbImage {
  /** `height * width * 3` bytes. */
  readonly data: Uint8Array
  readonly width: number
  readonly height: number
}

/** A picture that is decoded, but not sampled yet: that is done to the whole batch, on the model's device. */
export interface SampledPicture {
  readonly sampling: Sampling
  /** What becomes of the values that bytes can have. */
  readonly table: Uint8Array | undefined
}

export function isSampledPicture(value: unknown): value is SampledPicture {
  return typeof value === 'object' && value !== null && 'sampling' in value && 'table' in value
}

/** Where the bytes of a batch's pictures may be put, so that they need not be copied when it is put together. */
export interface PictureRoom {
  /** For a picture of a batch whose pictures all take so many bytes. Undefined where there is no room: anywhere will do. */
  fixed(bytes: number): Uint8Array | undefined
  /** For a picture of a batch whose pictures differ. */
  loose(bytes: number): Uint8Array | undefined
  /** What decodes the pictures of the loader. */
  readonly decoding: Decoding
}

/** What decodes a loader's pictures: so many at a time. */
export interface Decoding {
  /** Of the engine. */
  readonly lane: Lane
  /** For what others decode. */
  readonly pool: WorkPool
}

/** A class index for each pixel of a picture, row by row from the top left. */
export interface ClassMask {
  /** `height * width` indices. */
  readonly classes: Uint8Array
  readonly width: number
  readonly height: number
}

export function isClassMask(value: unknown): value is ClassMask {
  if (typeof value !== 'object' || value === null) return false
  const { classes, width, height } = value as Partial<ClassMask>
  return classes instanceof Uint8Array && typeof width === 'number' && typeof height === 'number'
}

export function isRgbImage(value: unknown): value is RgbImage {
  if (typeof value !== 'object' || value === null) return false
  const { data, width, height } = value as Partial<RgbImage>
  return data instanceof Uint8Array && typeof width === 'number' && typeof height === 'number'
}
