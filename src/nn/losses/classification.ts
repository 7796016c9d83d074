import { requireTensor, show } from '../../engine/check.ts'
import { ConfigError } from '../../engine/errors.ts'
import { crossEntropy, nllLoss, softmax, type Tensor } from '../../engine/index.ts'
import { probability } from '../options.ts'
import { Loss, type LossOptions } from './Loss.ts'

export interface NLLLossOptions extends LossOptions {
  /** A factor for each class, `[C]`. With 'mean' the sum is divided by the factors of the targets. */
  weight?: Tensor | null
  /** Targets of this value count for nothing. Default -100. */
  ignoreIndex?: number
}

export interface CrossEntropyLossOptions extends NLLLossOptions {
  /** Share of the target that is spread over all classes (Szegedy et al. 2016). Default 0. */
  labelSmoothing?: number
}

export interface LabelSmoothingLossOptions extends LossOptions {
  /** Share of the target that is spread over all classes. Default 0.1. */
  eps?: number
}

/** Dimension of the classes in `[C]`, `[N, C]` or `[N, C, d1, …]`. */
function classDim(output: Tensor): number {
  requireTensor('decode', 'output', output)
  return output.shape.length === 1 ? 0 : 1
}

/**
 * Cross-entropy of logits `[N, C]` or `[N, C, d1, …]` with class indices `[N]` or `[N, d1, …]` (int64), or with probabilities of
 * the logits' shape. Softmax and logarithm are part of it: the model ends in a plain linear layer.
 */
export class CrossEntropyLoss extends Loss {
  weight: Tensor | null = null
  readonly ignoreIndex: number
  readonly labelSmoothing: number

  constructor(options: CrossEntropyLossOptions = {}) {
    super(options, ['weight', 'ignoreIndex', 'labelSmoothing'])
    this.registerBuffer('weight', options.weight ?? null)
    this.ignoreIndex = classIndex(options.ignoreIndex ?? -100, 'CrossEntropyLoss')
    this.labelSmoothing = probability(options.labelSmoothing ?? 0, 'CrossEntropyLoss', 'labelSmoothing')
  }

  override forward(output: Tensor, target: Tensor): Tensor {
    const { weight, ignoreIndex, labelSmoothing, reduction } = this
    return crossEntropy(output, target, { weight, ignoreIndex, labelSmoothing, reduction })
  }

  /** Probabilities of the classes. */
  override activation(output: Tensor): Tensor {
    return softmax(output, classDim(output))
  }

  /** The most likely class. */
  override decode(output: Tensor): Tensor {
    return output.argmax(classDim(output))
  }
}

/**
 * Cross-entropy with a share `eps` of every target spread over all classes: (1 - eps)·nll + eps·mean over classes, fastai's
 * LabelSmoothingCrossEntropy. Predictions are probabilities (fastai v1 left them raw).
 */
export class LabelSmoothingLoss extends CrossEntropyLoss {
  constructor(given: LabelSmoothingLossOptions = {}) {
    const { eps = 0.1, ...options } = given ?? {}
    super({ ...options, labelSmoothing: probability(eps, 'LabelSmoothingLoss', 'eps') })
  }
}

/** Negative log-likelihood: as {@link CrossEntropyLoss}, for a model that ends in a log-softmax. */
export class NLLLoss extends Loss {
  weight: Tensor | null = null
  readonly ignoreIndex: number

  constructor(options: NLLLossOptions = {}) {
    super(options, ['weight', 'ignoreIndex'])
    this.registerBuffer('weight', options.weight ?? null)
    this.ignoreIndex = classIndex(options.ignoreIndex ?? -100, 'NLLLoss')
  }

  override forward(output: Tensor, target: Tensor): Tensor {
    const { weight, ignoreIndex, reduction } = this
    return nllLoss(output, target, { weight, ignoreIndex, reduction })
  }

  /** Probabilities of the classes. */
  override activation(output: Tensor): Tensor {
    return output.exp()
  }

  /** The most likely class. */
  override decode(output: Tensor): Tensor {
    return output.argmax(classDim(output))
  }
}

function classIndex(value: number, owner: string): number {
  if (!Number.isInteger(value))
    throw new ConfigError(`${owner}: ignoreIndex must be an integer, got ${show(value)}`)
  return value
}
