import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Picture } from '../../src/data/image/Picture.ts'
import { identityMatrix, multiplyMatrices } from '../../src/data/image/warp.ts'
import {
  balancedSampler,
  DataLoader,
  ImageDataset,
  RandomSampler,
  RandomStream,
  SequentialSampler,
  ShardedSampler,
  transforms as T,
} from '../../src/data/index.ts'
import {
  changeBrightness,
  changeContrast,
  changeHue,
  changeSaturation,
} from '../../src/data/transforms/colorJitter.ts'
import { homography } from '../../src/data/transforms/homography.ts'
import { inverse } from '../../src/data/transforms/perspective.ts'
import { ConfigError } from '../../src/engine/errors.ts'
import { applied, channel, draw, ramp, temporaryFolder, writePicture } from './pictures.ts'

const cases = JSON.parse(readFileSync(new URL('fixtures/colour.json', import.meta.url), 'utf8'))
const changes = {
  brightness: changeBrightness,
  contrast: changeContrast,
  saturation: changeSaturation,
  hue: changeHue,
}
const white = (width: number, height = width) => draw(width, height, () => [255, 255, 255])
const N = 2000

describe('colorJitter', () => {
  const picture = draw(6, 4, (x, y) => [40 * x, (90 * x * y + 7) % 256, 255 - 60 * y])

  it.each(cases as { name: keyof typeof changes; factor: number; bytes: number[] }[])(
    "$name by $factor is torchvision's",
    ({ name, factor, bytes }) => {
      const { data } = changes[name](picture, factor)
      // Pillow rounds to 256 hues, of which torchvision counts 255 a turn: two steps of six values. All else may differ by a rounding.
      const tolerance = name === 'hue' ? 15 : 1
      for (const [at, value] of bytes.entries())
        expect(Math.abs(data[at]! - value)).toBeLessThanOrEqual(tolerance)
    },
  )

  it('draws uniformly from its ranges, and in every order', async () => {
    const factors: number[] = []
    const jitter = T.colorJitter({ brightness: [0.5, 0.9] })
    for (let seed = 0; seed < N; seed++) {
      const { data } = await applied(
        jitter,
        draw(1, 1, () => [200, 200, 200]),
        seed,
      )
      factors.push(data[0]! / 200)
    }
    expect(Math.min(...factors)).toBeGreaterThanOrEqual(0.495)
    expect(Math.max(...factors)).toBeLessThan(0.9)
    expect(factors.reduce((sum, value) => sum + value, 0) / N).toBeCloseTo(0.7, 1)
    const both = T.colorJitter({ brightness: [2, 2], contrast: [0, 0] })
    // Contrast 0 leaves the mean grey, of 255 and 0 or of 200 and 0, which is doubled then.
    const seen = new Set<number>()
    for (let seed = 0; seed < 60; seed++) {
      seen.add(
        (
          await applied(
            both,
            draw(2, 1, (x) => Array(3).fill(x === 0 ? 200 : 0)),
            seed,
          )
        ).data[0]!,
      )
    }
    expect([...seen].sort((x, y) => x - y)).toEqual([128, 200])
  })

  it('changes nothing by default, and refuses what cannot be', async () => {
    expect((await applied(T.colorJitter(), picture)).data).toEqual(picture.data)
    expect(() => T.colorJitter({ hue: 0.6 })).toThrow(ConfigError)
    expect(() => T.colorJitter({ brightness: [2, 1] })).toThrow(ConfigError)
    expect(() => T.colorJitter({ colour: 1 } as never)).toThrow(/unknown option colour/)
  })
})

describe('randomErasing', () => {
  it('half of the time, a rectangle whose area and shape lie in their ranges', async () => {
    let erased = 0
    for (let seed = 0; seed < N; seed++) {
      const rows = channel(await applied(T.randomErasing(), white(40, 30), seed))
      const black = rows.flatMap((row, y) =>
        row.flatMap((value, x) => (value === 0 ? [[x, y] as const] : [])),
      )
      if (black.length === 0) continue
      erased++
      const [xs, ys] = [black.map(([x]) => x), black.map(([, y]) => y)]
      const width = Math.max(...xs) - Math.min(...xs) + 1
      const height = Math.max(...ys) - Math.min(...ys) + 1
      expect(width * height).toBe(black.length)
      const part = black.length / 1200
      // Sides are rounded to whole pixels.
      expect(part).toBeGreaterThan(0.01)
      expect(part).toBeLessThan(0.36)
      expect(height / width).toBeGreaterThan(0.2)
      expect(height / width).toBeLessThan(5)
    }
    expect(Math.abs(erased / N - 0.5)).toBeLessThan(0.05)
  })

  it('with a colour, or with noise that is the same for the same seed', async () => {
    const all = { p: 1, scale: [0.3, 0.3], ratio: [1, 1] } as const
    const red = await applied(T.randomErasing({ ...all, value: [9, 8, 7] }), white(20))
    expect([...new Set(red.data)].sort((a, b) => a - b)).toEqual([7, 8, 9, 255])
    const noise = T.randomErasing({ ...all, value: 'random' })
    const first = await applied(noise, white(20), 3)
    expect(new Set(first.data).size).toBeGreaterThan(100)
    expect((await applied(noise, white(20), 3)).data).toEqual(first.data)
    expect(() => T.randomErasing({ scale: [0.5, 0.2] })).toThrow(ConfigError)
    expect(() => T.randomErasing({ ratio: [0, 1] })).toThrow(ConfigError)
  })
})

it('cutout blackens a square whose middle is anywhere, each place equally often', async () => {
  const hits = new Float64Array(100)
  for (let seed = 0; seed < N; seed++) {
    const rows = channel(await applied(T.cutout({ length: 1 }), white(10), seed)).flat()
    expect(rows.filter((value) => value === 0)).toHaveLength(1)
    hits[rows.indexOf(0)]!++
  }
  // Chi-squared of 99 degrees of freedom: 5 deviations above its mean are 170.
  const expected = N / 100
  expect(hits.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)).toBeLessThan(170)
  const corner = channel(await applied(T.cutout({ length: 400 }), white(6)))
  expect(new Set(corner.flat())).toEqual(new Set([0]))
})

describe('randomPerspective', () => {
  it('half of the time; by nothing it changes nothing', async () => {
    const picture = ramp(9)
    const none = await applied(T.randomPerspective({ distortionScale: 0, p: 1 }), picture)
    expect(none.data).toEqual(picture.data)
    let changed = 0
    for (let seed = 0; seed < 400; seed++) {
      const made = await applied(T.randomPerspective(), picture, seed)
      if (made.data.some((value, at) => value !== picture.data[at])) changed++
    }
    expect(Math.abs(changed / 400 - 0.5)).toBeLessThan(0.12)
  })

  it('the inverse of a homography undoes it', () => {
    const matrix = homography([
      [-0.9, -0.8],
      [-0.7, 1],
      [0.6, -1],
      [1, 0.9],
    ])
    const product = multiplyMatrices(matrix, inverse(matrix))
    for (const [at, value] of product.entries())
      expect(value / product[8]!).toBeCloseTo(identityMatrix[at]!, 10)
  })

  it('draws nothing of the picture from beyond its corners', async () => {
    // The corners move inwards, so the middle of the picture is still there, smaller: white stays inside.
    const picture = draw(41, 41, (x, y) =>
      Math.abs(x - 20) < 3 && Math.abs(y - 20) < 3 ? [255, 255, 255] : [0, 0, 0],
    )
    const source = Picture.of(picture)
    T.randomPerspective({ p: 1 }).apply(source, new RandomStream({ seed: 5 }))
    const rows = channel(await source.bytes())
    expect(rows.flat().some((value) => value > 100)).toBe(true)
    expect(rows[0]![0]).toBe(0)
  })
})

it('presize: a random window for training, the middle for validation', () => {
  const { train, valid } = T.presize(224)
  expect([train].flat().map(({ name }) => name)).toEqual(['randomResizedCrop'])
  expect([valid].flat().map(({ name, parameters }) => [name, parameters.size])).toEqual([
    ['resize', 256],
    ['centerCrop', 224],
  ])
})

describe('ShardedSampler', () => {
  it('parts are disjoint and make up the whole, another each epoch', () => {
    const orders = [0, 1].map((epoch) =>
      [0, 1, 2].map((shard) =>
        Array.from(
          new ShardedSampler(new RandomSampler(12), { shard, shards: 3 }).indices(
            new RandomStream({ seed: 1, purpose: 'order', epoch }),
          ),
        ),
      ),
    )
    for (const parts of orders) {
      expect(parts.map((part) => part.length)).toEqual([4, 4, 4])
      expect(parts.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, at) => at))
    }
    expect(orders[0]).not.toEqual(orders[1])
  })

  it("fills up from the beginning, or drops the rest, as PyTorch's DistributedSampler", () => {
    const parts = (dropLast: boolean) =>
      [0, 1, 2].map((shard) =>
        Array.from(
          new ShardedSampler(new SequentialSampler(10), { shard, shards: 3, dropLast }).indices(
            new RandomStream({ seed: 0 }),
          ),
        ),
      )
    expect(parts(false)).toEqual([
      [0, 3, 6, 9],
      [1, 4, 7, 0],
      [2, 5, 8, 1],
    ])
    expect(parts(true)).toEqual([
      [0, 3, 6],
      [1, 4, 7],
      [2, 5, 8],
    ])
    expect(() => new ShardedSampler(new SequentialSampler(4), { shard: 2, shards: 2 })).toThrow(ConfigError)
  })
})

it('balancedSampler brings all classes equally often', () => {
  const labels = Array.from({ length: 100 }, (_, at) => (at < 80 ? 0 : at < 95 ? 1 : 2))
  for (const [how, length] of [
    ['over', 240],
    ['under', 15],
  ] as const) {
    const sampler = balancedSampler(labels, how)
    expect(sampler.length).toBe(length)
    const counts = [0, 0, 0]
    for (let epoch = 0; epoch < 4000 / length; epoch++) {
      for (const index of sampler.indices(new RandomStream({ seed: 2, epoch }))) counts[labels[index]!]!++
    }
    const total = counts.reduce((sum, count) => sum + count, 0)
    for (const count of counts) expect(Math.abs(count / total - 1 / 3)).toBeLessThan(0.04)
  }
  expect(() => balancedSampler([])).toThrow(ConfigError)
})

it('all of it together gives the same batches for 0, 1 and 4 workers', async () => {
  const folder = temporaryFolder()
  const files = await Promise.all(
    Array.from({ length: 12 }, (_, at) =>
      writePicture(
        `${folder}/${at}.png`,
        draw(40, 30, (x, y) => [x * at, y * 8, 99]),
      ),
    ),
  )
  const dataset = new ImageDataset({
    files,
    labels: files.map((_, at) => at % 2),
    classes: ['a', 'b'],
    transform: [
      T.randomResizedCrop(16),
      T.randomPerspective(),
      T.colorJitter({ brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }),
      T.randomErasing({ value: 'random' }),
      T.cutout({ length: 4 }),
    ],
  })
  const epochs = async (workers: number) => {
    const loader = new DataLoader(dataset, { batchSize: 5, shuffle: true, workers, seed: 4 })
    const all: unknown[] = []
    for (let epoch = 0; epoch < 2; epoch++)
      for await (const { x, y } of loader) all.push([x.toArray(), y.toArray()])
    return all
  }
  const [none, one, four] = [await epochs(0), await epochs(1), await epochs(4)]
  expect(one).toEqual(none)
  expect(four).toEqual(none)
  expect(none.slice(0, 3)).not.toEqual(none.slice(3))
})
