import { ConfigError, DataError } from '../engine/errors.ts'
import { noGrad, Tensor } from '../engine/index.ts'
import type { Output, Target } from './data.ts'
import type { TensorOrList } from './lossFunction.ts'
import { DeviceSum } from './metrics/DeviceSum.ts'

/** Accumulates a metric over one pass through the validation data. */
export interface MetricRun {
  /**
   * Takes in a batch, whose tensors are freed afterwards. Ours enqueue their sums on the device and wait for nothing; one that
   * must read values here returns a promise. The output is a list where the model has several heads.
   */
  update(output: Tensor, target: Target, batchSize: number): void | Promise<void>
  /** The value over all that was taken in. Called once, and only if there was anything. */
  value(): number | Promise<number>
}

/** A metric that is more than a mean over batches: it sees the whole pass. */
export interface Metric {
  /** Column title, and name to monitor. */
  readonly name: string
  begin(): MetricRun
}

/** A metric with options: as it stands it has their defaults, called with options it gives another metric. */
export interface MetricFactory<Options> extends Metric {
  (options?: Options): Metric
}

/**
 * A metric as the Learner takes it: a {@link Metric}, or a named function of a batch's output and target, whose values are
 * averaged over the samples. Where the model has several heads or the data several targets, the function takes lists.
 */
export type MetricLike = Metric | MetricFunction

/** The function's `name` is the metric's. */
export type MetricFunction = (output: TensorOrList, target: TensorOrList) => Tensor | number

/**
 * Gives a metric another name, as two of a kind need in one Learner. A function is renamed itself, a {@link Metric} is not.
 *
 * @example [metrics.fBeta({ beta: 1 }), metrics.named('f2', metrics.fBeta({ beta: 2 }))]
 */
export function named<Like extends MetricLike>(name: string, metric: Like): Like {
  if (isMetric(metric)) return { name, begin: () => metric.begin() } as unknown as Like
  Object.defineProperty(metric, 'name', { value: name })
  return metric
}

/**
 * The value of a metric on outputs and targets at hand, all in one batch.
 *
 * @example await metrics.measure(metrics.fBeta({ beta: 1, average: 'macro' }), model.forward(x), y)
 * @throws DataError if there are no samples
 */
export async function measure(metric: MetricLike, output: Tensor, target: Target): Promise<number> {
  const [{ name, begin }] = toMetrics([metric]) as [Metric]
  const samples = output?.shape?.[0] ?? 0
  if (samples === 0) throw new DataError(`${name}: there are no samples to compute it of`)
  const run = begin()
  await run.update(output, target, samples)
  return run.value()
}

/**
 * All metrics in one form.
 * @throws ConfigError for one without a name, with a name that is taken, or that is no metric
 */
export function toMetrics(metrics: readonly MetricLike[]): Metric[] {
  if (!Array.isArray(metrics))
    throw new ConfigError('metrics must be a list, as { metrics: [metrics.accuracy] }')
  const result = metrics.map((metric) => (isFunction(metric) ? averaged(metric) : metric))
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

/**
 * Lets a metric take in a batch.
 * @throws ConfigError where the metric takes single tensors, but model or data give lists
 */
export function updateMetric(
  name: string,
  run: MetricRun,
  output: Output,
  target: Target,
  batchSize: number,
): void | Promise<void> {
  try {
    return run.update(output as Tensor, target, batchSize)
  } catch (cause) {
    if (!(cause instanceof TypeError) || (output instanceof Tensor && target instanceof Tensor)) throw cause
    const lists = [output instanceof Tensor ? '' : 'outputs', target instanceof Tensor ? '' : 'targets']
    throw new ConfigError(
      `the metric ${name} fails on the lists of ${lists.filter(Boolean).join(' and ')} that there are here (${cause.message}): write one ` +
        'of your own for them, as function accuracyOfFirst(outputs: readonly Tensor[], targets: readonly Tensor[]) { … }',
      { cause },
    )
  }
}

function isMetric(metric: MetricLike): metric is Metric {
  return typeof (metric as Metric | undefined)?.begin === 'function'
}

function isFunction(metric: MetricLike): metric is MetricFunction {
  return typeof metric === 'function' && !isMetric(metric)
}

function averaged(metric: MetricFunction): Metric {
  return {
    name: metric.name,
    begin() {
      const onDevice = new DeviceSum()
      let onHost = 0
      let samples = 0
      return {
        update(output, target, batchSize) {
          const value = noGrad(() => metric(output as TensorOrList, target as TensorOrList))
          if (typeof value === 'number') onHost += value * batchSize
          else onDevice.add(() => single(metric.name, value).to('float64').mul(batchSize))
          samples += batchSize
        },
        value: async () => (onHost + ((await onDevice.read())[0] ?? 0)) / samples,
      }
    },
  }
}

function single(name: string, value: unknown): Tensor {
  if (value instanceof Tensor && value.shape.every((size) => size === 1)) return value.reshape([1])
  throw new ConfigError(
    `the metric ${name} must give a number or a tensor of one element, got ` +
      (value instanceof Tensor
        ? `one of shape [${value.shape.join(', ')}]`
        : `${typeof value}; does it have to be called first?`),
  )
}
