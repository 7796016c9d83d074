import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { StopAfterNBatches } from '../../callbacks/index.ts'
import { Callback, CancelValidation, metrics } from '../../src/learner/index.ts'
import { lineLearner } from '../learner/support.ts'

const seconds = /^\d\d:\d\d$/

describe('Recorder', () => {
  it('appends over fits, and leaves out sweeps, validation and prediction', async () => {
    const learner = lineLearner({ batches: 5, metrics: [metrics.mae] })
    const { recorder } = learner
    await learner.fit(2, { lr: 0.01 })
    await learner.lrFind({ numIt: 12 })
    await learner.validate()
    await learner.getPredictions()
    await learner.fit(1, { lr: 0.02 })
    expect(learner.recorder).toBe(recorder)
    expect(recorder.lrs).toEqual([...Array(10).fill(0.01), ...Array(5).fill(0.02)])
    for (const list of [recorder.losses, recorder.rawLosses, recorder.momentums])
      expect(list).toHaveLength(15)
    expect(recorder.validLosses).toHaveLength(3)
    expect(recorder.metricNames).toEqual(['mae'])
    expect(recorder.metrics.map((row) => row.length)).toEqual([1, 1, 1])
    expect(recorder.epochs.map(({ fit, epoch, batches }) => [fit, epoch, batches])).toEqual([
      [0, 0, 5],
      [0, 1, 10],
      [1, 0, 15],
    ])
    // The loss is the smoothed one of its fit: the first of each fit is its raw loss.
    expect(recorder.losses[0]).toBeCloseTo(recorder.rawLosses[0]!, 10)
    expect(recorder.losses[10]).toBeCloseTo(recorder.rawLosses[10]!, 10)
    expect(recorder.losses[1]).toBeCloseTo((0.98 * recorder.rawLosses[0]! + recorder.rawLosses[1]!) / 1.98, 6)
  })

  it('writes the history as CSV, epochs counted over all fits', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'anneal-recorder-'))
    class NoValidation extends Callback {
      override onBatchBegin({ train }: { train: boolean }) {
        if (!train) throw new CancelValidation()
      }
    }
    const learner = lineLearner({ metrics: [metrics.mae] })
    await learner.fit(1, { lr: 0.01 })
    await learner.fit(1, { lr: 0.01, callbacks: [new NoValidation()] })
    const file = await learner.recorder.saveHistory(join(folder, 'history.csv'))
    const [header, first, second, end] = readFileSync(file, 'utf8').split('\n')
    rmSync(folder, { recursive: true })
    expect(header).toBe('epoch,trainLoss,validLoss,mae,time')
    const { values } = learner.recorder.epochs[0]!
    const [epoch, train, valid, mae, time] = first!.split(',')
    expect([epoch, train, valid, mae]).toEqual([
      '0',
      values.trainLoss!.toFixed(6),
      values.validLoss!.toFixed(6),
      values.mae!.toFixed(6),
    ])
    expect(time).toMatch(seconds)
    expect(second!.split(',').slice(0, 4)).toEqual([
      '1',
      expect.stringMatching(/^\d\.\d{6}$/),
      '#na#',
      '#na#',
    ])
    expect(end).toBe('')
  })

  it('survives validation, prediction and sweeps, and spans fits', async () => {
    const learner = lineLearner({ metrics: [metrics.mae] })
    const { recorder } = learner
    await learner.fit(2, { lr: 0.01 })
    const first = JSON.stringify([recorder.losses, recorder.epochs])
    await learner.validate()
    await learner.getPredictions()
    await learner.lrFind({ numIt: 6 })
    expect(JSON.stringify([recorder.losses, recorder.epochs])).toBe(first)
    expect(learner.recorder).toBe(recorder)
    await learner.fitOneCycle(1, { maxLr: 0.02 })
    expect(recorder.epochs.map(({ fit, epoch, batches }) => [fit, epoch, batches])).toEqual([
      [0, 0, 5],
      [0, 1, 10],
      [1, 0, 15],
    ])
    expect(recorder.lrs.slice(0, 10)).toEqual(new Array(10).fill(0.01))
    expect(recorder.lrs[11]).toBeCloseTo(0.02, 9) // one of five batches rises
    for (const list of [recorder.lrs, recorder.momentums, recorder.losses, recorder.rawLosses])
      expect(list).toHaveLength(15)
  })

  it('keeps its lists in step when a batch fails', async () => {
    class Broken extends Callback {
      override onLossBegin({ iteration, train }: { iteration: number; train: boolean }) {
        if (train && iteration === 3) throw new Error('out of luck')
      }
    }
    const learner = lineLearner()
    await expect(learner.fit(1, { callbacks: [new Broken()] })).rejects.toThrow('out of luck')
    const { lrs, momentums, losses, rawLosses } = learner.recorder
    for (const list of [lrs, momentums, losses, rawLosses]) expect(list).toHaveLength(3)
  })

  it('has metrics of epochs without validation, and draws each epoch at its number', async () => {
    class Measure extends Callback {
      override order = -15
      override readonly extraMetrics = ['measure']
      override onEpochEnd({ epoch }: { epoch: number }) {
        return { lastMetrics: { measure: epoch % 2 === 0 ? 10 + epoch : null } }
      }
    }
    const drawn = (name: number) => {
      const { concat, layer } = learner.recorder.plotMetrics().spec as never as {
        concat: { layer: { data: { values: { x: number; y: number }[] } }[] }[]
        layer: never
      }
      return (concat?.[name]?.layer ?? layer)[0]!.data.values.map(({ x, y }) => [x, y])
    }
    let learner = lineLearner({ validBatches: 0, callbacks: [new Measure()] })
    await learner.fit(3)
    expect(learner.recorder.metrics).toEqual([[10], [12]])
    expect(drawn(0)).toEqual([
      [0, 10],
      [2, 12],
    ])
    learner = lineLearner({ metrics: [metrics.mae] })
    for (let i = 0; i < 2; i++) await learner.fit(1, { callbacks: [new StopAfterNBatches(1)] })
    await learner.fit(2)
    expect(learner.recorder.metrics).toHaveLength(2)
    expect(drawn(0)).toEqual([2, 3].map((epoch) => [epoch, learner.recorder.epochs[epoch]!.values.mae]))
  })

  it('draws losses, rates and metrics', async () => {
    const learner = lineLearner({ metrics: [metrics.mae, metrics.rmse] })
    const { recorder } = learner
    expect(() => recorder.plotLosses()).toThrow(/no training to plot/)
    await learner.fitOneCycle(2, { maxLr: 0.01 })
    for (const figure of [
      recorder.plotLosses(),
      recorder.plotLosses({ skipStart: 3, skipEnd: 1 }),
      recorder.plotLosses({ raw: false }),
      recorder.plotLr(),
      recorder.plotMetrics(),
    ]) {
      expect(await figure.toSvg()).toContain('<svg')
    }
    expect(() => recorder.plotLosses({ skipStart: 9, skipEnd: 1 })).toThrow(/leave nothing of 10 batches/)
    expect(() => recorder.plotLosses({ skipStart: Number.NaN })).toThrow(/skipStart/)
    expect(() => recorder.plotLosses({ skip: 1 } as never)).toThrow(/unknown option skip/)
    await learner.lrFind({ numIt: 10 })
    expect(() => recorder.plot({ skipEnd: -1 })).toThrow(/skipEnd/)
    expect(() => recorder.plot({ suggestion: true } as never)).toThrow(/unknown option suggestion/)
  })
})
