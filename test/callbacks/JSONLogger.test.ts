import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CheckpointCallback, JSONLogger, OneCycleScheduler } from '../../callbacks/index.ts'
import { CancelBatch, Learner, metrics, slice } from '../../src/learner/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { resumableLearner } from '../learner/resumable.ts'
import { Canned, Fail, lineLearner, on } from '../learner/support.ts'

const objects = (...file: string[]) =>
  readFileSync(join(...file), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>)

describe('JSONLogger', () => {
  it('writes an object for each epoch', async () => {
    const path = await temporaryFolder()
    const learner = lineLearner({ path, metrics: [metrics.mae] })
    const log = new JSONLogger()
    await learner.fit(2, { lr: 0.01, callbacks: [log] })
    expect(log.file).toBe(join(path, 'history.jsonl'))
    expect(objects(log.file!)).toEqual(
      learner.recorder.epochs.map(({ epoch, values, meanLoss }) => ({
        type: 'epoch',
        epoch,
        ...values,
        meanLoss,
        seconds: expect.any(Number),
      })),
    )
  })

  it('and for batches, with the rates that they ran with', async () => {
    const path = await temporaryFolder()
    const learner = lineLearner({ path, validBatches: 0 })
    await learner.fit(2, {
      callbacks: [new OneCycleScheduler({ maxLr: 0.1 }), new JSONLogger({ batches: 3 })],
    })
    const { rawLosses, losses, lrs } = learner.recorder
    expect(objects(path, 'history.jsonl').filter(({ type }) => type === 'batch')).toEqual(
      [2, 5, 8].map((iteration) => ({
        type: 'batch',
        iteration,
        epoch: iteration < 5 ? 0 : 1,
        batch: iteration % 5,
        loss: rawLosses[iteration],
        smoothLoss: losses[iteration],
        lr: lrs[iteration],
        momentum: expect.any(Number),
      })),
    )
  })

  it('not for batches that were cancelled, which have no loss', async () => {
    const path = await temporaryFolder()
    const cancel = on('onLossBegin', ({ train, iteration }: { train: boolean; iteration: number }) => {
      if (train && iteration === 1) throw new CancelBatch()
    })
    await lineLearner({ path }).fit(1, { callbacks: [cancel, new JSONLogger({ batches: 1 })] })
    const batches = objects(path, 'history.jsonl').filter(({ type }) => type === 'batch')
    expect(batches.map(({ iteration }) => iteration)).toEqual([0, 2, 3, 4])
  })

  it('has the rates of all layer groups, where there are several', async () => {
    const path = await temporaryFolder()
    const learner = resumableLearner(path)
    await learner.fit(1, { lr: slice(1e-3, 1e-2), callbacks: [new JSONLogger({ batches: 5 })] })
    expect(objects(path, 'history.jsonl')[0]).toMatchObject({ lr: 1e-2, lrs: [1e-3, 1e-2], momentum: 0.9 })
  })

  it('has texts for what JSON cannot count, and null for what is not there', async () => {
    const path = await temporaryFolder()
    const log = new JSONLogger({ filename: 'log.json' })
    await lineLearner({ path }).fit(3, {
      callbacks: [new Canned([Number.NaN, Number.NEGATIVE_INFINITY]), log],
    })
    expect(objects(path, 'log.json').map(({ validLoss }) => validLoss)).toEqual(['NaN', '-Infinity', null])
  })

  it('begins anew, goes on if told, and goes on from a checkpoint without anything twice', async () => {
    const path = await temporaryFolder()
    const learner = lineLearner({ path })
    const callbacks = [new JSONLogger({ filename: 'anew' }), new JSONLogger({ filename: 'on', append: true })]
    for (let i = 0; i < 2; i++) await learner.fit(2, { callbacks })
    const epochs = (file: string) => objects(path, file).map(({ epoch }) => epoch)
    expect(epochs('anew.jsonl')).toEqual([0, 1])
    expect(epochs('on.jsonl')).toEqual([0, 1, 0, 1])

    const every = () => [new JSONLogger({ batches: 1 }), new CheckpointCallback({ every: 3 })]
    const whole = lineLearner({ path })
    await whole.fit(3, { lr: 0.01, callbacks: [new JSONLogger({ filename: 'whole', batches: 1 })] })
    const broken = lineLearner({ path }).fit(3, { lr: 0.01, callbacks: [...every(), new Fail(14)] })
    await expect(broken).rejects.toThrow('out of luck')
    const resumed = await Learner.resume('last', lineLearner({ path }))
    await resumed.fit(3, { lr: 0.01, callbacks: every() })
    const without = (file: string) => objects(path, file).map(({ seconds, ...rest }) => rest)
    expect(without('history.jsonl')).toEqual(without('whole.jsonl'))
  })

  it('begins anew where a fit resumes in which it was not before, or goes on if told', async () => {
    const path = await temporaryFolder()
    for (const name of ['anew', 'on']) writeFileSync(join(path, `${name}.jsonl`), '{"epoch":"earlier"}\n')
    const broken = lineLearner({ path }).fit(3, {
      callbacks: [new CheckpointCallback({ every: 3 }), new Fail(14)],
    })
    await expect(broken).rejects.toThrow('out of luck')
    const resumed = await Learner.resume('last', lineLearner({ path }))
    await resumed.fit(3, {
      callbacks: [
        new JSONLogger({ filename: 'anew', batches: 1 }),
        new JSONLogger({ filename: 'on', append: true }),
      ],
    })
    const found = objects(path, 'anew.jsonl').map(({ iteration, epoch }) => iteration ?? `epoch ${epoch}`)
    expect(found).toEqual([9, 'epoch 1', 10, 11, 12, 13, 14, 'epoch 2'])
    expect(objects(path, 'on.jsonl').map(({ epoch }) => epoch)).toEqual(['earlier', 1, 2])
  })

  it('stays out of sweeps and validation, and refuses what cannot be', async () => {
    const path = await temporaryFolder()
    writeFileSync(join(path, 'file'), '')
    const learner = lineLearner({ path: join(path, 'file'), callbacks: [new JSONLogger({ batches: 1 })] })
    await learner.lrFind({ numIt: 10 })
    await learner.validate()
    await expect(learner.fit(1)).rejects.toThrow(/JSONLogger cannot write .*history\.jsonl/)
    expect(() => new JSONLogger({ batches: 0 })).toThrow(/batches/)
    expect(() => new JSONLogger({ filename: '' })).toThrow(/empty/)
    expect(() => new JSONLogger({ file: 'x' } as never)).toThrow(/unknown option file/)
  })
})
