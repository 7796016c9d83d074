import { describe, expect, it } from 'vitest'
import {
  type DType,
  getRngState,
  manualSeed,
  rand,
  randint,
  randn,
  randperm,
  setRngState,
  type Tensor,
  zeros,
} from '../../src/engine/index.ts'
import {
  type EncodedTensor,
  expectSummary,
  expectTensor,
  isFloating,
  loadFixture,
  numbersOf,
  type Summary,
  valuesOf,
} from '../parity/fixtures.ts'

interface Step {
  call: string
  shape: number[]
  dtype?: DType
  low: number
  high: number
  n: number
  mean: number
  std: number
  from: number
  to: number
  p: number
  result?: EncodedTensor
  summary?: Summary
}

interface Program {
  name: string
  seed: number
  steps: Step[]
  /** What rand(2) gives after the last step. */
  next: EncodedTensor
}

/** Bytes of torch.get_rng_state() after seed 42 and after randn(3) on it, which leaves one normal sample over. */
interface States {
  fresh: string
  afterRandn3: string
  afterRandn3ThenRandn2: EncodedTensor
}

const { programs, states } = loadFixture<{ programs: Program[]; states: States }>('random')

const calls: Record<string, (step: Step) => Tensor> = {
  randn: ({ shape, dtype }) => randn(shape, { dtype }),
  rand: ({ shape, dtype }) => rand(shape, { dtype }),
  randint: ({ low, high, shape }) => randint(low, high, shape),
  randperm: ({ n }) => randperm(n),
  normal_: ({ shape, dtype, mean, std }) => zeros(shape, { dtype }).normal_(mean, std),
  uniform_: ({ shape, dtype, from, to }) => zeros(shape, { dtype }).uniform_(from, to),
  bernoulli_: ({ shape, dtype, p }) => zeros(shape, { dtype }).bernoulli_(p),
}

describe('random numbers are PyTorch’s', () => {
  it('has a call for every kind of draw', () => {
    const kinds = new Set(programs.flatMap(({ steps }) => steps.map(({ call }) => call)))
    expect([...kinds].filter((call) => !(call in calls))).toEqual(['exponential_'])
  })

  for (const { name, seed, steps, next } of programs) {
    if (steps.some(({ call }) => !(call in calls))) continue
    it(name, () => {
      manualSeed(seed)
      steps.forEach((step, i) => {
        const actual = calls[step.call]!(step)
        const label = `step ${i}, ${step.call}`
        if (step.summary) {
          expectSummary(actual, step.summary, 1e-6, label)
        } else if (isFloating(step.result!.dtype)) {
          expect(actual.dtype).toBe(step.result!.dtype)
          expectTensor(actual, step.result!, 1e-6, label)
        } else {
          expect(actual.dtype).toBe(step.result!.dtype)
          expect([...actual.shape]).toEqual(step.result!.shape)
          expect(valuesOf(actual), label).toEqual(numbersOf(step.result!))
        }
      })
      expectTensor(rand([2]), next, 0, 'the stream after the last step')
    })
  }
})

describe('the state of the generator', () => {
  const bytes = (state: Uint8Array) => Buffer.from(state).toString('base64')

  it('has the bytes of torch.get_rng_state()', () => {
    manualSeed(42)
    expect(bytes(getRngState())).toBe(states.fresh)
    randn([3])
    expect(bytes(getRngState())).toBe(states.afterRandn3)
  })

  it('goes on where PyTorch was when its bytes are put in', () => {
    manualSeed(1)
    setRngState(new Uint8Array(Buffer.from(states.afterRandn3, 'base64')))
    expectTensor(randn([2]), states.afterRandn3ThenRandn2, 1e-6, 'randn')
  })

  it('survives a round trip in the middle of everything', () => {
    manualSeed(5)
    randn([7])
    rand([100])
    const state = getRngState()
    const first = [valuesOf(randn([3])), valuesOf(rand([1000])), valuesOf(randperm(50))]
    setRngState(state)
    expect([valuesOf(randn([3])), valuesOf(rand([1000])), valuesOf(randperm(50))]).toEqual(first)
  })

  it('refuses bytes that are none, and keeps its place', () => {
    manualSeed(42)
    expect(() => setRngState(new Uint8Array(10))).toThrow(/5056/)
    const broken = getRngState()
    broken[12] = 0
    expect(() => setRngState(broken)).toThrow(/not the state/)
    expect(bytes(getRngState())).toBe(states.fresh)
  })
})

describe('seeds', () => {
  it('are taken as 64 bits, negative ones as in PyTorch', () => {
    manualSeed(-1)
    const negative = valuesOf(rand([4]))
    manualSeed(2n ** 64n - 1n)
    expect(valuesOf(rand([4]))).toEqual(negative)
  })

  it('must be integers', () => {
    expect(() => manualSeed(0.5)).toThrow(/integer/)
    expect(() => manualSeed(2 ** 60)).toThrow(/integer/)
  })
})
