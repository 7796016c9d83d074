/** A decoded picture: red, green and blue bytes, interleaved, row by row from the top left. */
export interface RgbImage {
  /** `height * width * 3` bytes. */
  readonly data: Uint8Array
  readonly width: number
  readonly height: number
}

export function isRgbImage(value: unknown): value is RgbImage {
  if (typeof value !== 'object' || value === null) return false
  const { data, width, height } = value as Partial<RgbImage>
  return data instanceof Uint8Array && typeof width === 'number' && typeof height === 'number'
}
