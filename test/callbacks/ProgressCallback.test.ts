import { afterEach, describe, expect, it, vi } from 'vitest'
import { CheckpointCallback, ProgressCallback } from '../../callbacks/index.ts'
import { type Callback, Learner, metrics } from '../../src/learner/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { Fail, lineLearner } from '../learner/support.ts'

/** A stream that keeps what is written, and a clock that goes on by a quarter of a second at each look. */
function fake(isTTY: boolean, columns = 200) {
  const written: string[] = []
  let time = 0
  return {
    written,
    options: {
      stream: { isTTY, columns, write: (text: string) => written.push(text) },
      now: () => (time += 250),
    },
  }
}

describe('a sweep', () => {
  const before = process.stdout.isTTY
  afterEach(() => {
    process.stdout.isTTY = before
    vi.restoreAllMocks()
  })

  it('has a bar on a terminal, which is gone afterwards; where there is none, or silence, nothing', async () => {
    const written: string[] = []
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0)
    process.stdout.isTTY = true
    await lineLearner({ silent: false }).lrFind({ numIt: 10, endLr: 1e-3 })
    expect(written[0]).toMatch(
      /lrFind {2}█+░+ {2}1\/10 {2}[\d.]+ batches\/s {2}[\d:]+ left {2}lr 1\.0e-7 {2}loss \d/,
    )
    expect(written.at(-1)).toBe('\r\x1b[K')
    written.length = 0
    await lineLearner({ silent: true }).lrFind({ numIt: 10, endLr: 1e-3 })
    process.stdout.isTTY = false
    await lineLearner({ silent: false }).lrFind({ numIt: 10, endLr: 1e-3 })
    expect(written).toEqual([])
  })
})

describe('ProgressCallback', () => {
  it('writes a line for each epoch where there is no terminal', async () => {
    const { written, options } = fake(false)
    const learner = lineLearner({ metrics: [metrics.mae], callbacks: [new ProgressCallback(options)] })
    await learner.fit(2, { lr: 0.01 })
    const [first, second] = learner.recorder.epochs.map(({ values }) =>
      Object.values(values).map((value) => value!.toFixed(6)),
    )
    expect(written).toEqual([
      'epoch  trainLoss  validLoss  mae        time\n',
      `0      ${first!.map((text) => text.padEnd(9)).join('  ')}  00:00\n`,
      `1      ${second!.map((text) => text.padEnd(9)).join('  ')}  00:00\n`,
    ])
  })

  it('redraws a bar in place on a terminal, with rate and time left', async () => {
    const { written, options } = fake(true)
    await lineLearner({ batches: 4, validBatches: 2, callbacks: [new ProgressCallback(options)] }).fit(1)
    const bars = written.filter((text) => text.startsWith('\r\x1b[K') && text.length > 4)
    expect(bars).toHaveLength(6)
    expect(bars[0]).toMatch(
      /epoch 0 \(1 of 1\) train {2}█{6}░{18} {2}1\/4 {2}4\.0 batches\/s {2}00:01 left {2}loss \d\.\d{4}$/,
    )
    expect(bars[3]).toMatch(/train {2}█{24} {2}4\/4 {2}4\.0 batches\/s {2}00:00 left/)
    expect(bars[4]).toMatch(/valid {2}█{12}░{12} {2}1\/2 {2}4\.0 batches\/s/)
    expect(bars.join('')).not.toContain('\n')
    expect(written.at(-2)).toBe('\r\x1b[K')
    expect(written.at(-1)).toMatch(/^0 .*00:02\n$/)
  })

  it('draws no more often than the interval, and no wider than the terminal', async () => {
    const { written, options } = fake(true, 40)
    await lineLearner({
      batches: 8,
      validBatches: 0,
      callbacks: [new ProgressCallback({ ...options, interval: 600 })],
    }).fit(1)
    const bars = written.filter((text) => text.startsWith('\r\x1b[K') && text.length > 4)
    expect(bars).toHaveLength(3) // at 250 ms a batch: the 1st, 4th and 7th
    for (const bar of bars) expect(bar.replace('\r\x1b[K', '').length).toBeLessThan(40)
  })

  it('counts the rate of a fit that resumes from where it does', async () => {
    const path = await temporaryFolder()
    const run = (learner: Learner, ...extra: Callback[]) =>
      learner.fit(1, { callbacks: [new CheckpointCallback({ every: 1 }), ...extra] })
    await expect(run(lineLearner({ path, batches: 8 }), new Fail(5))).rejects.toThrow()
    const { written, options } = fake(true)
    const learner = await Learner.resume('last', lineLearner({ path, batches: 8 }))
    await run(learner, new ProgressCallback(options))
    const bar = written.find((text) => text.includes('/8'))
    expect(bar).toMatch(/ 6\/8 {2}4\.0 batches\/s {2}00:01 left/)
  })

  it('takes the bar away when the fit fails', async () => {
    const { written, options } = fake(true)
    const learner = lineLearner({ callbacks: [new ProgressCallback(options)] })
    await expect(learner.fit(1, { lr: 1e30 })).rejects.toThrow(/became/)
    expect(written.at(-1)).toBe('\r\x1b[K')
  })

  it('shows what is not there as fastai does', async () => {
    const { written, options } = fake(false)
    await lineLearner({ validBatches: 0, callbacks: [new ProgressCallback(options)] }).fit(1)
    expect(written[0]).toBe('epoch  trainLoss  time\n')
  })
})
