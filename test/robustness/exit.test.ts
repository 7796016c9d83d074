import { expect, test } from 'vitest'
import { exitRun } from './exitRun.ts'

test('a process that leaves in the middle of a step ends with what it was asked to, and says nothing', async () => {
  const runs = Number(process.env.ANNEAL_TEST_EXITS ?? 24)
  const counts = await exitRun({ runs, seed: Number(process.env.ANNEAL_TEST_SEED ?? 1) })
  expect(Object.values(counts).reduce((sum, count) => sum + count)).toBe(runs)
}, 3_600_000)
