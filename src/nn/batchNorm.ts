import { requireTensor } from '../engine/check.ts'
import { ConfigError, ShapeError } from '../engine/errors.ts'
import { batchNorm, noGrad, ones, type Tensor, zeros } from '../engine/index.ts'
import { Module } from './Module.ts'
import { positiveInteger, rejectUnknownOptions } from './options.ts'
import { Parameter } from './Parameter.ts'
import { reprFields } from './repr.ts'

export interface BatchNormOptions {
  /** Added to the variance before the root. Default 1e-5. */
  eps?: number
  /** Share of the newest batch in the running statistics; null averages over all batches seen. Default 0.1. */
  momentum?: number | null
  /** Learnt scale and shift. Default true. */
  affine?: boolean
  /** Keeps running statistics for evaluation; without them evaluation uses the batch too. Default true. */
  trackRunningStats?: boolean
}

/** What batch norm's kernel can do in the same pass over memory. */
export interface BatchNormFusion {
  /** Applied last. Default none. */
  activation?: 'relu'
  /** Added after normalisation and before the activation, as a residual block does. Same shape as the input. */
  residual?: Tensor
}

const optionNames = ['eps', 'momentum', 'affine', 'trackRunningStats']

/** What BatchNorm1d and BatchNorm2d share. Statistics are per channel (dimension 1), over all other dimensions. */
abstract class BatchNorm extends Module {
  static override readonly stateNames = {
    runningMean: 'running_mean',
    runningVar: 'running_var',
    numBatchesTracked: 'num_batches_tracked',
  }

  readonly numFeatures: number
  readonly eps: number
  /** See {@link BatchNormOptions}; may be changed at any time. */
  momentum: number | null
  readonly affine: boolean
  readonly trackRunningStats: boolean
  weight: Parameter | null
  bias: Parameter | null
  runningMean: Tensor | null = null
  runningVar: Tensor | null = null
  /** Number of training batches seen (int64). */
  numBatchesTracked: Tensor | null = null

  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super()
    const owner = this.constructor.name
    rejectUnknownOptions(owner, options, optionNames)
    this.numFeatures = positiveInteger(numFeatures, owner, 'numFeatures')
    this.eps = options.eps ?? 1e-5
    this.momentum = options.momentum === undefined ? 0.1 : options.momentum
    this.affine = options.affine ?? true
    this.trackRunningStats = options.trackRunningStats ?? true
    if (!(this.eps >= 0)) throw new ConfigError(`${owner}: eps must not be negative, got ${this.eps}`)
    this.weight = this.affine ? new Parameter(ones([numFeatures])) : null
    this.bias = this.affine ? new Parameter(zeros([numFeatures])) : null
    const tracked = this.trackRunningStats
    this.registerBuffer('runningMean', tracked ? zeros([numFeatures]) : null)
    this.registerBuffer('runningVar', tracked ? ones([numFeatures]) : null)
    this.registerBuffer('numBatchesTracked', tracked ? zeros([], { dtype: 'int64' }) : null)
  }

  /** Dimensions that an input may have. */
  protected abstract readonly inputDimensions: readonly number[]

  /** Back to scale 1, shift 0 and fresh running statistics. */
  resetParameters(): void {
    noGrad(() => {
      this.weight?.fill_(1)
      this.bias?.zero_()
      this.runningMean?.zero_()
      this.runningVar?.fill_(1)
      this.numBatchesTracked?.zero_()
    })
  }

  override forward(x: Tensor, { activation, residual }: BatchNormFusion = {}): Tensor {
    requireTensor(this.constructor.name, 'input', x)
    if (!this.inputDimensions.includes(x.shape.length)) {
      throw new ShapeError(
        `${this.constructor.name}: expected an input of ${this.inputDimensions.join(' or ')} dimensions, ` +
          `got shape [${x.shape.join(', ')}]`,
      )
    }
    const update = this.training && this.trackRunningStats
    return batchNorm(x, {
      runningMean: this.runningMean,
      runningVar: this.runningVar,
      weight: this.weight,
      bias: this.bias,
      training: this.training || !this.trackRunningStats,
      momentum: update ? this.#countBatch() : 0,
      eps: this.eps,
      activation,
      residual,
    })
  }

  override optionalState(): readonly string[] {
    return ['num_batches_tracked'] // PyTorch before 0.4.1 did not save it
  }

  override extraRepr(): string {
    const fields = reprFields({
      eps: this.eps,
      momentum: this.momentum,
      affine: this.affine,
      track_running_stats: this.trackRunningStats,
    })
    return `${this.numFeatures}, ${fields}`
  }

  #countBatch(): number {
    const count = this.numBatchesTracked
    if (count) noGrad(() => count.add_(1))
    if (this.momentum !== null) return this.momentum
    return 1 / (count?.item() ?? 1)
  }
}

/**
 * Batch normalisation of `[N, C]` or `[N, C, L]` (Ioffe and Szegedy 2015): (x - mean) / √(variance + eps) · weight + bias.
 * In training mean and (biased) variance are the batch's; running ones, with the unbiased variance, serve in evaluation.
 * `forward(x, { activation, residual })` applies them in the same pass.
 */
export class BatchNorm1d extends BatchNorm {
  protected override get inputDimensions(): readonly number[] {
    return [2, 3]
  }
}

/** Batch normalisation of pictures `[N, C, H, W]`, see {@link BatchNorm1d}. */
export class BatchNorm2d extends BatchNorm {
  protected override get inputDimensions(): readonly number[] {
    return [4]
  }
}
