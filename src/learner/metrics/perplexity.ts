import { ConfigError, ShapeError } from '../../engine/errors.ts'
import { crossEntropy, noGrad, stack, type Tensor } from '../../engine/index.ts'
import type { Target } from '../data.ts'
import type { MetricFactory } from '../Metric.ts'
import { DeviceSum } from './DeviceSum.ts'
import { configurable, isClassTarget, singleTarget } from './options.ts'

export interface PerplexityOptions {
  /** Targets of this class index count for nothing, as in the losses. Default -100. */
  ignoreIndex?: number
}

/** exp of the mean cross-entropy over all targets of the pass. Logits `[N, C, …]`, class indices `[N, …]`. */
export const perplexity: MetricFactory<PerplexityOptions> = configurable(
  'perplexity',
  ['ignoreIndex'],
  ({ ignoreIndex = -100 }) => {
    if (!Number.isInteger(ignoreIndex)) {
      throw new ConfigError(`perplexity: ignoreIndex must be a whole number, got ${String(ignoreIndex)}`)
    }
    return () => {
      const sums = new DeviceSum()
      return {
        update(output: Tensor, batchTarget: Target) {
          const target = singleTarget('perplexity', batchTarget)
          if (!isClassTarget(output, target)) {
            throw new ShapeError(
              `perplexity takes logits [N, C, …] and class indices [N, …], got [${output.shape.join(', ')}] and [${target.shape.join(', ')}]`,
            )
          }
          noGrad(() =>
            sums.add(() => {
              const losses = crossEntropy(output.to('float64'), target, { ignoreIndex, reduction: 'sum' })
              return stack([losses, target.ne(ignoreIndex).to('float64').sum()])
            }),
          )
        },
        async value() {
          const [sum = Number.NaN, count = 0] = await sums.read()
          return Math.exp(sum / count)
        },
      }
    }
  },
)
