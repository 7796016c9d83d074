import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ShapeError } from '../../src/engine/errors.ts'
import { type Tensor, tensor } from '../../src/engine/index.ts'
import { ClassificationInterpretation } from '../../src/learner/interpretation.ts'
import { toMetrics } from '../../src/learner/Metric.ts'
import * as metrics from '../../src/learner/metrics.ts'
import type * as nn from '../../src/nn/index.ts'
import { lineLearner } from './support.ts'

/** The metric over batches of output and target. */
async function over(metric: metrics.MetricLike, ...batches: (readonly [Tensor, Tensor])[]): Promise<number> {
  const run = toMetrics([metric])[0]!.begin()
  for (const [output, target] of batches) await run.update(output, target, output.shape[0]!)
  return run.value()
}

const logits = tensor([
  [0.1, 0.7, 0.2],
  [0.5, 0.3, 0.2],
  [0.2, 0.3, 0.5],
  [0.6, 0.3, 0.1],
])
const classes = (...values: number[]) => tensor(values, { dtype: 'int64' })

describe('metrics', () => {
  it('accuracy and error rate', async () => {
    expect(await over(metrics.accuracy, [logits, classes(1, 0, 2, 2)])).toBeCloseTo(0.75, 6)
    expect(await over(metrics.errorRate, [logits, classes(1, 0, 2, 2)])).toBeCloseTo(0.25, 6)
    // One class index for each of two places: [N, C, d] against [N, d].
    const maps = tensor([
      [
        [0.9, 0.1],
        [0.1, 0.9],
      ],
    ])
    expect(await over(metrics.accuracy, [maps, tensor([[0, 0]], { dtype: 'int64' })])).toBeCloseTo(0.5, 6)
  })

  it('are averaged over samples, not over batches', async () => {
    const few = [logits.index('0:1'), classes(0)] as const
    expect(await over(metrics.accuracy, [logits, classes(1, 0, 2, 0)], few)).toBeCloseTo(4 / 5, 6)
  })

  it('top-k accuracy', async () => {
    const batch = [logits, classes(2, 2, 1, 0)] as const
    expect(await over(metrics.topKAccuracy(1), batch)).toBeCloseTo(0.25, 6)
    expect(await over(metrics.topKAccuracy(2), batch)).toBeCloseTo(0.75, 6)
    expect(await over(metrics.topKAccuracy(3), batch)).toBe(1)
    await expect(over(metrics.topKAccuracy(4), batch)).rejects.toThrow(/k is 4.*3 classes/)
    expect(() => metrics.topKAccuracy(0)).toThrow(/k must be/)
    await expect(over(metrics.topKAccuracy as unknown as metrics.MetricLike, batch)).rejects.toThrow(
      /topKAccuracy.*k must be/,
    )
  })

  it('accuracy of yes-no questions', async () => {
    const batch = [
      tensor([
        [2, -1],
        [-3, 0.5],
      ]),
      tensor([
        [1, 0],
        [1, 1],
      ]),
    ] as const
    expect(await over(metrics.accuracyThresh(), batch)).toBeCloseTo(0.75, 6)
    expect(await over(metrics.accuracyThreshold(), batch)).toBeCloseTo(0.75, 6)
    expect(await over(metrics.accuracyThreshold(0.9), batch)).toBeCloseTo(0.25, 6)
    expect(await over(metrics.accuracyThreshold(0.5, { sigmoid: false }), batch)).toBeCloseTo(0.5, 6)
  })

  it('errors of regressions; the root is taken of the whole pass', async () => {
    const first = [tensor([[1], [2]]), tensor([[1], [4]])] as const
    const second = [tensor([[0]]), tensor([[4]])] as const
    expect(await over(metrics.mse, first, second)).toBeCloseTo((0 + 4 + 16) / 3, 6)
    expect(await over(metrics.mae, first, second)).toBeCloseTo((0 + 2 + 4) / 3, 6)
    expect(await over(metrics.rmse, first, second)).toBeCloseTo(Math.sqrt(20 / 3), 6)
  })

  it.each(['uint8', 'int32', 'int64'] as const)('errors of whole numbers in %s', async (dtype) => {
    const batch = [tensor([1, 2, 250], { dtype }), tensor([1, 4, 254], { dtype })] as const
    expect(await over(metrics.mse, batch)).toBeCloseTo((0 + 4 + 16) / 3, 6)
    expect(await over(metrics.mae, batch)).toBeCloseTo((0 + 2 + 4) / 3, 6)
    expect(await over(metrics.rmse, batch)).toBeCloseTo(Math.sqrt(20 / 3), 6)
  })

  it('refuse shapes that would broadcast into nonsense', async () => {
    await expect(over(metrics.mse, [tensor([[1], [2]]), tensor([1, 2])])).rejects.toThrow(ShapeError)
    await expect(over(metrics.accuracy, [tensor([[1], [2]]), classes(0, 1)])).rejects.toThrow(
      /at least 2 classes/,
    )
    await expect(over(metrics.accuracy, [logits, classes(0, 1)])).rejects.toThrow(/\[4, 3\] and \[2\]/)
  })

  it('may be functions of your own, named', async () => {
    function spread(output: Tensor) {
      return output.max().sub(output.min())
    }
    expect(toMetrics([spread])[0]!.name).toBe('spread')
    expect(await over(spread, [logits, logits])).toBeCloseTo(0.6, 6)
    expect(toMetrics([metrics.named('other', () => 1)])[0]!.name).toBe('other')
    await expect(
      over(
        metrics.named('raw', (output) => output),
        [logits, logits],
      ),
    ).rejects.toThrow(/raw must give a number.*\[4, 3\]/)
  })
})

interface Fixtures {
  data: Record<string, { output: number[]; target: number[]; classes: boolean }>
  cases: { metric: string; data: string; options: Record<string, never>; value: number | null }[]
  report: Record<'predicted' | 'actual' | 'precision' | 'recall' | 'f1' | 'support', number[]>
  matrices: { data: string; normalize: 'actual' | 'predicted' | 'all' | null; value: number[][] }[]
}

/** Made by scikit-learn: fixtures/make_metrics.py. */
const fixtures = JSON.parse(
  readFileSync(new URL('./fixtures/metrics.json', import.meta.url), 'utf8'),
) as Fixtures

const isRegression = (metric: string) =>
  ['mse', 'mae', 'rmse', 'msle', 'rmsle', 'r2Score', 'explainedVariance', 'psnr'].includes(metric)

function dataOf(metric: string, name: string): readonly [Tensor, Tensor] {
  const { output, target, classes } = fixtures.data[name]!
  const dtype = isRegression(metric) ? 'float64' : 'float32'
  return [tensor(output, { dtype }), tensor(target, { dtype: classes ? 'int64' : dtype })]
}

const byName = new Map<string, unknown>(Object.entries(metrics))

function metricOf(metric: string, options: Record<string, never>): metrics.MetricLike {
  if (metric === 'topKAccuracy') return metrics.topKAccuracy((options as unknown as { k: number }).k)
  const found = byName.get(metric) as typeof metrics.precision
  return Object.keys(options).length > 0 ? found(options) : found
}

const cut = (whole: Tensor, ...at: number[]) =>
  [0, ...at].map((start, i) => whole.narrow(0, start, (at[i] ?? whole.shape[0]!) - start))

describe("scikit-learn's values", () => {
  const names = [...new Set(fixtures.cases.map(({ metric }) => metric))]
  it.each(names)('%s, in one batch and in three', async (name) => {
    for (const { metric, data, options, value } of fixtures.cases) {
      if (metric !== name) continue
      const [output, target] = dataOf(metric, data)
      const what = `${metric} of ${data} with ${JSON.stringify(options)}`
      const like = metricOf(metric, options)
      const [outputs, targets] = [cut(output, 1, 3), cut(target, 1, 3)]
      const batches = outputs.map((part, i) => [part, targets[i]!] as const)
      for (const found of [await metrics.measure(like, output, target), await over(like, ...batches)]) {
        if (value === null) expect(found, what).toBeNaN()
        else
          expect(Math.abs(found - value), `${what}: ${found}, not ${value}`).toBeLessThan(
            2e-7 * (1 + Math.abs(value)),
          )
      }
    }
  })

  it.each(fixtures.matrices)(
    'confusion matrix, normalized by $normalize',
    async ({ data, normalize, value }) => {
      const found = await metrics.confusionMatrix(...dataOf('confusionMatrix', data), { normalize })
      expect(found.flat()).toEqual(value.flat().map((share) => expect.closeTo(share, 12)))
    },
  )

  it('of each class, in an interpretation; a share of nothing is NaN there, not 0', () => {
    const { predicted, actual, ...scores } = fixtures.report
    const names = ['a', 'b', 'c', 'd', 'e']
    const report = new ClassificationInterpretation(names, predicted, actual, []).classReport()
    expect(report.map((one) => one.class)).toEqual(names)
    expect(report.map((one) => one.support)).toEqual(scores.support)
    for (const key of ['precision', 'recall', 'f1'] as const) {
      expect(report.map((one) => one[key] || 0)).toEqual(
        scores[key].map((value) => expect.closeTo(value, 12)),
      )
    }
    expect(report[2]!.precision).toBeNaN()
    expect(report[3]!.recall).toBeNaN()
  })

  it('wait for no batch', () => {
    for (const { metric, data, options } of fixtures.cases) {
      const run = toMetrics([metricOf(metric, options)])[0]!.begin()
      const [output, target] = dataOf(metric, data)
      expect(run.update(output, target, output.shape[0]!), metric).toBeUndefined()
    }
  })
})

const range = (count: number) => Array.from({ length: count }, (_, i) => i)

describe('metrics at their edges', () => {
  const [output, target] = dataOf('auroc', 'four')

  it('leave out what the loss ignores', async () => {
    const some = tensor([1, -100, 0, -100], { dtype: 'int64' })
    const kept = [logits.index([0, 2]), classes(1, 0)] as const
    for (const metric of [metrics.recall, metrics.kappaScore, metrics.perplexity]) {
      expect(await metrics.measure(metric, logits, some)).toBeCloseTo(
        await metrics.measure(metric, ...kept),
        6,
      )
    }
    const border = metrics.iou({ ignoreIndex: 255 })
    expect(await metrics.measure(border, logits, classes(1, 255, 0, 255))).toBeCloseTo(
      await metrics.measure(metrics.iou, ...kept),
      12,
    )
  })

  it.each([0, 1])('leave out answers to yes-no questions that are to be ignored: %i', async (ignoreIndex) => {
    const answers = tensor([0.9, 0.8, 0.3, 0.2, 0.1])
    const questions = tensor([1, 0, 1, 0, 0])
    const options = { sigmoid: false, ignoreIndex }
    const matrix = await metrics.confusionMatrix(answers, questions, options)
    // Of [actual][predicted]: no, no; no, yes; yes, no; yes, yes.
    expect(matrix).toEqual(
      ignoreIndex === 0
        ? [
            [0, 0],
            [1, 1],
          ]
        : [
            [2, 1],
            [0, 0],
          ],
    )
    const labels = await metrics.measure(
      metrics.recall({ ...options, average: 'micro' }),
      answers.reshape([5, 1]).expand(5, 2),
      questions.reshape([5, 1]).expand(5, 2),
    )
    expect(labels).toBe(ignoreIndex === 0 ? 0.5 : 0)
  })

  it('say which targets cannot be', async () => {
    const wrong = classes(1, 0, 3, 2)
    for (const metric of [metrics.precision, metrics.matthewsCorrCoef, metrics.auroc]) {
      await expect(metrics.measure(metric, logits, wrong)).rejects.toThrow(/0 to 2/)
    }
    await expect(metrics.measure(metrics.precision, logits, tensor([1, 0, 2, 2]))).rejects.toThrow(
      /int64.*float32/,
    )
    await expect(metrics.measure(metrics.precision, tensor([1, -1]), tensor([2, 0]))).rejects.toThrow(
      /1 target.*neither 0 nor 1/,
    )
    await expect(metrics.measure(metrics.auroc, tensor([1, -1]), tensor([2, 0]))).rejects.toThrow(
      /neither 0 nor 1/,
    )
    await expect(metrics.measure(metrics.auroc, tensor([1, Number.NaN]), tensor([1, 0]))).rejects.toThrow(
      /sample 1 is not a number/,
    )
    await expect(metrics.measure(metrics.rmsle, tensor([1, -1]), tensor([1, 0]))).rejects.toThrow(
      /1 output\(s\) and 0 target/,
    )
  })

  it('say where no value is defined', async () => {
    const { output: scores } = fixtures.data.two!
    const all = tensor(new Array<number>(scores.length).fill(1), { dtype: 'int64' })
    await expect(metrics.measure(metrics.auroc, tensor(scores), all)).rejects.toThrow(
      /every sample is of class 1/,
    )
    const three = output.index('0:3')
    await expect(metrics.measure(metrics.auroc, three, classes(0, 1, 2))).rejects.toThrow(
      /no sample is of class 3/,
    )
    expect(await metrics.measure(metrics.r2Score, tensor([1]), tensor([2]))).toBeNaN()
    expect(await metrics.measure(metrics.psnr, tensor([1]), tensor([1]))).toBe(Number.POSITIVE_INFINITY)
    await expect(metrics.measure(metrics.recall, output.index('0:0'), target.index('0:0'))).rejects.toThrow(
      /no samples/,
    )
  })

  it('tell probabilities near 1 apart', async () => {
    const sure = tensor([
      [0, 40],
      [0, 41],
      [0, 42],
    ])
    expect(await metrics.measure(metrics.auroc, sure, classes(0, 1, 1))).toBe(1)
  })

  it('keep their figures where means are large: variance of 1 about 1e8', async () => {
    const truth = tensor([1e8 - 1, 1e8, 1e8 + 1, 1e8 + 2], { dtype: 'float64' })
    const guess = truth.add(tensor([0.5, -0.5, 0.5, -0.5], { dtype: 'float64' }))
    const parts = cut(guess, 2).map((part, i) => [part, cut(truth, 2)[i]!] as const)
    expect(await over(metrics.r2Score, ...parts)).toBeCloseTo(1 - 1 / 5, 12)
  })

  it('of targets that never change are 1 if these are met, and else 0', async () => {
    // The mean of 0.1s is not 0.1.
    const constant = (count: number, value: number) =>
      tensor(new Array<number>(count).fill(value), { dtype: 'float64' })
    const truth = [3, 7, 11].map((count) => constant(count, 0.1))
    const of = (metric: metrics.MetricLike, guess: (target: Tensor) => Tensor) =>
      over(metric, ...truth.map((target) => [guess(target), target] as const))
    const uneven = (target: Tensor) =>
      target.add(tensor([...target.shape.flatMap(range)], { dtype: 'float64' }))
    expect(await of(metrics.r2Score, (target) => target)).toBe(1)
    expect(await of(metrics.r2Score, (target) => target.add(0.3))).toBe(0)
    expect(await of(metrics.r2Score, uneven)).toBe(0)
    expect(await of(metrics.explainedVariance, (target) => target)).toBe(1)
    // A constant error explains all.
    expect(await of(metrics.explainedVariance, (target) => target.add(0.3))).toBe(1)
    expect(await of(metrics.explainedVariance, uneven)).toBe(0)
  })

  it('compare log errors as fastai does', async () => {
    const found = await metrics.measure(metrics.expRmspe, tensor([0, 1]), tensor([Math.log(2), 1]))
    expect(found).toBeCloseTo(Math.sqrt(0.25 / 2), 6)
  })

  it('refuse what they do not know', async () => {
    expect(() => metrics.precision({ averge: 'macro' } as never)).toThrow(
      /precision: unknown option averge.*average/,
    )
    expect(() => metrics.precision({ average: 'samples' as 'macro' })).toThrow(
      /binary, micro, macro, weighted; got samples/,
    )
    expect(() => metrics.recall({ average: 'none' as 'macro' })).toThrow(/classReport/)
    expect(() => metrics.recall({ positive: -1 })).toThrow(/class index, got -1/)
    expect(() => metrics.fBeta({ beta: 0 })).toThrow(/beta must be/)
    expect(() => metrics.fBeta({ threshold: 2 })).toThrow(/from 0 to 1, got 2/)
    expect(() => metrics.fBeta({ ignoreIndex: Number.NaN })).toThrow(/whole number, got NaN/)
    expect(() => metrics.kappaScore({ weights: 'cubic' as 'linear' })).toThrow(/got cubic/)
    expect(() => metrics.psnr({ dataRange: 0 })).toThrow(/above 0, got 0/)
    expect(() => metrics.accuracyThresh(Number.NaN)).toThrow(/got NaN/)
    expect(() => metrics.precision(output as never)).toThrow(
      /metrics.measure\(metrics.precision, output, target\)/,
    )
    await expect(metrics.measure(metrics.precision({ average: 'binary' }), output, target)).rejects.toThrow(
      /which of the 4 classes/,
    )
    await expect(metrics.measure(metrics.precision({ positive: 4 }), output, target)).rejects.toThrow(
      /class 4, but there are 4/,
    )
    await expect(metrics.measure(metrics.matthewsCorrCoef, ...dataOf('', 'labels'))).rejects.toThrow(
      /3 yes-no labels/,
    )
  })

  it('come together in a Learner: two of a kind need a name', async () => {
    const both = [metrics.precision, metrics.precision({ average: 'micro' })]
    expect(() => toMetrics(both)).toThrow(/precision is taken; use named/)
    const learner = lineLearner({
      metrics: [metrics.r2Score, metrics.rmse, metrics.named('loudness', metrics.psnr({ dataRange: 2 }))],
    })
    await learner.fit(2, { lr: 0.1 })
    const found = await learner.validate()
    // One weight w against 3: the residual is (3 - w) x for x = 0.1 … 0.4.
    const w = (learner.model as unknown as nn.Linear).weight.item()
    const mean = (3 - w) ** 2 * 0.075
    expect(found.rmse).toBeCloseTo(Math.sqrt(mean), 5)
    expect(found.loudness).toBeCloseTo(10 * Math.log10(4 / mean), 4)
    expect(found.r2Score).toBeCloseTo(1 - (4 * mean) / (9 * 0.05), 5)
    expect(learner.recorder.metrics.at(-1)).toEqual([found.r2Score, found.rmse, found.loudness])
  })
})
