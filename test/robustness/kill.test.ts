import { expect, test } from 'vitest'
import { killRun } from './killRun.ts'

test('fits that are killed at random moments and resumed end with the bits of one that was not', async () => {
  const kills = Number(process.env.ANNEAL_TEST_KILLS ?? 4)
  const report = await killRun({ kills, seed: Number(process.env.ANNEAL_TEST_SEED ?? 1) })
  expect(report.kills.batch + report.kills.write + report.kills.rename).toBeGreaterThanOrEqual(kills)
  expect(report.fits).toBeGreaterThan(0)
}, 600_000)
