import { ConfigError, ShapeError } from '../../engine/errors.ts'
import { noGrad, type Tensor } from '../../engine/index.ts'
import { type MetricFunction, named } from '../Metric.ts'
import { rejectUnknownOptions } from '../options.ts'
import { checkSameShape, isClassTarget } from './options.ts'

/** Share of samples whose highest logit is the target's. Output `[N, C, …]`, target `[N, …]` of class indices. */
export function accuracy(output: Tensor, target: Tensor): Tensor {
  return hits(output, target).to('float32').mean()
}

/** 1 - accuracy. */
export function errorRate(output: Tensor, target: Tensor): Tensor {
  return accuracy(output, target).mul(-1).add(1)
}

/**
 * Share of samples whose target is among the `k` highest logits. Output `[N, C]`, target `[N]`.
 * @throws ConfigError if k is no whole number above 0
 */
export function topKAccuracy(k = 5): MetricFunction {
  if (!Number.isInteger(k) || k < 1) {
    throw new ConfigError(
      `topKAccuracy: k must be a whole number above 0, got ${String(k)}; write metrics.topKAccuracy(5)`,
    )
  }
  return named('topKAccuracy', (output: Tensor, target: Tensor) => {
    const [, classes = 0] = output.shape
    if (output.shape.length !== 2 || !isClassTarget(output, target)) {
      throw new ShapeError(
        `topKAccuracy takes logits [N, C] and class indices [N], got [${output.shape.join(', ')}] and [${target.shape.join(', ')}]`,
      )
    }
    if (k > classes)
      throw new ShapeError(
        `topKAccuracy: k is ${k}, but the output [${output.shape.join(', ')}] has ${classes} classes`,
      )
    const { indices } = output.topk(k, 1)
    return indices
      .eq(target.reshape([-1, 1]))
      .to('float32')
      .sum(1)
      .mean()
  })
}

export interface ThresholdOptions {
  /** Outputs are logits, and the threshold is one of probabilities. Default true. */
  sigmoid?: boolean
}

/**
 * Share of right answers where each output is a yes-no question: sigmoid above the threshold against a target of 0 or 1.
 * Shapes must be equal.
 */
export function accuracyThresh(threshold = 0.5, options: ThresholdOptions = {}): MetricFunction {
  return thresholded('accuracyThresh', threshold, options)
}

/** {@link accuracyThresh} under its full name. */
export function accuracyThreshold(threshold = 0.5, options: ThresholdOptions = {}): MetricFunction {
  return thresholded('accuracyThreshold', threshold, options)
}

function thresholded(name: string, threshold: number, options: ThresholdOptions): MetricFunction {
  if (typeof threshold !== 'number' || Number.isNaN(threshold)) {
    throw new ConfigError(
      `${name}: the threshold must be a number, got ${String(threshold)}; write metrics.${name}(0.5)`,
    )
  }
  rejectUnknownOptions(name, options, ['sigmoid'])
  const { sigmoid = true } = options
  return named(name, (output: Tensor, target: Tensor) => {
    checkSameShape(name, output, target)
    return noGrad(() => {
      const yes = (sigmoid ? output.sigmoid() : output).gt(threshold)
      return yes.to('float32').eq(target.to('float32')).to('float32').mean()
    })
  })
}

function hits(output: Tensor, target: Tensor): Tensor {
  const [, classes] = output.shape
  if (classes === undefined || classes < 2 || !isClassTarget(output, target)) {
    throw new ShapeError(
      `accuracy takes logits [N, C, …] of at least 2 classes and class indices [N, …], got [${output.shape.join(', ')}] ` +
        `and [${target.shape.join(', ')}]; for yes-no outputs use metrics.accuracyThresh()`,
    )
  }
  return output.argmax(1).eq(target)
}
