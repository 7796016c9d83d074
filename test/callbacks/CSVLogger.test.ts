import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CheckpointCallback, CSVLogger } from '../../callbacks/index.ts'
import { ConfigError } from '../../src/engine/errors.ts'
import { Callback, Learner, metrics } from '../../src/learner/index.ts'
import { Fail, lineLearner } from '../learner/support.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-csv-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const lines = (name: string) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1)

describe('CSVLogger', () => {
  it('writes a line when each epoch ends, with the recorder’s figures', async () => {
    const counts: number[] = []
    class Count extends Callback {
      override order = 99
      override onEpochEnd() {
        counts.push(lines('history.csv').length)
      }
    }
    const learner = lineLearner({ path: folder, metrics: [metrics.mae] })
    await learner.fit(2, { lr: 0.01, callbacks: [new CSVLogger(), new Count()] })
    expect(counts).toEqual([2, 3])
    const without = (line: string) => line.replace(/,\d\d:\d\d$/, '')
    expect(lines('history.csv').map(without)).toEqual(
      learner.recorder.toCsv().trim().split('\n').map(without),
    )
  })

  it('begins anew with each fit, or goes on', async () => {
    const learner = lineLearner({ path: folder })
    const anew = new CSVLogger({ filename: 'anew' })
    const append = new CSVLogger({ filename: 'append.csv', append: true })
    for (let i = 0; i < 2; i++) await learner.fit(2, { callbacks: [anew, append] })
    expect(lines('anew.csv').map((line) => line.split(',')[0])).toEqual(['epoch', '0', '1'])
    expect(lines('append.csv').map((line) => line.split(',')[0])).toEqual(['epoch', '0', '1', '0', '1'])
  })

  it('goes on from a checkpoint without anything twice', async () => {
    const callbacks = () => [new CSVLogger(), new CheckpointCallback({ every: 3 })]
    const whole = lineLearner({ path: folder })
    await whole.fit(3, { lr: 0.01, callbacks: [new CSVLogger({ filename: 'whole' })] })
    const broken = lineLearner({ path: folder }).fit(3, {
      lr: 0.01,
      callbacks: [...callbacks(), new Fail(14)],
    })
    await expect(broken).rejects.toThrow('out of luck')
    const resumed = await Learner.resume('last', lineLearner({ path: folder }))
    await resumed.fit(3, { lr: 0.01, callbacks: callbacks() })
    expect(lines('history.csv')).toEqual(lines('whole.csv'))
  })

  it('begins anew where a fit resumes in which it was not before, or goes on if told', async () => {
    for (const name of ['anew.csv', 'append.csv', 'other.csv']) {
      const columns = name === 'other.csv' ? 'epoch,loss' : 'epoch,trainLoss,validLoss,time'
      writeFileSync(join(folder, name), `${columns}\nearlier\n`)
    }
    const broken = lineLearner({ path: folder }).fit(3, {
      callbacks: [new CheckpointCallback({ every: 3 }), new Fail(14)],
    })
    await expect(broken).rejects.toThrow('out of luck')
    const resumed = await Learner.resume('last', lineLearner({ path: folder }))
    await resumed.fit(3, {
      callbacks: [
        new CheckpointCallback({ every: 3 }),
        new CSVLogger({ filename: 'anew' }),
        new CSVLogger({ filename: 'append', append: true }),
        new CSVLogger({ filename: 'other' }),
      ],
    })
    const firsts = (name: string) => lines(name).map((line) => line.split(',')[0])
    expect(firsts('anew.csv')).toEqual(['epoch', '1', '2'])
    expect(firsts('append.csv')).toEqual(['epoch', 'earlier', '1', '2'])
    expect(firsts('other.csv')).toEqual(['epoch', '1', '2'])
  })

  it('goes on with a file of the same columns only', async () => {
    const log = () => new CSVLogger({ append: true })
    await lineLearner({ path: folder }).fit(1, { callbacks: [log()] })
    const other = lineLearner({ path: folder, metrics: [metrics.mae] })
    await expect(other.fit(1, { callbacks: [log()] })).rejects.toThrow(
      /columns are epoch,trainLoss,validLoss,time, those of this fit epoch,trainLoss,validLoss,mae,time/,
    )
    expect(lines('history.csv')).toHaveLength(2)
    await lineLearner({ path: folder }).fit(1, { callbacks: [log()] })
    expect(lines('history.csv')).toHaveLength(3)
  })

  it('puts names with commas in quotes', async () => {
    const odd = metrics.named('share, "lost"', () => 0.5)
    await lineLearner({ path: folder, metrics: [odd] }).fit(1, { callbacks: [new CSVLogger()] })
    expect(lines('history.csv')[0]).toBe('epoch,trainLoss,validLoss,"share, ""lost""",time')
  })

  it('says what it cannot write', async () => {
    writeFileSync(join(folder, 'file'), '')
    const fit = lineLearner({ path: join(folder, 'file') }).fit(1, { callbacks: [new CSVLogger()] })
    await expect(fit).rejects.toThrow(ConfigError)
    await expect(fit).rejects.toThrow(/history\.csv/)
  })
})
