import { ConfigError, ShapeError } from '../../engine/errors.ts'
import { Tensor } from '../../engine/index.ts'
import type { Metric, MetricFactory, MetricRun } from '../Metric.ts'
import { rejectUnknownOptions } from '../options.ts'

/**
 * A metric that can be given as it stands or with options.
 * @param make checks options, and tells how a run of the metric begins
 */
export function configurable<Options extends object>(
  name: string,
  optionNames: readonly (keyof Options & string)[],
  make: (options: Options) => () => MetricRun,
): MetricFactory<Options> {
  const factory = (options: Options = {} as Options): Metric => {
    if (typeof options !== 'object' || options === null || options instanceof Tensor) {
      throw new ConfigError(
        `metrics.${name} takes options, as { ${optionNames[0] ?? ''} }; its value for a batch is await metrics.measure(metrics.${name}, output, target)`,
      )
    }
    rejectUnknownOptions(name, options, optionNames)
    return { name, begin: make(options) }
  }
  Object.defineProperty(factory, 'name', { value: name })
  return Object.assign(factory, { begin: () => factory().begin() }) as unknown as MetricFactory<Options>
}

/** @throws ConfigError unless `value` is one of `choices` */
export function checkChoice(owner: string, name: string, value: unknown, choices: readonly unknown[]): void {
  if (!choices.includes(value)) {
    throw new ConfigError(`${owner}: ${name} must be one of ${choices.join(', ')}; got ${String(value)}`)
  }
}

/** @throws ConfigError unless `value` lies between 0 and 1 */
export function checkShare(owner: string, name: string, value: number): void {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1)) {
    throw new ConfigError(`${owner}: ${name} must be from 0 to 1, got ${String(value)}`)
  }
}

/** @throws ConfigError for a target of several tensors */
export function singleTarget(owner: string, target: unknown): Tensor {
  if (target instanceof Tensor) return target
  throw new ConfigError(
    `${owner} compares with one target tensor; this data has ${Array.isArray(target) ? 'several' : String(target)}: ` +
      'write a metric of your own, a named function of output and target',
  )
}

/** `[N, 1]` against `[N]` would broadcast to `[N, N]`. */
export function checkSameShape(owner: string, output: Tensor, target: Tensor): void {
  if (output.shape.join() !== target.shape.join()) {
    throw new ShapeError(
      `${owner}: output [${output.shape.join(', ')}] and target [${target.shape.join(', ')}] must have the same shape`,
    )
  }
}

/** Whether the target holds class indices `[N, …]` for logits `[N, C, …]`. */
export function isClassTarget(output: Tensor, target: Tensor): boolean {
  const [samples, , ...rest] = output.shape
  return (
    output.shape.length >= 2 &&
    target.shape.length === rest.length + 1 &&
    [samples, ...rest].every((size, i) => size === target.shape[i])
  )
}
