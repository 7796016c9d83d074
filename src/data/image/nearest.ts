import type { RgbImage } from './RgbImage.ts'

/** Resizes a picture by its nearest pixels, as Pillow's NEAREST: no value comes that was not there. */
export function nearestBytes(image: RgbImage, width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3)
  for (let y = 0, to = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * image.height) / height) * image.width
    for (let x = 0; x < width; x++, to += 3) {
      const from = (row + Math.floor(((x + 0.5) * image.width) / width)) * 3
      data[to] = image.data[from]!
      data[to + 1] = image.data[from + 1]!
      data[to + 2] = image.data[from + 2]!
    }
  }
  return { data, width, height }
}
