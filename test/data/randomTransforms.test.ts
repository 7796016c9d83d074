import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Picture } from '../../src/data/image/Picture.ts'
import { RandomStream } from '../../src/data/random.ts'
import { randomRotate, randomSymmetricWarp, randomZoom } from '../../src/data/transforms/affine.ts'
import { cropPad, randomCrop } from '../../src/data/transforms/crop.ts'
import { randomDihedral, randomHorizontalFlip, randomVerticalFlip } from '../../src/data/transforms/flip.ts'
import { getTransforms } from '../../src/data/transforms/getTransforms.ts'
import { randomLighting } from '../../src/data/transforms/lighting.ts'
import { randomResizedCrop } from '../../src/data/transforms/randomResizedCrop.ts'
import type { PictureTransform } from '../../src/data/transforms/Transform.ts'
import { ConfigError } from '../../src/engine/errors.ts'
import { draw, ramp } from './pictures.ts'

interface CropStatistics {
  width: number
  height: number
  draws: number
  options: { scale?: [number, number]; ratio?: [number, number] }
  values: Record<string, { mean: number; std: number }>
}
const fixture = JSON.parse(readFileSync(new URL('fixtures/transforms.json', import.meta.url), 'utf8')) as {
  crops: CropStatistics[]
  fallback: { width: number; height: number; box: [number, number, number, number] }[]
}

/** Notes what a transform asks of a picture. */
class Spy {
  width: number
  height: number
  readonly calls: { name: string; values: number[] }[] = []

  constructor(width: number, height: number) {
    this.width = width
    this.height = height
  }

  #note(name: string, values: Iterable<number>): this {
    this.calls.push({ name, values: [...values] })
    return this
  }

  crop(...window: number[]): this {
    return this.#note('crop', window)
  }
  resize(...size: number[]): this {
    return this.#note('resize', size)
  }
  flipHorizontal(): this {
    return this.#note('flipHorizontal', [])
  }
  flipVertical(): this {
    return this.#note('flipVertical', [])
  }
  transpose(): this {
    return this.#note('transpose', [])
  }
  warp(matrix: Iterable<number>): this {
    return this.#note('warp', matrix)
  }
  lookup(table: Iterable<number>): this {
    return this.#note('lookup', table)
  }
}

/** The calls of `count` applications, each with its own random numbers, as a loader would give them. */
function spied(transform: PictureTransform, width: number, height: number, count: number) {
  return Array.from({ length: count }, (_, index) => {
    const spy = new Spy(width, height)
    transform.apply(spy as never, new RandomStream({ seed: 11, index }))
    return spy.calls
  })
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const std = (values: number[]) => {
  const middle = mean(values)
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)))
}

/** Five standard errors: passed by chance less than once in a million. */
function expectProbability(hits: number, count: number, p: number): void {
  expect(Math.abs(hits / count - p)).toBeLessThanOrEqual(5 * Math.sqrt((p * (1 - p)) / count))
}

/** Mean, spread and ends of a uniform distribution. */
function expectUniform(values: number[], low: number, high: number): void {
  const width = high - low
  expect(Math.abs(mean(values) - (low + high) / 2)).toBeLessThan((5 * width) / Math.sqrt(12 * values.length))
  expect(std(values) / (width / Math.sqrt(12))).toBeCloseTo(1, 1)
  expect(Math.min(...values)).toBeGreaterThanOrEqual(low)
  expect(Math.max(...values)).toBeLessThanOrEqual(high)
}

describe('randomResizedCrop', () => {
  it.each(fixture.crops)('is distributed as torchvision is, $width x $height, $options', (expected) => {
    const { width, height, options, draws } = expected
    const calls = spied(randomResizedCrop(224, options), width, height, draws)
    expect(new Set(calls.map((each) => each.map(({ name }) => name).join()))).toEqual(
      new Set(['crop,resize']),
    )
    expect(new Set(calls.map(([, resize]) => resize!.values.join()))).toEqual(new Set(['224,224']))
    const windows = calls.map(([crop]) => crop!.values as [number, number, number, number])
    const values: Record<string, number[]> = {
      area: windows.map(([, , w, h]) => (w * h) / (width * height)),
      logRatio: windows.map(([, , w, h]) => Math.log(w / h)),
      left: windows.map(([left]) => left / width),
      top: windows.map(([, top]) => top / height),
      width: windows.map(([, , w]) => w / width),
      height: windows.map(([, , , h]) => h / height),
    }
    for (const [name, { mean: m, std: s }] of Object.entries(expected.values)) {
      // both means are estimates from as many draws
      expect(Math.abs(mean(values[name]!) - m), name).toBeLessThan((5 * Math.SQRT2 * s) / Math.sqrt(draws))
      expect(std(values[name]!) / s, name).toBeCloseTo(1, 1)
    }
  })

  it.each(fixture.fallback)(
    'falls back as torchvision does for $width x $height',
    ({ width, height, box }) => {
      const [top, left, h, w] = box
      for (const [crop] of spied(randomResizedCrop(8), width, height, 20)) {
        expect(crop!.values).toEqual([left, top, w, h])
      }
    },
  )

  it('refuses ranges that cannot be', () => {
    for (const scale of [
      [0, 1],
      [0.5, 0.2],
      [0.5, 1.5],
    ] as [number, number][]) {
      expect(() => randomResizedCrop(8, { scale })).toThrow(ConfigError)
    }
    expect(() => randomResizedCrop(8, { ratio: [2, 1] })).toThrow(/ratio is \[low, high\]/)
  })
})

describe('flips', () => {
  it.each([0, 0.3, 0.5, 1])('happen with probability %f', (p) => {
    const horizontal = spied(randomHorizontalFlip(p), 4, 4, 10_000).filter((calls) => calls.length > 0)
    expectProbability(horizontal.length, 10_000, p)
    for (const calls of horizontal) expect(calls).toEqual([{ name: 'flipHorizontal', values: [] }])
    expectProbability(
      spied(randomVerticalFlip(p), 4, 4, 10_000).filter((calls) => calls.length > 0).length,
      10_000,
      p,
    )
  })

  it('dihedral brings all eight positions equally often', async () => {
    const counts = new Map<string, number>()
    for (let index = 0; index < 8000; index++) {
      const picture = Picture.of(ramp(3))
      randomDihedral().apply(picture, new RandomStream({ seed: 1, index }))
      const position = (await picture.bytes()).data.join()
      counts.set(position, (counts.get(position) ?? 0) + 1)
    }
    expect(counts.size).toBe(8)
    for (const count of counts.values()) expectProbability(count, 8000, 1 / 8)
  })
})

describe('random windows', () => {
  it('randomCrop reaches every place equally often', () => {
    const places = spied(randomCrop([3, 2]), 5, 4, 12_000).map(([crop]) => crop!.values.join())
    const seen = new Map<string, number>()
    for (const place of places) seen.set(place, (seen.get(place) ?? 0) + 1)
    expect([...seen.keys()].sort()).toEqual(
      [0, 1, 2, 3].flatMap((left) => [0, 1].map((top) => `${left},${top},2,3`)).sort(),
    )
    for (const count of seen.values()) expectProbability(count, 12_000, 1 / 8)
  })

  it('cropPad with ranges reaches every place equally often', () => {
    const tops = spied(cropPad(3, { row: [0, 1], column: 0 }), 6, 6, 8000).map(([crop]) => crop!.values)
    expect(tops.every(([left]) => left === 0)).toBe(true)
    for (const top of [0, 1, 2, 3]) expectProbability(tops.filter(([, at]) => at === top).length, 8000, 1 / 4)
  })
})

describe("fastai's augmentations", () => {
  it('rotate: three times in four, uniformly within ten degrees either way', () => {
    const matrices = spied(randomRotate(), 50, 50, 10_000).flatMap((calls) =>
      calls.map(({ values }) => values),
    )
    expectProbability(matrices.length, 10_000, 0.75)
    expectUniform(
      matrices.map(([a, , , d]) => (Math.atan2(d!, a!) * 180) / Math.PI),
      -10,
      10,
    )
  })

  it('zoom: uniformly from 1 to 1.1, about any place', () => {
    const matrices = spied(randomZoom(), 50, 50, 10_000).flatMap((calls) => calls.map(({ values }) => values))
    expectProbability(matrices.length, 10_000, 0.75)
    expectUniform(
      matrices.map(([scale]) => 1 / scale!),
      1,
      1.1,
    )
    for (const row of [2, 5]) {
      // the shift is (1 − scale) times a place from −1 to 1
      expectUniform(
        matrices.map((m) => m[row]! / (1 - m[0]!)),
        -1 - 1e-9,
        1 + 1e-9,
      )
    }
  })

  it('symmetric warp: each edge uniformly within 0.2', () => {
    const matrices = spied(randomSymmetricWarp(), 50, 50, 10_000).flatMap((calls) =>
      calls.map(({ values }) => values),
    )
    expectProbability(matrices.length, 10_000, 0.75)
    const corner = (m: number[], u: number, v: number) => {
      const w = m[6]! * u + m[7]! * v + m[8]!
      return [(m[0]! * u + m[1]! * v + m[2]!) / w, (m[3]! * u + m[4]! * v + m[5]!) / w] as const
    }
    const edges = matrices.map((m) => {
      const [x, y] = corner(m, 1, 1)
      const [x2, y2] = corner(m, -1, -1)
      return [x - 1, y - 1, -1 - x2, -1 - y2]
    })
    for (const edge of [0, 1, 2, 3])
      expectUniform(
        edges.map((values) => values[edge]!),
        -0.2,
        0.2,
      )
  })

  it('lighting: brightness and contrast each three times in four, in their ranges', () => {
    const logit = (byte: number) => Math.log(byte / (255 - byte))
    const tables = spied(randomLighting(), 50, 50, 10_000).map((calls) => calls[0]?.values)
    expectProbability(tables.filter((table) => table === undefined).length, 10_000, 1 / 16)
    const middle: number[] = []
    const scales: number[] = []
    let plain = 0
    for (const table of tables) {
      if (!table) continue
      // Two points of the straight line logit(out) = (logit(in) + change) * scale.
      const scale = (logit(table[192]!) - logit(table[64]!)) / (logit(192) - logit(64))
      scales.push(scale)
      if (Math.abs(scale - 1) < 0.005) plain++
      if (table[128] !== 128) middle.push(table[128]! / 255)
    }
    expect(Math.min(...scales)).toBeGreaterThan(0.8 - 0.02)
    expect(Math.max(...scales)).toBeLessThan(1.25 + 0.02)
    expect(Math.min(...middle)).toBeGreaterThan(0.37)
    expect(Math.max(...middle)).toBeLessThan(0.63)
    // Contrast is left alone in a quarter of them, brightness changed in the others: 3/16 of all, and a few by chance.
    expect(plain / 10_000).toBeGreaterThan(3 / 16 - 0.02)
    expect(plain / 10_000).toBeLessThan(3 / 16 + 0.04)
  })

  it('getTransforms has the parts of fastai in its default, and leaves out what is switched off', () => {
    const names = (list: unknown) => (list as PictureTransform[]).map(({ name }) => name)
    expect(names(getTransforms().train)).toEqual([
      'randomRotate',
      'randomZoom',
      'randomSymmetricWarp',
      'cropPad',
      'randomHorizontalFlip',
      'randomLighting',
    ])
    expect(names(getTransforms().valid)).toEqual(['cropPad'])
    expect(names(getTransforms({ flipVert: true }).train)).toContain('randomDihedral')
    const none = { doFlip: false, maxRotate: 0, maxZoom: 1, maxLighting: 0, maxWarp: 0 }
    expect(names(getTransforms(none).train)).toEqual(['cropPad'])
    expect(() => getTransforms({ maxrotate: 3 } as never)).toThrow(
      /unknown option maxrotate; the options are doFlip/,
    )
  })

  it('a picture of one colour keeps it, whatever is drawn', async () => {
    const steps = getTransforms({ maxLighting: 0 }).train as PictureTransform[]
    for (let index = 0; index < 20; index++) {
      const picture = Picture.of(draw(30, 20, () => [200, 100, 50]))
      const random = new RandomStream({ seed: 3, index })
      for (const step of steps) (step.withSize?.(16) ?? step).apply(picture, random)
      const { data, width, height } = await picture.bytes()
      expect([width, height]).toEqual([16, 16])
      expect(new Set(data)).toEqual(new Set([200, 100, 50]))
    }
  })
})
