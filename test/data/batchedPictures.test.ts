import { mkdirSync, mkdtempSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataLoader } from '../../src/data/DataLoader.ts'
import { ImageDataBunch } from '../../src/data/ImageDataBunch.ts'
import { ImageDataset } from '../../src/data/image/ImageDataset.ts'
import { ImageFolder } from '../../src/data/image/ImageFolder.ts'
import { isSampledPicture, type RgbImage } from '../../src/data/image/RgbImage.ts'
import { RandomStream } from '../../src/data/random.ts'
import { rotation, zoom } from '../../src/data/transforms/affine.ts'
import * as T from '../../src/data/transforms/index.ts'
import { WorkPool } from '../../src/data/WorkPool.ts'
import { ShapeError } from '../../src/engine/errors.ts'
import { arange, type Tensor, tensor, zeros } from '../../src/engine/index.ts'
import { warpPictures } from '../../src/engine/ops/image.ts'
import { newLane } from '../../src/engine/pictures.ts'
import { draw, ramp, smoothPicture, toSharp } from './pictures.ts'

/** A batch [N, 3, H, W] of bytes as pictures. */
function picturesOf(x: Tensor): Uint8Array[] {
  const [count] = x.shape as [number]
  const bytes = x.permute(0, 2, 3, 1).contiguous().dataSync() as Uint8Array
  const size = bytes.length / count
  return Array.from({ length: count }, (_, at) => bytes.slice(at * size, (at + 1) * size))
}

const augmentations: Record<string, T.PictureTransform[]> = {
  getTransforms: [T.cover(32), ...(T.getTransforms().train as T.PictureTransform[])].map(
    (step) => step.withSize?.(32) ?? step,
  ),
  'quarter turns': [
    T.resize([32, 32]),
    T.randomRotate({ p: 1 }),
    T.randomDihedral(),
    T.randomLighting({ p: 1 }),
    T.randomHorizontalFlip(),
    T.randomLighting({ p: 0.5 }),
  ],
  'far outside': [
    T.resize([30, 32]),
    T.randomRotate({ degrees: 180, p: 1 }),
    T.randomZoom({ scale: [0.2, 0.5], p: 1 }),
  ],
  perspective: [T.randomResizedCrop([24, 32]), T.randomPerspective({ p: 0.7 }), T.randomLighting()],
  'erased after': [T.cover(32), T.randomRotate({ p: 0.8 }), T.cropPad(32), T.randomErasing({ p: 0.8 })],
  'a border after': [T.contain(32), T.randomRotate({ p: 0.8 }), T.cropPad(32, { paddingMode: 'edge' })],
  'two warps': [T.resize([32, 32]), T.randomRotate({ p: 1 }), T.pad(2), T.randomRotate({ p: 0.5 })],
  'none at all': [T.randomResizedCrop(32), T.randomHorizontalFlip()],
}

describe('the batch is what its items are', () => {
  let folder: string
  let memory: RgbImage[]

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'anneal-batched-'))
    memory = []
    for (let at = 0; at < 12; at++) {
      const image = smoothPicture(40 + 7 * (at % 5), 60 - 5 * (at % 4))
      memory.push(image)
      mkdirSync(join(folder, String(at % 2)), { recursive: true })
      await toSharp(image).toFile(join(folder, String(at % 2), `${at}.${at % 3 === 0 ? 'png' : 'jpg'}`))
    }
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it.each(Object.entries(augmentations))('%s', async (_, transform) => {
    const datasets = {
      files: new ImageFolder(folder, { transform }),
      kept: new ImageFolder(folder, { transform, cache: 'memory' }),
      decoded: new ImageDataset({
        files: memory.map((_, at) => `${at}`),
        labels: memory.map(() => 0),
        classes: ['all'],
        images: memory,
        transform,
      }),
    }
    for (const [kind, dataset] of Object.entries(datasets)) {
      for (const workers of [0, 1, 4]) {
        const loader = new DataLoader(dataset, { batchSize: 5, workers, seed: 3 })
        for (let epoch = 0, index = 0; epoch < 2; epoch++, index = 0) {
          for await (const { x } of loader) {
            for (const bytes of picturesOf(x as Tensor)) {
              const random = new RandomStream({ seed: 3, epoch, index })
              const { x: expected } = await dataset.get(index, random)
              expect(Buffer.compare(bytes, expected.data), `${kind}, ${workers} workers, ${index}`).toBe(0)
              index++
            }
          }
          expect(index).toBe(12)
        }
      }
    }
  })

  it('and what warps is left to the device', async () => {
    const decoding = { lane: newLane(1), pool: new WorkPool(1) }
    const room = { fixed: () => undefined, loose: () => undefined, decoding }
    const kinds = async (transform: T.PictureTransform[]) => {
      const dataset = new ImageFolder(folder, { transform })
      const samples = await Promise.all(
        dataset.files.map((_, index) =>
          dataset.getForBatch(index, new RandomStream({ seed: 3, index }), room),
        ),
      )
      return new Set(samples.map(({ x }) => isSampledPicture(x)))
    }
    expect(await kinds(augmentations['quarter turns']!)).toEqual(new Set([true]))
    expect(await kinds(augmentations['none at all']!)).toEqual(new Set([false]))
    expect(await kinds(augmentations['erased after']!)).toEqual(new Set([false, true]))
  })

  it('also where one of them was left out', async () => {
    const bad = join(folder, '0', '100.jpg')
    await toSharp(smoothPicture(30, 30)).toFile(bad)
    truncateSync(bad, 300)
    for (const transform of [augmentations.getTransforms!, augmentations['none at all']!]) {
      const dataset = new ImageFolder(folder, { transform })
      const loader = new DataLoader(dataset, { batchSize: 13, seed: 3, onError: 'skip' })
      const { x, y } = await loader.first()
      expect(x.shape).toEqual([12, 3, 32, 32])
      expect(y.shape).toEqual([12])
      expect(loader.skipped.map(({ item }) => item)).toEqual([bad])
      const left = dataset.files.flatMap((file, index) => (file === bad ? [] : [index]))
      for (const [at, bytes] of picturesOf(x as Tensor).entries()) {
        const { x: expected } = await dataset.get(left[at]!, new RandomStream({ seed: 3, index: left[at]! }))
        expect(Buffer.compare(bytes, expected.data)).toBe(0)
      }
    }
    rmSync(bad)
  })

  it('normalised on the device, mask beside picture', async () => {
    const data = await ImageDataBunch.fromFolder(folder, {
      train: '.',
      validPct: 0.25,
      size: 32,
      batchSize: 4,
      seed: 1,
      transforms: T.getTransforms(),
      stats: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
    })
    const { x } = await data.oneBatch()
    expect([x.dtype, ...x.shape]).toEqual(['float32', 4, 3, 32, 32])
    expect(x.min().item()).toBeGreaterThanOrEqual(-1)
    expect(x.max().item()).toBeLessThanOrEqual(1)
    expect(x.max().item() - x.min().item()).toBeGreaterThan(0.5)
  })
})

describe("fastai's figures, for a whole batch at once", () => {
  const warp = (matrix: readonly number[]): T.PictureTransform => ({
    kind: 'picture',
    name: 'warp',
    parameters: {},
    apply: (picture) => void picture.warp(matrix as Parameters<typeof picture.warp>[0]),
  })
  const batchOf = async (images: RgbImage[], matrix: readonly number[]) => {
    const files = images.map((_, at) => String(at))
    const labels = images.map(() => 0)
    const dataset = new ImageDataset({ files, labels, classes: ['all'], images, transform: warp(matrix) })
    const { x } = await new DataLoader(dataset, { batchSize: images.length, seed: 0 }).first()
    return x as Tensor
  }

  it('rotation by 90 degrees', async () => {
    const x = await batchOf([ramp(4), ramp(4)], rotation(90, 4, 4))
    for (const picture of [0, 1]) {
      expect(x.index(picture, 0).toArray()).toEqual([
        [3, 7, 11, 15],
        [2, 6, 10, 14],
        [1, 5, 9, 13],
        [0, 4, 8, 12],
      ])
    }
  })

  it('zoom 2: the first row is 3.75 4.25 4.75 5.25', async () => {
    const bright = draw(4, 4, (x, y) => Array(3).fill((y * 4 + x) * 16))
    const x = await batchOf([bright], zoom(2))
    expect(x.index(0, 0, 0).toArray()).toEqual([60, 68, 76, 84])
  })
})

describe('wrong calls of the op', () => {
  const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1]
  const placement = (...numbers: number[]) => tensor([[...numbers, ...identity]], { dtype: 'float64' })
  const bytes = () => arange(48).to('uint8')

  it('shapes and dtypes', () => {
    const good = placement(0, 0, 0, 4, 4, 4, 4)
    expect(warpPictures(bytes(), good, undefined, 2, 3).shape).toEqual([1, 3, 2, 3])
    expect(() => warpPictures(arange(48), good, undefined, 2, 3)).toThrow(/uint8 and float64/)
    expect(() => warpPictures(bytes(), zeros([1, 15], { dtype: 'float64' }), undefined, 2, 3)).toThrow(
      /placements \[N, 16\]/,
    )
    expect(() => warpPictures(bytes(), good, undefined, 0, 3)).toThrow(ShapeError)
    expect(() => warpPictures(bytes(), good, zeros([1, 255], { dtype: 'uint8' }), 2, 3)).toThrow(/\[1, 256\]/)
  })

  it.each([
    [1, 0, 0, 4, 4, 4, 4],
    [0, 0, 0, 5, 4, 4, 4],
    [0, 1, 0, 4, 4, 4, 4],
    [-1, 0, 0, 4, 4, 4, 4],
    [0, 0, 0, 0, 4, 4, 4],
    [Number.NaN, 0, 0, 4, 4, 4, 4],
    [1e300, 0, 0, 4, 4, 4, 4],
    [0, 0, 0, 4, 4, 1e12, 4],
  ])('a placement outside the bytes: %j', (...numbers) => {
    const x = warpPictures(bytes(), placement(...numbers), undefined, 2, 3)
    expect(() => x.dataSync()).toThrow(/picture 0 lies outside the bytes/)
  })

  it('a matrix that leads nowhere', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1e300, 0]) {
      const numbers = [0, 0, 0, 4, 4, 4, 4, ...Array(9).fill(value)]
      const x = warpPictures(bytes(), tensor([numbers], { dtype: 'float64' }), undefined, 2, 3)
      expect((x.dataSync() as Uint8Array).length).toBe(18)
    }
  })
})
