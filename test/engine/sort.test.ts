import { describe, expect, it } from 'vitest'
import { type DType, manualSeed, rand, randint, randn, type Tensor, tensor } from '../../src/engine/index.ts'

/** Places in the order of PyTorch's stable sort: NaN is larger than all else, zeros of both signs are equal. */
function expectedPlaces(values: readonly number[], descending: boolean): number[] {
  const compare = (a: number, b: number) =>
    Number.isNaN(a) || Number.isNaN(b) ? Number(Number.isNaN(a)) - Number(Number.isNaN(b)) : a < b ? -1 : Number(a > b) // biome-ignore format: one thought
  const places = values.map((_, i) => i)
  return places.sort((i, j) => (descending ? -1 : 1) * compare(values[i]!, values[j]!) || i - j)
}

const numbers = (x: Tensor) => Array.from(x.dataSync(), Number)
const special = [NaN, -0, 0, Infinity, -Infinity, 1e-40, -1e-40, NaN, 3, -3]

/** Values with many ties, the extremes of the dtype among them. */
function drawn(dtype: DType, count: number): Tensor {
  if (dtype === 'bool') return rand([count]).gt(0.5)
  if (dtype === 'uint8') return randint(0, 256, [count]).to(dtype)
  if (dtype === 'int32' || dtype === 'int64') {
    const bound = dtype === 'int32' ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER
    const x = randint(-300, 300, [count]).to(dtype)
    if (count > 3) x.slice(0, 0, 3).copy_(tensor([bound, -bound, bound], { dtype }))
    return x
  }
  const x = randn([count]).mul(20).round().div(4).to(dtype)
  if (count > 20) x.slice(0, 5, 5 + special.length).copy_(tensor(special, { dtype }))
  return x
}

const dtypes = ['float32', 'float64', 'bfloat16', 'float16', 'int32', 'int64', 'uint8', 'bool'] as const

describe('sort and topk keep the order of equals, whatever the length', () => {
  it.each(dtypes)('%s', (dtype) => {
    manualSeed(2)
    for (const count of [0, 1, 2, 255, 256, 257, 5000]) {
      const x = drawn(dtype, count)
      const values = numbers(x)
      for (const descending of [false, true]) {
        const places = expectedPlaces(values, descending)
        const sorted = x.sort(0, { descending })
        expect(numbers(sorted.indices)).toEqual(places)
        expect(numbers(sorted.values)).toEqual(places.map((place) => values[place]))
        for (const k of [0, 1, 5, 300, 4999].filter((k) => k <= count)) {
          const first = x.topk(k, 0, { largest: descending })
          expect(numbers(first.indices)).toEqual(places.slice(0, k))
          expect(numbers(first.values)).toEqual(places.slice(0, k).map((place) => values[place]))
        }
      }
    }
  })

  it('lines that lie apart in memory', () => {
    manualSeed(3)
    const x = randn([600, 3]).mul(4).round()
    for (let column = 0; column < 3; column++) {
      const values = numbers(x.select(1, column))
      expect(numbers(x.sort(0).indices.select(1, column))).toEqual(expectedPlaces(values, false))
    }
  })
})
