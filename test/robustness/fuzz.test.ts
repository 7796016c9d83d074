import { expect, test } from 'vitest'
import { fuzzRun, targets } from './fuzzRun.ts'

test.each(Object.keys(targets))(
  'spoilt files: %s',
  async (kind) => {
    const runs = kind === 'checkpoint' ? 150 : 800
    const report = await fuzzRun({ runs, seed: Number(process.env.ANNEAL_TEST_SEED ?? 1), kinds: [kind] })
    expect(report.findings.map(({ input, problem }) => `input ${input}: ${problem}`)).toEqual([])
    // Some are refused, and some are good enough to be read to their end.
    expect(report.refused[kind]).toBeGreaterThan(0)
    expect(report.refused[kind]).toBeLessThan(runs)
  },
  120_000,
)
