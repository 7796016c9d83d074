import { expect, test } from 'vitest'
import { callsRun } from './callsRun.ts'

test('whatever is called with whatever, no process ends or hangs, and all that follows is right', async () => {
  const calls = Number(process.env.ANNEAL_TEST_CALLS ?? 40_000)
  const report = await callsRun({ calls, seed: Number(process.env.ANNEAL_TEST_SEED ?? 1) })
  expect(report.findings).toEqual([])
  const made = Object.values(report.counts).reduce((sum, count) => sum + count, 0)
  expect(made).toBe(calls)
  expect(report.missed.slice(0, calls >= 40_000 ? undefined : 0)).toEqual([])
}, 1_200_000)
