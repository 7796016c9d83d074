import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import { groupNorm, layerNorm, ones, type Tensor, zeros } from '../engine/index.ts'
import { Module } from './Module.ts'
import { positiveInteger, rejectUnknownOptions } from './options.ts'
import { Parameter } from './Parameter.ts'
import { reprFields, reprValue } from './repr.ts'

export interface LayerNormOptions {
  /** Added to the variance before the root. Default 1e-5. */
  eps?: number
  /** Learnt scale and shift of each element. Default true. */
  elementwiseAffine?: boolean
}

export interface GroupNormOptions {
  /** Added to the variance before the root. Default 1e-5. */
  eps?: number
  /** Learnt scale and shift of each channel. Default true. */
  affine?: boolean
}

/**
 * Normalisation of each sample by itself over its last dimensions (Ba et al. 2016): those of `normalizedShape`, one size for the
 * last alone. `weight` and `bias` have that shape. The same in training and in evaluation.
 */
export class LayerNorm extends Module {
  readonly normalizedShape: readonly number[]
  readonly eps: number
  readonly elementwiseAffine: boolean
  weight: Parameter | null
  bias: Parameter | null

  constructor(normalizedShape: number | readonly number[], options: LayerNormOptions = {}) {
    super()
    rejectUnknownOptions('LayerNorm', options, ['eps', 'elementwiseAffine'])
    const shape =
      typeof normalizedShape === 'number'
        ? [normalizedShape]
        : Array.isArray(normalizedShape)
          ? [...normalizedShape]
          : []
    if (shape.length === 0) throw new ConfigError('LayerNorm: normalizedShape needs at least one size')
    for (const size of shape) positiveInteger(size, 'LayerNorm', 'a size of normalizedShape')
    this.normalizedShape = shape
    this.eps = checkEps('LayerNorm', options.eps ?? 1e-5)
    this.elementwiseAffine = options.elementwiseAffine ?? true
    this.weight = this.elementwiseAffine ? new Parameter(ones(shape)) : null
    this.bias = this.elementwiseAffine ? new Parameter(zeros(shape)) : null
  }

  override forward(x: Tensor): Tensor {
    const { weight, bias, eps } = this
    return layerNorm(x, this.normalizedShape, { weight, bias, eps })
  }

  override extraRepr(): string {
    const fields = reprFields({ eps: this.eps, elementwise_affine: this.elementwiseAffine })
    return `${reprValue(this.normalizedShape)}, ${fields}`
  }
}

/**
 * Normalisation of each sample by itself over groups of channels (Wu and He 2018), `[N, C, …]`. Does not depend on the batch
 * size. The same in training and in evaluation.
 */
export class GroupNorm extends Module {
  readonly numGroups: number
  readonly numChannels: number
  readonly eps: number
  readonly affine: boolean
  weight: Parameter | null
  bias: Parameter | null

  constructor(numGroups: number, numChannels: number, options: GroupNormOptions = {}) {
    super()
    rejectUnknownOptions('GroupNorm', options, ['eps', 'affine'])
    this.numGroups = positiveInteger(numGroups, 'GroupNorm', 'numGroups')
    this.numChannels = positiveInteger(numChannels, 'GroupNorm', 'numChannels')
    if (numChannels % numGroups !== 0) {
      throw new ConfigError(
        `GroupNorm: ${numChannels} channels cannot be parted into ${numGroups} equal groups`,
      )
    }
    this.eps = checkEps('GroupNorm', options.eps ?? 1e-5)
    this.affine = options.affine ?? true
    this.weight = this.affine ? new Parameter(ones([numChannels])) : null
    this.bias = this.affine ? new Parameter(zeros([numChannels])) : null
  }

  override forward(x: Tensor): Tensor {
    const { weight, bias, eps } = this
    return groupNorm(x, this.numGroups, { weight, bias, eps })
  }

  override extraRepr(): string {
    return `${this.numGroups}, ${this.numChannels}, ${reprFields({ eps: this.eps, affine: this.affine })}`
  }
}

function checkEps(owner: string, eps: number): number {
  if (!(typeof eps === 'number' && eps >= 0))
    throw new ConfigError(`${owner}: eps must not be negative, got ${show(eps)}`)
  return eps
}
