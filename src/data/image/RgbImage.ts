import { show } from '../../engine/check.ts'
import { DataError } from '../../engine/errors.ts'
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

/**
 * What others hand over is read without further looks at its size: neighbouring memory would be taken for pixels.
 * @throws DataError unless sizes are whole numbers above 0 and there are three bytes for each pixel
 */
export function checkRgbImage(image: unknown, name: () => string): void {
  if (!isRgbImage(image)) {
    throw new DataError(
      `${name()}: a decoded picture is { data, width, height }, and its data a Uint8Array; got ${show(image)}`,
    )
  }
  const { data, width, height } = image
  const bytes = width * height * 3
  checkExtent(
    image,
    data.length === bytes,
    () =>
      `its data has ${data.length} bytes, but ${width}x${height} pixels take ${bytes}: red, green and blue of each, row by row. Leave an alpha channel out, and give the value of a grey pixel three times`,
    name,
  )
}

/**
 * Of a mask with too few classes the rest would be class 0, and with too many those of the next one.
 * @throws DataError unless sizes are whole numbers above 0 and there is one class for each pixel
 */
export function checkClassMask(mask: ClassMask, name: () => string): void {
  const { classes, width, height } = mask
  checkExtent(
    mask,
    classes.length === width * height,
    () =>
      `its mask has ${classes.length} classes, but ${width}x${height} pixels take ${width * height}: one of each, row by row`,
    name,
  )
}

function checkExtent(
  { width, height }: { width: number; height: number },
  fits: boolean,
  misfit: () => string,
  name: () => string,
): void {
  const whole = [width, height].every((side) => Number.isSafeInteger(side) && side > 0)
  if (whole && fits) return
  const what = whole
    ? misfit()
    : `its size is ${width}x${height}: width and height are whole numbers of pixels, at least 1`
  throw new DataError(`${name()}: ${what}`)
}
