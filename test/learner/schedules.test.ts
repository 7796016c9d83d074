import { describe, expect, it } from 'vitest'
import { oneCycle } from '../../callbacks/OneCycleScheduler.ts'
import { lrRange, slice } from '../../src/learner/lrRange.ts'
import { Scheduler } from '../../src/learner/Scheduler.ts'
import { SmoothedValue } from '../../src/learner/SmoothedValue.ts'
import { annealingExp } from '../../src/optim/annealing.ts'

const near = (value: number, expected: number) => expect(value / expected).toBeCloseTo(1, 7)

function allNear(values: readonly number[], expected: readonly number[]) {
  expect(values).toHaveLength(expected.length)
  for (const [i, value] of values.entries()) near(value, expected[i]!)
}

// All figures were printed by fastai v1 itself.
describe('one-cycle', () => {
  it('ten batches, defaults', () => {
    const at = oneCycle(10, [0.01])
    const lrs = [
      4e-4, 2.8e-3, 7.6e-3, 0.01, 0.0095048463, 0.0081174565, 0.0061126202, 0.0038874198, 0.0018825835,
      0.0004951937, 4e-8,
    ]
    const moms = [
      0.95, 0.925, 0.875, 0.85, 0.8549515566, 0.8688255099, 0.8888739533, 0.9111260467, 0.9311744901,
      0.9450484434, 0.95,
    ]
    for (let i = 0; i <= 10; i++) {
      near(at(i).lr[0]!, lrs[i]!)
      near(at(i).momentum, moms[i]!)
    }
  })

  it('four epochs of 25 batches', () => {
    const at = oneCycle(100, [3e-3])
    const figures = [
      [0, 1.2e-4, 0.95],
      [1, 1.2788847067e-4, 0.9497260948],
      [15, 1.56e-3, 0.9],
      [29, 2.9921115293e-3, 0.8502739052],
      [30, 3e-3, 0.85],
      [31, 2.9984896059e-3, 0.8500503467],
      [50, 2.4352369618e-3, 0.8688255099],
      [65, 1.500006e-3, 0.9],
      [98, 6.0505348529e-6, 0.9497987147],
      [99, 1.5223941464e-6, 0.9499496533],
      [100, 1.2e-8, 0.95],
    ] as const
    for (const [i, lr, momentum] of figures) {
      near(at(i).lr[0]!, lr)
      near(at(i).momentum, momentum)
    }
  })

  it('with its own division, share and momenta', () => {
    const at = oneCycle(10, [0.01], { divFactor: 10, pctStart: 0.5, finalDiv: 100, moms: [0.9, 0.8] })
    const lrs = [
      0.001, 0.0018594235, 0.0041094235, 0.0068905765, 0.0091405765, 0.01, 0.0090546341, 0.0065796341,
      0.0035203659, 0.0010453659, 1e-4,
    ]
    const moms = [
      0.9, 0.8904508497, 0.8654508497, 0.8345491503, 0.8095491503, 0.8, 0.8095491503, 0.8345491503,
      0.8654508497, 0.8904508497, 0.9,
    ]
    for (let i = 0; i <= 10; i++) {
      near(at(i).lr[0]!, lrs[i]!)
      near(at(i).momentum, moms[i]!)
    }
  })

  it('scales each layer group by itself', () => {
    const at = oneCycle(10, lrRange(slice(1e-5, 1e-3), 3))
    const figures: [number, number[]][] = [
      [0, [4e-7, 4e-6, 4e-5]],
      [3, [1e-5, 1e-4, 1e-3]],
      [9, [4.951937e-7, 4.951937e-6, 4.951937e-5]],
    ]
    for (const [i, expected] of figures) allNear(at(i).lr, expected)
    allNear(oneCycle(10, lrRange(slice(1e-3), 3))(0).lr, [4e-6, 4e-6, 4e-5])
  })

  it('ends properly however few the batches', () => {
    const three = oneCycle(3, [1e-2])
    allNear(
      [0, 1, 2, 3].map((i) => three(i).lr[0]!),
      [4e-4, 1e-2, 5.00002e-3, 4e-8],
    )
    const one = oneCycle(1, [1e-2])
    near(one(0).lr[0]!, 4e-4)
    near(one(1).lr[0]!, 4e-8)
    near(one(1).momentum, 0.95)
  })

  it('refuses impossible options', () => {
    expect(() => oneCycle(10, [1], { pctStart: 2 })).toThrow(/pctStart must be from 0 to 1, got 2/)
    expect(() => oneCycle(10, [1], { divFactor: 0 })).toThrow(/above 0/)
    expect(() => oneCycle(10, [1], { moms: [1, 0.8] })).toThrow(/below 1, got \[1, 0.8\]/)
  })
})

describe('Scheduler', () => {
  it('sweeps as the learning-rate finder does', () => {
    const sweep = new Scheduler({ start: 1e-7, end: 10 }, 100, annealingExp)
    near(sweep.step() / 1e-7, 1.2022644346)
    near(sweep.at(99), 8.317637711)
    near(sweep.at(100), 10)
  })

  it('holds a constant, is linear between two values, and knows its end', () => {
    const constant = new Scheduler(5, 2)
    const line = new Scheduler({ start: 0, end: 1 }, 4)
    expect([constant.at(0), constant.at(1), constant.at(9)]).toEqual([5, 5, 5])
    expect([line.step(), line.step(), line.isDone]).toEqual([0.25, 0.5, false])
    expect([line.step(), line.step(), line.isDone, line.step()]).toEqual([0.75, 1, true, 1])
    const groups = new Scheduler<readonly number[]>({ start: [0, 10], end: [1, 20] }, 2)
    expect(groups.at(1)).toEqual([0.5, 15])
  })

  it('refuses no steps and unequal groups', () => {
    expect(() => new Scheduler(1, 0)).toThrow(/at least 1, got 0/)
    expect(() => new Scheduler<readonly number[]>({ start: [1], end: [1, 2] }, 3)).toThrow(/got 1 and 2/)
  })
})

describe('SmoothedValue', () => {
  it("weighs as fastai's: a jump to 100 at the 20th of constant ones shows as 6.7268", () => {
    const smoothed = new SmoothedValue()
    expect(smoothed.value).toBeNaN()
    for (let i = 0; i < 20; i++) expect(smoothed.add(1)).toBeCloseTo(1, 12)
    expect(smoothed.add(100)).toBeCloseTo(6.7268, 4)
  })

  it('goes on from a saved state', () => {
    const one = new SmoothedValue()
    one.add(3)
    one.add(5)
    const other = new SmoothedValue()
    other.state = one.state
    expect(other.add(1)).toBe(one.add(1))
  })
})
