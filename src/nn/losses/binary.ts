import { binaryCrossEntropy, binaryCrossEntropyWithLogits, sigmoid, type Tensor } from '../../engine/index.ts'
import { probability } from '../options.ts'
import { Loss, type LossOptions } from './Loss.ts'

export interface BCELossOptions extends LossOptions {
  /** A factor for each element; any shape that broadcasts to the output's. */
  weight?: Tensor | null
  /** Probability above which {@link BCELoss.decode} says yes. Default 0.5. */
  threshold?: number
}

export interface BCEWithLogitsLossOptions extends BCELossOptions {
  /** A factor on the positive targets, `[C]`: above one favours recall over precision. */
  posWeight?: Tensor | null
}

/**
 * Binary cross-entropy of logits with targets in [0, 1] of the same shape: one yes-or-no question for each element, as in
 * multi-label classification. The sigmoid is part of it: the model ends in a plain linear layer.
 */
export class BCEWithLogitsLoss extends Loss {
  weight: Tensor | null = null
  posWeight: Tensor | null = null
  readonly threshold: number
  static override readonly stateNames = { posWeight: 'pos_weight' }

  constructor(options: BCEWithLogitsLossOptions = {}) {
    super(options, ['weight', 'posWeight', 'threshold'])
    this.registerBuffer('weight', options.weight ?? null)
    this.registerBuffer('posWeight', options.posWeight ?? null)
    this.threshold = probability(options.threshold ?? 0.5, 'BCEWithLogitsLoss', 'threshold')
  }

  override forward(output: Tensor, target: Tensor): Tensor {
    const { weight, posWeight, reduction } = this
    return binaryCrossEntropyWithLogits(output, target, { weight, posWeight, reduction })
  }

  /** The probability of yes, for each element. */
  override activation(output: Tensor): Tensor {
    return sigmoid(output)
  }

  /** Whether the probability is above the threshold (bool). */
  override decode(output: Tensor): Tensor {
    return sigmoid(output).gt(this.threshold)
  }
}

/** As {@link BCEWithLogitsLoss}, for a model that ends in a sigmoid; logarithms are cut at -100, as in PyTorch. */
export class BCELoss extends Loss {
  weight: Tensor | null = null
  readonly threshold: number

  constructor(options: BCELossOptions = {}) {
    super(options, ['weight', 'threshold'])
    this.registerBuffer('weight', options.weight ?? null)
    this.threshold = probability(options.threshold ?? 0.5, 'BCELoss', 'threshold')
  }

  override forward(output: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropy(output, target, { weight: this.weight, reduction: this.reduction })
  }

  /** Whether the probability is above the threshold (bool). */
  override decode(output: Tensor): Tensor {
    return output.gt(this.threshold)
  }
}
