import { isFloatingPoint } from '../../engine/dtype.ts'
import { ConfigError, DataError } from '../../engine/errors.ts'
import { noGrad, stack, type Tensor, zeros } from '../../engine/index.ts'
import type { Target } from '../data.ts'
import type { MetricFactory, MetricRun } from '../Metric.ts'
import { DeviceSum } from './DeviceSum.ts'
import { checkSameShape, configurable, singleTarget } from './options.ts'

type NoOptions = Record<never, never>

/** Mean squared error. Shapes must be equal. */
export function mse(output: Tensor, target: Tensor): Tensor {
  return difference('mse', output, target).square().mean()
}

/** Mean absolute error. Shapes must be equal. */
export function mae(output: Tensor, target: Tensor): Tensor {
  return difference('mae', output, target).abs().mean()
}

/** Root of the mean squared error over the whole pass (not the mean of the batches' roots). Shapes must be equal. */
export const rmse: MetricFactory<NoOptions> = configurable('rmse', [], () => () => {
  const errors = new MeanOf('rmse', (output, target) => output.sub(target).square())
  return { update: errors.update, value: async () => Math.sqrt(await errors.read()) }
})

/**
 * Mean squared difference of log(1 + x), as scikit-learn's `mean_squared_log_error`.
 * Throws a DataError if outputs or targets are below 0.
 */
export const msle: MetricFactory<NoOptions> = configurable('msle', [], () => () => {
  const errors = new LogErrors('msle')
  return { update: errors.update, value: () => errors.read() }
})

/** Root of {@link msle}. */
export const rmsle: MetricFactory<NoOptions> = configurable('rmsle', [], () => () => {
  const errors = new LogErrors('rmsle')
  return { update: errors.update, value: async () => Math.sqrt(await errors.read()) }
})

/** Root mean squared error as a share of the target, where outputs and targets are logarithms (fastai's `exp_rmspe`). */
export const expRmspe: MetricFactory<NoOptions> = configurable('expRmspe', [], () => () => {
  const errors = new MeanOf('expRmspe', (output, target) => output.sub(target).expm1().square())
  return { update: errors.update, value: async () => Math.sqrt(await errors.read()) }
})

export interface PsnrOptions {
  /** Difference between the largest and the smallest value that is possible. Default 1. */
  dataRange?: number
}

/**
 * Peak signal-to-noise ratio in decibels, 10 log10(dataRange² / mse), of the squared error over the whole pass. Shapes must be equal.
 * Infinity if there is no error.
 */
export const psnr: MetricFactory<PsnrOptions> = configurable('psnr', ['dataRange'], ({ dataRange = 1 }) => {
  if (!(typeof dataRange === 'number' && dataRange > 0 && Number.isFinite(dataRange)))
    throw new ConfigError(`psnr: dataRange must be a finite number above 0, got ${String(dataRange)}`)
  return () => {
    const errors = new MeanOf('psnr', (output, target) => output.sub(target).square())
    return {
      update: errors.update,
      value: async () => 10 * Math.log10(dataRange ** 2 / (await errors.read())),
    }
  }
})

/**
 * Coefficient of determination, 1 - residual / total sum of squares; the mean over the columns of `[N, D]`. As scikit-learn's
 * `r2_score`: a target that never changes gives 1 if it is met exactly and else 0; NaN for a single sample.
 */
export const r2Score: MetricFactory<NoOptions> = configurable('r2Score', [], () => () => {
  const targets = new Moments()
  const residuals = new Moments()
  return comparing('r2Score', {
    update(output, target) {
      targets.add(target)
      residuals.add(target.sub(output))
    },
    async value() {
      const [total, rest] = await Promise.all([targets.read(), residuals.read()])
      if (total.count < 2) return Number.NaN
      // Squares about zero, not about the mean: n mean² more.
      const squares = rest.squares.map((square, i) => square + rest.count * rest.means[i]! ** 2)
      return explained(squares, total.squares)
    },
  })
})

/**
 * Explained variance, 1 - variance of the residual / variance of the target: r2 that forgives a constant error. As scikit-learn's
 * `explained_variance_score`.
 */
export const explainedVariance: MetricFactory<NoOptions> = configurable('explainedVariance', [], () => () => {
  const targets = new Moments()
  const residuals = new Moments()
  return comparing('explainedVariance', {
    update(output, target) {
      targets.add(target)
      residuals.add(target.sub(output))
    },
    async value() {
      const [total, rest] = await Promise.all([targets.read(), residuals.read()])
      return explained(rest.squares, total.squares)
    },
  })
})

interface Comparison {
  /** Output and target as `[N, D]`, float64. */
  update(output: Tensor, target: Tensor): void
  value(): Promise<number>
}

function comparing(name: string, { update, value }: Comparison): MetricRun {
  return {
    update(output: Tensor, batchTarget: Target) {
      const target = singleTarget(name, batchTarget)
      checkSameShape(name, output, target)
      noGrad(() => {
        const [x, y] = [output, target].map((one) => one.to('float64').reshape([one.shape[0] ?? 1, -1]))
        update(x!, y!)
      })
    },
    value,
  }
}

/** Mean over all elements of all batches. */
class MeanOf {
  readonly #run: MetricRun
  readonly #sum = new DeviceSum()
  #count = 0

  constructor(name: string, term: (output: Tensor, target: Tensor) => Tensor) {
    this.#run = comparing(name, {
      update: (output, target) => {
        this.#sum.add(() => term(output, target).sum())
        this.#count += output.shape[0]! * output.shape[1]!
      },
      value: async () => (await this.#sum.read())[0]! / this.#count,
    })
  }

  update = (output: Tensor, target: Target) => this.#run.update(output, target, 0)

  async read(): Promise<number> {
    return this.#run.value()
  }
}

class LogErrors {
  readonly #name: string
  readonly #negatives = new DeviceSum()
  readonly #errors: MeanOf

  constructor(name: string) {
    this.#name = name
    this.#errors = new MeanOf(name, (output, target) => {
      this.#negatives.add(() => stack([output.lt(0).to('int64').sum(), target.lt(0).to('int64').sum()]))
      return output.log1p().sub(target.log1p()).square()
    })
  }

  update = (output: Tensor, target: Target) => this.#errors.update(output, target)

  async read(): Promise<number> {
    const [outputs = 0, targets = 0] = await this.#negatives.read()
    const mean = await this.#errors.read()
    if (outputs + targets === 0) return mean
    throw new DataError(
      `${this.#name} is not defined below 0: ${outputs} output(s) and ${targets} target(s) are. End the model in something that is ` +
        'not negative, such as a ReLU, or take another metric',
    )
  }
}

interface MomentValues {
  count: number
  means: number[]
  /** Sums of squared deviations from the mean. */
  squares: number[]
}

/**
 * Mean and squared deviations of the columns of `[N, D]`, merged batch by batch on the device (Chan, Golub, LeVeque 1979). All is
 * reckoned from the first row, so that of a column that never changes the deviations are 0 and not what rounding leaves.
 */
class Moments {
  readonly #state = new DeviceSum()
  #count = 0

  add(values: Tensor): void {
    const [size, width] = values.shape as [number, number]
    const before = this.#count
    this.#count += size
    this.#state.change(
      () => zeros([3, width], { dtype: 'float64', device: values.device }),
      (state) => {
        const [mean, squares, first] = [0, 1, 2].map((row) => state.narrow(0, row, 1)) as [
          Tensor,
          Tensor,
          Tensor,
        ]
        if (before === 0) first.copy_(values.narrow(0, 0, 1))
        const shifted = values.sub(first)
        const batchMean = shifted.mean(0, { keepdim: true })
        const delta = batchMean.sub(mean)
        squares.add_(shifted.sub(batchMean).square().sum(0, { keepdim: true }))
        squares.add_(delta.square().mul((before * size) / this.#count))
        mean.add_(delta.mul(size / this.#count))
      },
    )
  }

  async read(): Promise<MomentValues> {
    const values = await this.#state.read()
    const width = values.length / 3
    const [means, squares, first] = [0, 1, 2].map((row) => values.slice(row * width, (row + 1) * width))
    return { count: this.#count, means: means!.map((mean, i) => mean + first![i]!), squares: squares! }
  }
}

function explained(rest: readonly number[], total: readonly number[]): number {
  const scores = rest.map((left, i) => {
    if (total[i] === 0) return left === 0 ? 1 : 0
    return 1 - left / total[i]!
  })
  return scores.reduce((sum, score) => sum + score, 0) / scores.length
}

function difference(owner: string, output: Tensor, target: Tensor): Tensor {
  checkSameShape(owner, output, target)
  if (isFloatingPoint(output.dtype) || isFloatingPoint(target.dtype)) return output.sub(target)
  // Integers have no mean, and differences of bytes wrap around.
  return output.double().sub(target.double())
}
