import { describe, expect, it } from 'vitest'
import { philox, type Words } from '../../src/data/philox.ts'
import { type RandomKey, RandomStream } from '../../src/data/random.ts'
import { randomSplit } from '../../src/data/split.ts'
import { ConfigError } from '../../src/engine/errors.ts'

const draws = (key: RandomKey, count = 8) => {
  const random = new RandomStream(key)
  return Array.from({ length: count }, () => random.word())
}

describe('philox', () => {
  // The known answers that come with the Random123 library (kat_vectors, philox4x32 10).
  const answers: [Words, [number, number], Words][] = [
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ]

  it.each(answers)('of counter %j and key %j is %j', (counter, [key0, key1], expected) => {
    const words: Words = [0, 0, 0, 0]
    philox(counter, key0, key1, words)
    expect(words).toEqual(expected)
  })
})

describe('RandomStream', () => {
  it('gives the same numbers for the same key', () => {
    expect(draws({ seed: 5, epoch: 2, index: 9 })).toEqual(draws({ seed: 5, epoch: 2, index: 9 }))
  })

  it('gives other numbers for any other key', () => {
    const keys: RandomKey[] = [
      { seed: 5 },
      { seed: 6 },
      { seed: 5 + 2 ** 32 },
      { seed: 5, epoch: 1 },
      { seed: 5, index: 1 },
      { seed: 5, occurrence: 1 },
      { seed: 5, purpose: 'order' },
      { seed: 5, purpose: 'split' },
      { seed: 5, purpose: 'batch' },
    ]
    expect(new Set(keys.map((key) => draws(key).join())).size).toBe(keys.length)
  })

  it('draws uniformly, also between neighbouring items', () => {
    const values = Array.from({ length: 20_000 }, (_, index) =>
      new RandomStream({ seed: 1, index }).uniform(-1, 3),
    )
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    // 5 standard errors of a uniform distribution of width 4.
    expect(Math.abs(mean - 1)).toBeLessThan((5 * 4) / Math.sqrt(12 * values.length))
    expect(Math.abs(variance - 16 / 12)).toBeLessThan(0.05)
    const steps = values.slice(1).map((value, at) => (value - mean) * (values[at]! - mean))
    const correlation = steps.reduce((sum, value) => sum + value, 0) / steps.length / variance
    expect(Math.abs(correlation)).toBeLessThan(5 / Math.sqrt(values.length))
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-1)
    expect(Math.max(...values)).toBeLessThan(3)
  })

  it('draws whole numbers evenly', () => {
    const random = new RandomStream({ seed: 2 })
    const counts = new Array<number>(7).fill(0)
    for (let draw = 0; draw < 70_000; draw++) counts[random.integer(7)]!++
    // chi-square with 6 degrees of freedom: 22.5 is passed once in a thousand
    expect(counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0)).toBeLessThan(22.5)
  })

  it('refuses counts that are none', () => {
    const stream = new RandomStream({ seed: 1 })
    for (const count of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 33]) {
      expect(() => stream.integer(count)).toThrow(/whole number from 1 to 2\^32/)
    }
    expect(() => stream.permutation(2 ** 32)).toThrow(/whole number from 0/)
    expect([...stream.permutation(0)]).toEqual([])
  })

  it('draws evenly in the logarithm', () => {
    const random = new RandomStream({ seed: 3 })
    const values = Array.from({ length: 10_000 }, () => random.logUniform(0.5, 2))
    const small = values.filter((value) => value < 1).length
    expect(Math.abs(small - 5000)).toBeLessThan(5 * 50)
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0.5)
    expect(Math.max(...values)).toBeLessThan(2)
  })

  it('makes permutations, each order equally likely', () => {
    const counts = new Map<string, number>()
    for (let index = 0; index < 24_000; index++) {
      const order = new RandomStream({ seed: 4, index }).permutation(4).join('')
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    expect(counts.size).toBe(24)
    // chi-square with 23 degrees of freedom: 49.7 is passed once in a thousand
    expect([...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)).toBeLessThan(
      49.7,
    )
  })

  it.each([-1, 0.5, Number.NaN, 2 ** 53, '7' as never])('refuses the seed %s', (seed) => {
    expect(() => new RandomStream({ seed })).toThrow(ConfigError)
  })
})

describe('randomSplit', () => {
  it('gives each item to one side, as many as asked for', () => {
    const { train, valid } = randomSplit(18, 0.2, 7)
    // fastai's figure: 18 items split by 0.2 are 15 and 3
    expect([train.length, valid.length]).toEqual([15, 3])
    expect([...train, ...valid].sort((a, b) => a - b)).toEqual(Array.from({ length: 18 }, (_, at) => at))
  })

  it('follows from the seed', () => {
    expect(randomSplit(100, 0.3, 1)).toEqual(randomSplit(100, 0.3, 1))
    expect(randomSplit(100, 0.3, 1)).not.toEqual(randomSplit(100, 0.3, 2))
  })

  it.each([
    [10, 0],
    [10, 1],
    [10, 0.05],
    [10, Number.NaN],
    [10, -0.2],
  ])('refuses %i items split by %s', (length, part) => {
    expect(() => randomSplit(length, part, 0)).toThrow(ConfigError)
  })
})
