import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PbfReader } from 'pbf'
import { describe, expect, it } from 'vitest'
import {
  CheckpointCallback,
  TensorBoardLogger,
  type TensorBoardLoggerOptions,
} from '../../callbacks/index.ts'
import { Learner, metrics } from '../../src/learner/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { Fail, lineLearner } from '../learner/support.ts'

interface Logged {
  step: number
  tag: string
  value: number | 'histogram'
}

/** What an event file holds. (That the framing and the messages are TensorBoard's own is tested in test/io.) */
function read(file: string): { version: string; values: Logged[] } {
  const bytes = readFileSync(file)
  const values: Logged[] = []
  let version = ''
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at))
    const event = { step: 0 }
    new PbfReader(bytes.subarray(at + 12, at + 12 + length)).readFields((field, _, event_) => {
      if (field === 2) event.step = event_.readVarint()
      if (field === 3) version = event_.readString()
      if (field === 5) {
        event_.readMessage((_value, __, summary) => {
          const one: Logged = { step: event.step, tag: '', value: 'histogram' }
          summary.readMessage((part, ___, fields) => {
            if (part === 1) one.tag = fields.readString()
            if (part === 2) one.value = fields.readFloat()
          }, null)
          values.push(one)
        }, null)
      }
    }, null)
    at += length + 16
  }
  return { version, values }
}

const runFolder = (path: string) => join(path, 'runs', 'one')
const filesOf = (path: string) => readdirSync(runFolder(path)).sort()
const logger = (options: TensorBoardLoggerOptions = {}) =>
  new TensorBoardLogger({ name: 'one', every: 2, ...options })

describe('TensorBoardLogger', () => {
  it('writes losses, rates and metrics by batch and by epoch', async () => {
    const path = await temporaryFolder()
    const learner = lineLearner({ path, metrics: [metrics.mae] })
    const board = logger({ histograms: true })
    await learner.fit(2, { lr: 0.01, callbacks: [board] })
    const { version, values } = read(board.file!)
    expect(version).toBe('brain.Event:2')
    expect(filesOf(path)).toHaveLength(1)
    expect(filesOf(path)[0]).toMatch(/^events\.out\.tfevents\.\d{10}\./)
    const of = (tag: string) =>
      values.filter((value) => value.tag === tag).map(({ step, value }) => [step, value])
    const near = (list: readonly number[], at: readonly number[]) =>
      at.map((step, i) => [step, expect.closeTo(list[i]!, 6)])
    const { recorder } = learner
    const batches = [2, 4, 6, 8, 10]
    expect(of('loss/train')).toEqual(
      near(
        batches.map((batch) => recorder.rawLosses[batch - 1]!),
        batches,
      ),
    )
    expect(of('loss/trainSmooth')).toEqual(
      near(
        batches.map((batch) => recorder.losses[batch - 1]!),
        batches,
      ),
    )
    expect(of('lr')).toEqual(batches.map((batch) => [batch, expect.closeTo(0.01, 8)]))
    expect(of('loss/valid')).toEqual(near(recorder.validLosses, [5, 10]))
    expect(of('metrics/mae')).toEqual(
      near(
        recorder.metrics.map(([mae]) => mae!),
        [5, 10],
      ),
    )
    expect(of('loss/trainMean')).toEqual(
      near(
        recorder.epochs.map(({ meanLoss }) => meanLoss),
        [5, 10],
      ),
    )
    expect(of('parameters/weight')).toEqual([
      [5, 'histogram'],
      [10, 'histogram'],
    ])
  })

  it('counts steps on over fits, each with a file of its own', async () => {
    const path = await temporaryFolder()
    const learner = lineLearner({ path })
    const board = logger({ every: 5 })
    await learner.fit(1, { callbacks: [board] })
    await learner.fit(1, { callbacks: [board] })
    const [first, second] = filesOf(path).map((file) => read(join(runFolder(path), file)).values)
    expect(new Set(first!.map(({ step }) => step))).toEqual(new Set([5]))
    expect(new Set(second!.map(({ step }) => step))).toEqual(new Set([10]))
  })

  it('goes on in its file when a fit resumes, without anything twice', async () => {
    const path = await temporaryFolder()
    const whole = await temporaryFolder()
    const checkpoint = () => new CheckpointCallback({ every: 3 })
    const uninterrupted = logger()
    await lineLearner({ path: whole }).fit(3, { lr: 0.01, callbacks: [uninterrupted] })
    const broken = lineLearner({ path }).fit(3, {
      lr: 0.01,
      callbacks: [logger(), checkpoint(), new Fail(14)],
    })
    await expect(broken).rejects.toThrow('out of luck')
    const board = logger()
    const learner = await Learner.resume('last', lineLearner({ path }))
    await learner.fit(3, { lr: 0.01, callbacks: [board, checkpoint()] })
    expect(filesOf(path)).toHaveLength(1)
    expect(read(board.file!)).toEqual(read(uninterrupted.file!))
  })

  it('has the rest of a fit that resumes, and of which it was no part before', async () => {
    const path = await temporaryFolder()
    const checkpoint = () => new CheckpointCallback({ every: 3 })
    const broken = lineLearner({ path }).fit(3, { lr: 0.01, callbacks: [checkpoint(), new Fail(14)] })
    await expect(broken).rejects.toThrow('out of luck')
    const board = logger({ every: 1 })
    const learner = await Learner.resume('last', lineLearner({ path }))
    await learner.fit(3, { lr: 0.01, callbacks: [board, checkpoint()] })
    const steps = (tag: string) =>
      read(board.file!)
        .values.filter((value) => value.tag === tag)
        .map(({ step }) => step)
    expect(steps('loss/train')).toEqual([10, 11, 12, 13, 14, 15])
    expect(steps('loss/valid')).toEqual([10, 15])
    expect(filesOf(path)).toHaveLength(1)
  })

  it('stays out of sweeps and validation, and says what it cannot write', async () => {
    const path = await temporaryFolder()
    const learner = lineLearner({ path, callbacks: [logger()] })
    await learner.lrFind({ numIt: 10 })
    await learner.validate()
    expect(readdirSync(path)).toEqual([])
    writeFileSync(join(path, 'runs'), '')
    await expect(learner.fit(1)).rejects.toThrow(/TensorBoardLogger cannot write .*runs/)
    expect(() => logger({ every: 0 })).toThrow(/every/)
    expect(() => logger({ name: '' })).toThrow(/must not be empty/)
    expect(() => new TensorBoardLogger({ logdir: 'x' } as never)).toThrow(/unknown option logdir/)
    expect(() => logger({ histograms: 1 as never })).toThrow(/got 1/)
  })
})
