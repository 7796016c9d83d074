import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { DataLoader } from '../../src/data/DataLoader.ts'
import { ImageDataset, type ImageDatasetParts } from '../../src/data/image/ImageDataset.ts'
import { Picture } from '../../src/data/image/Picture.ts'
import * as T from '../../src/data/transforms/index.ts'
import { ShapeError } from '../../src/engine/errors.ts'
import { draw, temporaryFolder, writePicture } from './pictures.ts'

/** Pictures of which all but `files[1]` come through. */
async function outcomes(parts: Omit<ImageDatasetParts, 'labels' | 'classes'>) {
  const labels = parts.files.map(() => 0)
  const dataset = new ImageDataset({ ...parts, labels, classes: ['a'] })
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const loader = new DataLoader(dataset, { batchSize: 3, onError: 'skip' })
  const shapes: number[][] = []
  for await (const { x } of loader) shapes.push([...x.shape])
  warned.mockRestore()
  await expect(new DataLoader(dataset, { batchSize: 3 }).first()).rejects.toThrow(parts.files[1] as string)
  return { shapes, skipped: loader.skipped }
}

it('a picture that would become far too long is left out, or the error names it', async () => {
  const folder = temporaryFolder()
  const good = draw(8, 6, () => [0, 0, 0])
  const line = draw(1, 20_000, () => [0, 0, 0])
  const files = ['1.png', 'line.png', '2.jpg'].map((name) => join(folder, name))
  await writePicture(files[0]!, good)
  await writePicture(files[1]!, line)
  await writePicture(files[2]!, good)
  const transform = [T.resize(256), T.centerCrop(224)]
  const jpegs = [files[2]!, join(folder, 'line.jpg'), files[2]!]
  await writePicture(jpegs[1]!, line)
  const masks = [files[0]!, files[1]!, files[0]!]
  const images = [good, line, good]
  for (const parts of [{ files }, { files: jpegs }, { files: masks, masks }, { files, images }]) {
    const { shapes, skipped } = await outcomes({ ...parts, transform })
    expect(shapes).toEqual([[2, 3, 224, 224]])
    expect(skipped).toEqual([
      { index: 1, item: parts.files[1], reason: expect.stringMatching(/a picture of 256x5120000 pixels/) },
    ])
  }
})

it('what would come of it must fit the memory, what lies between need not', async () => {
  const file = await writePicture(
    join(temporaryFolder(), 'line.png'),
    draw(1, 16_000, () => [7, 7, 7]),
  )
  const picture = (await Picture.open(file)).resize(256, 4_096_000)
  await expect(picture.bytes()).rejects.toThrow(/line\.png: .* a picture of 256x4096000 pixels/)
  const { data } = await picture.crop(16, 2_000_000, 224, 224).bytes()
  expect(data).toEqual(new Uint8Array(224 * 224 * 3).fill(7))
})

it('whoever asks for it of bytes is told so', async () => {
  const picture = Picture.of(draw(1, 2, () => [0, 0, 0])).resize(1, 5_000_000)
  await expect(picture.bytes()).rejects.toThrow(ShapeError)
})
