import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import sharp, { type Sharp } from 'sharp'
import { onTestFinished } from 'vitest'
import { Picture } from '../../src/data/image/Picture.ts'
import type { RgbImage } from '../../src/data/image/RgbImage.ts'
import { RandomStream } from '../../src/data/random.ts'
import type { PictureTransform } from '../../src/data/transforms/Transform.ts'

/** A picture whose pixel at (x, y) is `colour(x, y)`. */
export function draw(width: number, height: number, colour: (x: number, y: number) => number[]): RgbImage {
  const data = new Uint8Array(width * height * 3)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set(colour(x, y), (y * width + x) * 3)
  }
  return { data, width, height }
}

/** The picture of fixtures/make_transforms.py: a ramp, a busy pattern, a chequerboard. */
export function testPicture(): RgbImage {
  return draw(61, 44, (x, y) => [x * 4, (x * y) % 256, ((Math.floor(x / 3) + Math.floor(y / 5)) % 2) * 255])
}

/** Soft shapes without hard edges, so that resampling filters differ little. */
export function smoothPicture(width: number, height: number): RgbImage {
  return draw(width, height, (x, y) => [
    128 + 100 * Math.sin((x / width) * 5 + 1),
    128 + 100 * Math.cos((y / height) * 4),
    128 + 90 * Math.sin((x / width) * 3 + (y / height) * 2),
  ])
}

/** A grey picture whose pixels count from 0. */
export function ramp(width: number, height = width): RgbImage {
  return draw(width, height, (x, y) => Array(3).fill(y * width + x))
}

/** One channel of a picture, row by row. */
export function channel({ data, width, height }: RgbImage, which = 0): number[][] {
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => data[(y * width + x) * 3 + which]!),
  )
}

export function toSharp({ data, width, height }: RgbImage): Sharp {
  return sharp(data, { raw: { width, height, channels: 3 } })
}

/** A folder that is gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'anneal-data-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Writes a picture; the ending of the name tells the format. Makes the folders it lies in. */
export async function writePicture(file: string, image: RgbImage): Promise<string> {
  mkdirSync(dirname(file), { recursive: true })
  await toSharp(image).toFile(file)
  return file
}

/** What a transform makes of a decoded picture. */
export async function applied(transform: PictureTransform, image: RgbImage, seed = 0): Promise<RgbImage> {
  const picture = Picture.of(image)
  transform.apply(picture, new RandomStream({ seed }))
  return picture.bytes()
}

/** Mean and largest difference of two pictures of one size. */
export function difference(a: RgbImage, b: RgbImage): { mean: number; max: number } {
  if (a.width !== b.width || a.height !== b.height) {
    throw new Error(`sizes differ: ${a.width}x${a.height} and ${b.width}x${b.height}`)
  }
  let sum = 0
  let max = 0
  for (let at = 0; at < a.data.length; at++) {
    const off = Math.abs(a.data[at]! - b.data[at]!)
    sum += off
    max = Math.max(max, off)
  }
  return { mean: sum / a.data.length, max }
}
