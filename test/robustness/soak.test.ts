import { describe, expect, it } from 'vitest'
import { randomNumbers } from './random.ts'
import { robustSlope } from './slope.ts'
import type { Sample } from './soakProcess.ts'
import { judge, soakRun } from './soakRun.ts'

describe('a long training', () => {
  // Hardly more than a warm-up: what is still found is a step's batch, tensor or file that stays.
  it('keeps nothing of its steps', async () => {
    const steps = 1500
    const report = await soakRun({ steps, seed: 1, collect: true, bound: 48 * 1024 })
    expect(report.grown).toEqual([])
    expect(report.steps).toBeGreaterThanOrEqual(steps)
    expect(report.samples).toBeGreaterThanOrEqual(8)
  }, 300_000)
})

describe('what is said of the samples', () => {
  const random = randomNumbers(4)
  /** An epoch each, with the noise of a real one. */
  const samples = (change: (sample: Sample, i: number) => Partial<Sample> = () => ({})): Sample[] =>
    Array.from({ length: 400 }, (_, i) => {
      const sample: Sample = {
        step: 30 * (i + 1),
        resident: 130e6 + 2e6 * random() + (i % 7 === 0 ? 16e6 : 0) + 1e7 * (1 - Math.exp(-i / 30)),
        heap: 40e6,
        tensors: 54 + 15 * (i % 2),
        tensorBytes: 50_000 + 10_000 * (i % 2),
        files: 22,
        threads: 13 + Math.floor(4 * random()),
      }
      return { ...sample, ...change(sample, i) }
    })
  const grown = (change?: (sample: Sample, i: number) => Partial<Sample>) =>
    judge(samples(change), { collected: true }).grown.join('; ')

  it('is nothing, where memory rises at first and then only fluctuates', () => {
    expect(grown()).toBe('')
  })

  it('is what grew, however little at a time', () => {
    expect(grown(({ resident, step }) => ({ resident: resident + 400 * step }))).toMatch(/^resident memory: /)
    expect(grown(({ tensors }, i) => ({ tensors: tensors + (i > 350 ? 1 : 0) }))).toMatch(
      /tensors: at most 69/,
    )
    expect(grown((_, i) => ({ files: 22 + (i > 350 ? 1 : 0) }))).toMatch(/open files: at most 22, later 23/)
    expect(grown(({ threads }, i) => ({ threads: threads + Math.floor(i / 25) }))).toMatch(/threads: /)
  })

  it('takes a line for a line, and an outlier for one', () => {
    const x = Array.from({ length: 60 }, (_, i) => i)
    const exact = robustSlope(
      x,
      x.map((i) => 3 * i + 7),
    )
    expect(exact).toEqual({ slope: expect.closeTo(3, 12), noise: expect.closeTo(0, 12) })
    const struck = robustSlope(
      x,
      x.map((i) => 3 * i + 7 + (i === 59 || i === 40 ? 1e6 : 0)),
    )
    expect(struck.slope).toBeCloseTo(3, 12)
    const flat = robustSlope(
      x,
      x.map(() => random()),
    )
    expect(Math.abs(flat.slope)).toBeLessThan(0.02)
    expect(flat.noise).toBeGreaterThan(0)
  })
})
