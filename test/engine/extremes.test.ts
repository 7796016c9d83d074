import { describe, expect, it } from 'vitest'
import { grad, maximum, minimum, type Tensor, tensor } from '../../src/engine/index.ts'

const leaf = (values: number[] | number[][]) => tensor(values, { requiresGrad: true })

// What PyTorch 1.13 gives, but for amax and amin: there every element of a row with NaN gets NaN.
describe('gradients where NaN is the extreme', () => {
  const whole: [string, (x: Tensor) => Tensor][] = [
    ['max', (x) => x.max()],
    ['min', (x) => x.min()],
    ['amax', (x) => x.amax(0)],
    ['amin', (x) => x.amin(0, { keepdim: true })],
  ]

  it.each(whole)('%s shares among the places of NaN', (_, extreme) => {
    for (const [values, expected] of [
      [
        [1, NaN, 2],
        [0, 1, 0],
      ],
      [
        [1, NaN, 2, NaN],
        [0, 0.5, 0, 0.5],
      ],
    ] as const) {
      const x = leaf([...values])
      extreme(x).sum().backward()
      expect(x.grad?.toArray()).toEqual(expected)
    }
  })

  it('amax leaves rows without NaN as they are', () => {
    const x = leaf([
      [1, 3, 3, 2],
      [NaN, 3, Infinity, 2],
    ])
    x.amax(1)
      .mul(tensor([2, 5]))
      .sum()
      .backward()
    expect(x.grad?.toArray()).toEqual([
      [0, 1, 1, 0],
      [5, 0, 0, 0],
    ])
  })

  const left = [NaN, 1, NaN, 2, 1, 3, Infinity]
  const right = [1, NaN, NaN, 2, 3, 1, Infinity]
  const gains = [1, 1, 1, 0.5, 0, 1, 0.5]
  const losses = [1, 1, 1, 0.5, 1, 0, 0.5]
  it.each([
    ['maximum', maximum, gains, losses],
    ['minimum', minimum, losses, gains],
  ] as const)('%s passes all of it to both sides', (_, extreme, toLeft, toRight) => {
    const [a, b] = [leaf(left), leaf(right)]
    extreme(a, b).sum().backward()
    expect(a.grad?.toArray()).toEqual(toLeft)
    expect(b.grad?.toArray()).toEqual(toRight)
  })

  it('maximum gives the loser 0 where the gradient itself is not finite', () => {
    const [a, b] = [leaf([1, 1, 3]), leaf([2, 2, 3])]
    const gradients = grad(maximum(a, b), [a, b], { gradOutputs: [tensor([Infinity, NaN, Infinity])] })
    expect(gradients.map((gradient) => gradient?.toArray())).toEqual([
      [0, 0, Infinity],
      [Infinity, NaN, Infinity],
    ])
  })

  it('minimum with a number, and with a side that is broadcast', () => {
    const x = leaf([NaN, 0.5, 1, 2])
    x.minimum(1).sum().backward()
    expect(x.grad?.toArray()).toEqual([1, 1, 0.5, 0])
    const one = leaf([1])
    tensor([NaN, 0.5, 1, 2]).minimum(one).sum().backward()
    expect(one.grad?.toArray()).toEqual([2.5])
  })
})

// Longer than what a GPU gives to one group of threads: its parts are joined.
describe('places of extremes in long lines', () => {
  const length = 30_011
  const line = (changes: Record<number, number>) => {
    const values = Float32Array.from({ length }, (_, i) => Math.sin(i) / 2)
    for (const [place, value] of Object.entries(changes)) values[Number(place)] = value
    return values
  }
  const rows = [
    line({ 29000: 3, 4100: 3, 30010: 3, 17: -2, 20000: -2 }),
    line({ 30010: 7, 30009: -7 }),
    line({ 0: 5, 15000: 5, 8191: -5, 8192: -5 }),
    line({ 25000: Number.NaN, 6000: Number.NaN, 100: 9, 20000: -9 }),
  ]
  const largest = [4100, 30_010, 0, 6000]
  const smallest = [17, 30_009, 8191, 6000]
  const numbers = (x: Tensor) => Array.from(x.dataSync(), Number)

  it('are those of the first of equals, and of the first NaN', () => {
    const x = tensor(Float32Array.from(rows.flatMap((row) => [...row]))).reshape([4, length])
    for (const [input, dim] of [
      [x, 1],
      [x.t().contiguous(), 0],
      [x.t().contiguous().t(), 1],
    ] as const) {
      expect(numbers(input.argmax(dim))).toEqual(largest)
      expect(numbers(input.argmin(dim))).toEqual(smallest)
    }
    expect(numbers(x.index(0).argmax())).toEqual([4100])
    expect(numbers(x.max(1).values)).toEqual([3, 7, 5, Number.NaN])
    expect(numbers(x.min(1).values)).toEqual([-2, -7, -5, Number.NaN])
    expect(numbers(x.argmax())).toEqual([3 * length + 6000])
  })
})
