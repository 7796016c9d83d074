import { describe, expect, it } from 'vitest'
import { DataError, nn, ShapeError, tensor } from '../../src/index.ts'
import { labelReport, metrics, suggestThresholds } from '../../src/learner/index.ts'

describe('labelReport', () => {
  const predictions = tensor([
    [0.9, 0.2, 0.1],
    [0.6, 0.4, 0.2],
    [0.4, 0.3, 0.1],
    [0.2, 0.1, 0.3],
  ])
  const targets = tensor([
    [1, 1, 0],
    [0, 1, 0],
    [1, 0, 0],
    [0, 0, 0],
  ])

  it('counts each label by itself', () => {
    const [first, second, third] = labelReport(predictions, targets, { classes: ['a', 'b', 'c'] })
    expect(first).toEqual({ label: 'a', threshold: 0.5, precision: 0.5, recall: 0.5, f1: 0.5, support: 2 })
    expect(second).toEqual({ label: 'b', threshold: 0.5, precision: 0, recall: 0, f1: 0, support: 2 })
    expect(third).toMatchObject({ f1: 0, support: 0 })
    const [lower] = labelReport(predictions, targets, { thresholds: [0.3, 0.2, 0.5] })
    expect(lower).toMatchObject({ label: '0', precision: 2 / 3, recall: 1, f1: 0.8 })
  })

  it('suggests the thresholds of the highest F1', () => {
    const thresholds = suggestThresholds(predictions, targets)
    expect(thresholds[0]).toBeCloseTo(0.3, 6) // all three above: precision 2/3, recall 1
    expect(thresholds[1]).toBeCloseTo(0.15, 6)
    expect(thresholds[2]).toBe(0.5)
    expect(labelReport(predictions, targets, { thresholds }).map(({ f1 }) => f1)).toEqual([0.8, 0.8, 0])
  })

  it('takes a label as given above its threshold, as metrics and losses do', async () => {
    const half = tensor([[0.5], [0.5], [0.9], [0.25]])
    const present = tensor([[1], [1], [1], [0]])
    expect(labelReport(half, present)[0]).toMatchObject({ precision: 1, recall: 1 / 3 })
    expect(await metrics.measure(metrics.recall({ sigmoid: false }), half, present)).toBeCloseTo(1 / 3, 12)
    expect(new nn.BCELoss().decode(half).toArray()).toEqual([[false], [false], [true], [false]])
    // 0.4 is a little more in float32.
    const [score, target] = [tensor([[0.4], [0.7]]), tensor([[1], [1]])]
    const recall = metrics.recall({ sigmoid: false, threshold: 0.4 })
    expect(labelReport(score, target, { thresholds: 0.4 })[0]!.recall).toBe(0.5)
    expect(await metrics.measure(recall, score, target)).toBe(0.5)
  })

  it('suggests thresholds that divide neighbouring numbers', () => {
    const upper = 0.5
    const lower = upper - 2 ** -25
    for (const [one, other] of [
      [upper, lower],
      [lower, lower - 2 ** -25],
    ] as const) {
      const close = tensor([[one], [other]])
      expect(close.toArray()).toEqual([[one], [other]])
      const thresholds = suggestThresholds(close, tensor([[1], [0]]))
      expect(labelReport(close, tensor([[1], [0]]), { thresholds })[0]!.f1).toBe(1)
    }
  })

  it('takes targets that are no and yes', () => {
    const yes = targets.to('bool')
    expect(labelReport(predictions, yes)).toEqual(labelReport(predictions, targets))
    expect(suggestThresholds(predictions, yes)).toEqual(suggestThresholds(predictions, targets))
  })

  it('names targets and predictions that are no such', () => {
    const soft = tensor([
      [1, 0, 0],
      [0, 0.9, 0],
      [0, 0, 0],
      [0, 0, 0],
    ])
    for (const report of [labelReport, suggestThresholds]) {
      expect(() => report(predictions, soft)).toThrow(DataError)
      expect(() => report(predictions, soft)).toThrow(/target of item 1 is 0.8\d*, neither 0 nor 1/)
      expect(() => report(predictions.neg().log(), targets)).toThrow(/prediction of item 0 is NaN/)
    }
  })

  it('names what does not fit', () => {
    expect(() => labelReport(predictions, targets.index(':2'))).toThrow(ShapeError)
    expect(() => labelReport(predictions, targets, { classes: ['a'] })).toThrow(/3 labels, but 1 classes/)
    expect(() => labelReport(predictions, targets, { thresholds: 2 })).toThrow(/from 0 to 1, got 2/)
  })
})
