import { ConfigError } from '../engine/errors.ts'
import { noGrad, Tensor } from '../engine/index.ts'
import type { Target } from './data.ts'

/** Accumulates a metric over one pass through the validation data. */
export interface MetricRun {
  /** Takes in a batch. What must be read of tensors is read before the promise fulfils: they are freed then. */
  update(output: Tensor, target: Target, batchSize: number): void | Promise<void>
  /** The value over all that was taken in. */
  value(): number | Promise<number>
}

/** A metric that is more than a mean over batches: it sees the whole pass. */
export interface Metric {
  /** Column title, and name to monitor. */
  readonly name: string
  begin(): MetricRun
}

/**
 * A metric as the Learner takes it: a {@link Metric}, or a named function of a batch's output and target, whose values are
 * averaged over the samples.
 */
export type MetricLike = Metric | MetricFunction

/** The function's `name` is the metric's. */
export type MetricFunction = (output: Tensor, target: Tensor) => Tensor | number

/** Gives a function another name: that of the metric. */
export function named<Fn extends MetricFunction>(name: string, fn: Fn): Fn {
  Object.defineProperty(fn, 'name', { value: name })
  return fn
}

/**
 * All metrics in one form.
 * @throws ConfigError for one without a name, with a name that is taken, or that is no metric
 */
export function toMetrics(metrics: readonly MetricLike[]): Metric[] {
  if (!Array.isArray(metrics))
    throw new ConfigError('metrics must be a list, as { metrics: [metrics.accuracy] }')
  const result = metrics.map((metric) => (typeof metric === 'function' ? averaged(metric) : metric))
  const taken = new Set(['trainLoss', 'validLoss', 'loss', 'epoch', 'time'])
  for (const metric of result) {
    if (typeof metric?.begin !== 'function') {
      throw new ConfigError(`a metric is a named function or has a name and begin(), got ${String(metric)}`)
    }
    if (!metric.name) {
      throw new ConfigError(
        "a metric needs a name: declare it as a function, or use named('myMetric', (output, target) => …)",
      )
    }
    if (taken.has(metric.name))
      throw new ConfigError(`the metric name ${metric.name} is taken; use named('another', …)`)
    taken.add(metric.name)
  }
  return result
}

function averaged(metric: MetricFunction): Metric {
  return {
    name: metric.name,
    begin() {
      let sum = 0
      let samples = 0
      return {
        async update(output, target, batchSize) {
          sum += (await read(metric, output, target as Tensor)) * batchSize
          samples += batchSize
        },
        value: () => sum / samples,
      }
    },
  }
}

async function read(metric: MetricFunction, output: Tensor, target: Tensor): Promise<number> {
  const value = noGrad(() => metric(output, target))
  if (typeof value === 'number') return value
  if (value instanceof Tensor && value.shape.every((size) => size === 1))
    return Number((await value.data())[0])
  throw new ConfigError(
    `the metric ${metric.name} must give a number or a tensor of one element, got ` +
      (value instanceof Tensor
        ? `one of shape [${value.shape.join(', ')}]`
        : `${typeof value}; does it have to be called first?`),
  )
}
