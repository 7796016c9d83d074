import { linear, type Tensor, zeros } from '../engine/index.ts'
import { kaimingUniform_, uniform_ } from './init.ts'
import { Module } from './Module.ts'
import { positiveInteger, rejectUnknownOptions } from './options.ts'
import { Parameter } from './Parameter.ts'
import { reprFields } from './repr.ts'

export interface LinearOptions {
  /** Adds a learnt bias. Default true. */
  bias?: boolean
}

/**
 * y = x Wᵀ + b on the last dimension: `[…, inFeatures]` to `[…, outFeatures]`. `weight` is `[outFeatures, inFeatures]`; both it
 * and `bias` start uniform in ±1/√inFeatures, drawn in PyTorch's order.
 */
export class Linear extends Module {
  readonly inFeatures: number
  readonly outFeatures: number
  weight: Parameter
  bias: Parameter | null

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super()
    rejectUnknownOptions('Linear', options, ['bias'])
    this.inFeatures = positiveInteger(inFeatures, 'Linear', 'inFeatures')
    this.outFeatures = positiveInteger(outFeatures, 'Linear', 'outFeatures')
    this.weight = new Parameter(zeros([outFeatures, inFeatures]))
    this.bias = (options.bias ?? true) ? new Parameter(zeros([outFeatures])) : null
    this.resetParameters()
  }

  /** Draws new starting values. */
  resetParameters(): void {
    kaimingUniform_(this.weight, { a: Math.sqrt(5) })
    const bound = 1 / Math.sqrt(this.inFeatures)
    if (this.bias) uniform_(this.bias, -bound, bound)
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias)
  }

  override extraRepr(): string {
    return reprFields({
      in_features: this.inFeatures,
      out_features: this.outFeatures,
      bias: this.bias !== null,
    })
  }
}

/** Returns its input as it is. Stands in for a layer that a model leaves out. */
export class Identity extends Module {
  override forward(x: Tensor): Tensor {
    return x
  }
}
