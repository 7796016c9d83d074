import { mkdir } from 'node:fs/promises'
import sharp from 'sharp'
import { ImageDataBunch } from '../../src/data/index.ts'

/** Pictures of plain colour, more or less: red ones and blue ones. */
export async function drawPictures(folder: string, { size = 32 } = {}): Promise<ImageDataBunch> {
  for (const part of ['train', 'valid']) {
    for (const [label, name] of ['blue', 'red'].entries()) {
      await mkdir(`${folder}/${part}/${name}`, { recursive: true })
      for (let i = 0; i < 8; i++) {
        const background = { r: label === 1 ? 200 + i : 20, g: 10 * i, b: label === 1 ? 30 : 190 + i }
        await sharp({ create: { width: size, height: size, channels: 3, background } })
          .png()
          .toFile(`${folder}/${part}/${name}/${i}.png`)
      }
    }
  }
  return ImageDataBunch.fromFolder(folder, { train: 'train', valid: 'valid', size, batchSize: 8, seed: 1 })
}
