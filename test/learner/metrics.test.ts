import { describe, expect, it } from 'vitest'
import { ShapeError } from '../../src/engine/errors.ts'
import { type Tensor, tensor } from '../../src/engine/index.ts'
import { toMetrics } from '../../src/learner/Metric.ts'
import * as metrics from '../../src/learner/metrics.ts'

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
      /topKAccuracy/,
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
