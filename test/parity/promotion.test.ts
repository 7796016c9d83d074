import { describe, expect, it } from 'vitest'
import { DTypeError } from '../../src/engine/errors.ts'
import { type DType, ones, type Tensor } from '../../src/engine/index.ts'
import { loadFixture } from './fixtures.ts'

/** Result dtypes; null where PyTorch refuses. */
type Results = Record<string, DType | null>

interface BinaryTable {
  name: string
  op: 'add' | 'sub' | 'mul' | 'div' | 'eq' | 'maximum'
  kind: 'tensor' | 'scalarTensor' | 'bothScalarTensors' | 'number'
  results: Record<string, Results>
}

interface InPlaceTable {
  name: 'add_' | 'sub_' | 'mul_' | 'div_' | 'pow_' | 'remainder_'
  results: Record<string, Results>
}

/** Ops of one tensor that are called with more than it. */
const calls: Record<string, (x: Tensor) => Tensor> = {
  cumsum: (x) => x.cumsum(0),
  cumprod: (x) => x.cumprod(0),
  sort: (x) => x.sort().values,
  clamp: (x) => x.clamp(0, 1),
  clampFraction: (x) => x.clamp(0.5),
  flip: (x) => x.flip(0),
  logsumexp: (x) => x.logsumexp(0),
}

const { binary, inPlace, unary } = loadFixture<{
  binary: BinaryTable[]
  inPlace: InPlaceTable[]
  unary: Record<string, Results>
}>('promotion')

const shapes = { tensor: [[2], [2]], scalarTensor: [[2], []], bothScalarTensors: [[], []] } as const

/** PyTorch's three kinds of number, as JavaScript writes them. */
const numbers: Record<string, number | boolean> = { integer: 2, fraction: 2.5, boolean: true }

/** The dtype of a result, null when the op refuses with a DTypeError. */
function resultOf(run: () => Tensor): DType | null {
  try {
    return run().dtype
  } catch (error) {
    if (error instanceof DTypeError) return null
    throw error
  }
}

/** One line a combination, so that a failure shows the combinations that differ and no others. */
function lines(results: Record<string, DType | null>): string[] {
  return Object.entries(results).map(([key, dtype]) => `${key}: ${dtype ?? 'refused'}`)
}

describe('dtypes of results are PyTorch’s', () => {
  for (const { name, op, kind, results } of binary) {
    it(name, () => {
      const actual: Record<string, DType | null> = {}
      const expected: Record<string, DType | null> = {}
      for (const [a, row] of Object.entries(results)) {
        const left = ones([...(kind === 'number' ? [2] : shapes[kind][0])], { dtype: a as DType })
        for (const [b, dtype] of Object.entries(row)) {
          const right = kind === 'number' ? numbers[b]! : ones([...shapes[kind][1]], { dtype: b as DType })
          actual[`${a}, ${b}`] = resultOf(() => left[op](right))
          expected[`${a}, ${b}`] = dtype
        }
      }
      expect(lines(actual)).toEqual(lines(expected))
    })
  }

  for (const { name, results } of inPlace) {
    it(`${name} keeps the dtype or refuses`, () => {
      const actual: Record<string, DType | null> = {}
      const expected: Record<string, DType | null> = {}
      for (const [a, row] of Object.entries(results)) {
        for (const [b, dtype] of Object.entries(row)) {
          const left = ones([2], { dtype: a as DType })
          const right = numbers[b] ?? ones([2], { dtype: b as DType })
          actual[`${a}, ${b}`] = resultOf(() => left[name](right))
          expected[`${a}, ${b}`] = dtype
        }
      }
      expect(lines(actual)).toEqual(lines(expected))
    })
  }

  for (const [op, expected] of Object.entries(unary)) {
    it(`${op} of one tensor`, () => {
      const actual = Object.keys(expected).map((dtype): [string, DType | null] => {
        const x = ones([2], { dtype: dtype as DType })
        const call = calls[op] ?? (() => x[op as 'sum']())
        return [dtype, resultOf(() => call(x))]
      })
      expect(lines(Object.fromEntries(actual))).toEqual(lines(expected))
    })
  }
})
