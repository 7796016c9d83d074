import { ConfigError, ShapeError } from '../engine/errors.ts'
import { noGrad, type Tensor } from '../engine/index.ts'
import { type Metric, type MetricFunction, named } from './Metric.ts'

export { type Metric, type MetricFunction, type MetricLike, type MetricRun, named } from './Metric.ts'

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
  return named('topKAccuracy', (output, target) => {
    const classes = output.shape[1] ?? 0
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

/**
 * Share of right answers where each output is a yes-no question: sigmoid above the threshold against a target of 0 or 1.
 * Shapes must be equal.
 */
export function accuracyThreshold(threshold = 0.5, { sigmoid = true } = {}): MetricFunction {
  return named('accuracyThreshold', (output, target) => {
    checkSameShape('accuracyThreshold', output, target)
    const yes = (sigmoid ? output.sigmoid() : output).gt(threshold)
    return yes.to('float32').eq(target.to('float32')).to('float32').mean()
  })
}

/** Mean squared error. Shapes must be equal. */
export function mse(output: Tensor, target: Tensor): Tensor {
  return difference('mse', output, target).square().mean()
}

/** Mean absolute error. Shapes must be equal. */
export function mae(output: Tensor, target: Tensor): Tensor {
  return difference('mae', output, target).abs().mean()
}

/** Root of the mean squared error over the whole pass (not the mean of the batches' roots). Shapes must be equal. */
export const rmse: Metric = {
  name: 'rmse',
  begin() {
    let sum = 0
    let count = 0
    return {
      async update(output, target) {
        const squares = noGrad(() =>
          difference('rmse', output, target as Tensor)
            .square()
            .sum(),
        )
        sum += Number((await squares.data())[0])
        count += output.shape.reduce((product, size) => product * size, 1)
      },
      value: () => Math.sqrt(sum / count),
    }
  },
}

function hits(output: Tensor, target: Tensor): Tensor {
  const [samples, classes, ...rest] = output.shape
  const fits =
    target.shape.length === rest.length + 1 && [samples, ...rest].every((size, i) => size === target.shape[i])
  if (classes === undefined || classes < 2 || !fits) {
    throw new ShapeError(
      `accuracy takes logits [N, C, …] of at least 2 classes and class indices [N, …], got [${output.shape.join(', ')}] ` +
        `and [${target.shape.join(', ')}]; for yes-no outputs use metrics.accuracyThreshold()`,
    )
  }
  return output.argmax(1).eq(target)
}

function difference(owner: string, output: Tensor, target: Tensor): Tensor {
  checkSameShape(owner, output, target)
  return output.sub(target)
}

/** `[N, 1]` against `[N]` would broadcast to `[N, N]`. */
function checkSameShape(owner: string, output: Tensor, target: Tensor): void {
  if (output.shape.join() !== target.shape.join()) {
    throw new ShapeError(
      `${owner}: output [${output.shape.join(', ')}] and target [${target.shape.join(', ')}] must have the same shape`,
    )
  }
}
