import { describe, expect, it } from 'vitest'
import { assemblePictures } from '../../src/data/collatePictures.ts'
import { ImageDataset } from '../../src/data/image/ImageDataset.ts'
import { Picture } from '../../src/data/image/Picture.ts'
import type { RgbImage } from '../../src/data/image/RgbImage.ts'
import { pictureItem } from '../../src/data/pictureItem.ts'
import { rotation } from '../../src/data/transforms/affine.ts'
import { toPipeline } from '../../src/data/transforms/compose.ts'
import { ConfigError, DataError, ShapeError } from '../../src/engine/errors.ts'
import { ramp } from './pictures.ts'

describe('decoded pictures whose bytes do not fit their size', () => {
  const pixels = new Uint8Array(64).fill(9)
  const wrong: [string, object, RegExp][] = [
    [
      'red, green, blue and alpha',
      { data: new Uint8Array(16), width: 2, height: 2 },
      /16 bytes, but 2x2 pixels take 12/,
    ],
    ['grey', { data: pixels.subarray(8, 12), width: 2, height: 2 }, /4 bytes, but 2x2 pixels take 12/],
    ['nothing', { data: new Uint8Array(0), width: 0, height: 3 }, /its size is 0x3/],
    ['half a row', { data: new Uint8Array(9), width: 2, height: 1.5 }, /its size is 2x1.5/],
    ['no bytes', { data: Float32Array.of(1, 2, 3), width: 1, height: 1 }, /a Uint8Array/],
  ]

  it.each(wrong)('%s', async (_, given, message) => {
    const image = given as RgbImage
    const refused = async (work: () => unknown, name: string) => {
      const error = await (async () => work())().catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(DataError)
      expect((error as Error).message).toMatch(message)
      expect((error as Error).message).toContain(name)
    }
    await refused(() => Picture.of(image), 'the picture')
    await refused(() => Picture.openMask(image, 'mask.png'), 'mask.png')
    await refused(() => pictureItem(toPipeline([]), image), 'the picture')
    const parts = { files: ['a.jpg', 'b.jpg'], labels: [0, 0], classes: ['a'] }
    await refused(() => new ImageDataset({ ...parts, images: [ramp(2), image] }), 'b.jpg')
    // Side by side in one buffer, where a batch is taken to have been put.
    const described = (position: number) => `item ${position}`
    if (image.data instanceof Uint8Array)
      await refused(() => assemblePictures([ramp(2), image], described), 'item 1')
  })

  it('what comes back from map()', async () => {
    const map = (change: (image: RgbImage) => RgbImage) => Picture.of(ramp(2)).map(change).bytes()
    await expect(map((image) => ({ ...image, data: image.data.subarray(3) }))).rejects.toThrow(ShapeError)
    await expect(map((image) => ({ ...image, width: 3 }))).rejects.toThrow(/must keep the size/)
  })
})

it('a table of fewer or more than 256 entries is refused, before a warp and after one', () => {
  for (const length of [0, 100, 255, 257]) {
    const table = new Uint8Array(length)
    expect(() => Picture.of(ramp(4)).lookup(table)).toThrow(ConfigError)
    expect(() =>
      Picture.of(ramp(4))
        .warp(rotation(10, 4, 4))
        .lookup(table),
    ).toThrow(/256 entries.*got/)
  }
  const list = Array(256).fill(0) as unknown as Uint8Array
  expect(() => Picture.of(ramp(4)).lookup(list)).toThrow(ConfigError)
})
