/** A decoded picture: red, green and blue bytes, interleaved, row by row from the top left. */
export interface RgbImage {
  /** `height * width * 3` bytes. */
  readonly data: Uint8Array
  readonly width: number
  readonly height: number
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
