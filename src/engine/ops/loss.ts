import { isFloatingPoint } from '../dtype.ts'
import { ConfigError, ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { call, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { logSoftmax } from './softmax.ts'

/** How the losses of single elements become the result: as they are, their mean, or their sum. */
export type Reduction = 'none' | 'mean' | 'sum'

const reductions: readonly Reduction[] = ['none', 'mean', 'sum']

function reductionCode(reduction: Reduction): number {
  const code = reductions.indexOf(reduction)
  if (code < 0) {
    throw new ConfigError(`unknown reduction ${JSON.stringify(reduction)}; it is 'none', 'mean' or 'sum'`)
  }
  return code
}

/** Applies a reduction to unreduced losses. */
export function reduceLoss(losses: Tensor, reduction: Reduction): Tensor {
  reductionCode(reduction)
  if (reduction === 'none') return losses
  return reduction === 'mean' ? losses.mean() : losses.sum()
}

export interface CrossEntropyOptions {
  /** A weight for each class [C]. */
  weight?: Tensor | null | undefined
  /** Labels that do not count. Default -100. */
  ignoreIndex?: number | undefined
  /** Share of every label that is spread over all classes (Szegedy et al. 2016). Default 0. */
  labelSmoothing?: number | undefined
  /** Default mean, weighted by the labels' weights. */
  reduction?: Reduction | undefined
}

/**
 * Cross-entropy of scores (logits) [N, C] or [N, C, d1, …] against class labels (integers, [N] or [N, d1, …]) or
 * against class probabilities in the scores' own shape. A label out of range is an error at the next read.
 */
export function crossEntropy(scores: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = -100, labelSmoothing = 0, reduction = 'mean' } = options
  const weight = options.weight ?? null
  const code = reductionCode(reduction)
  if (isFloatingPoint(target.dtype) && target.shape.join() === scores.shape.join()) {
    return softCrossEntropy(scores, target, weight, labelSmoothing, reduction)
  }
  const [loss, logTotals, totalWeight] = callMany(
    'cross_entropy',
    scores,
    target,
    weight,
    ignoreIndex,
    labelSmoothing,
    code,
  ) as [Tensor, Tensor, Tensor]
  return record(loss, 'crossEntropy', [scores], [scores, target, weight, logTotals, totalWeight], (g, node) => [
    call(
      'cross_entropy_backward',
      g,
      node.saved(0),
      node.saved(1),
      weight ? node.saved(2) : null,
      node.saved(3),
      node.saved(4),
      ignoreIndex,
      labelSmoothing,
      code,
    ),
  ])
}

// -sum(weight · target · log softmax) over classes; the mean is over everything but the classes.
function softCrossEntropy(
  scores: Tensor,
  target: Tensor,
  weight: Tensor | null,
  labelSmoothing: number,
  reduction: Reduction,
): Tensor {
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ConfigError(`crossEntropy: labelSmoothing must be in [0, 1], got ${labelSmoothing}`)
  }
  const classDim = scores.ndim === 1 ? 0 : 1
  const classes = scores.size(classDim)
  const smoothed = labelSmoothing === 0 ? target : target.mul(1 - labelSmoothing).add(labelSmoothing / classes)
  let terms = logSoftmax(scores, classDim).mul(smoothed)
  if (weight) {
    if (weight.ndim !== 1 || weight.size(0) !== classes) {
      throw new ShapeError(
        `crossEntropy: expected a weight for each of ${classes} classes, got [${weight.shape.join(', ')}]`,
      )
    }
    terms = terms.mul(weight.reshape(scores.shape.map((_, i) => (i === classDim ? classes : 1))))
  }
  return reduceLoss(terms.sum(classDim).neg(), reduction)
}

/** As crossEntropy without smoothing, from logarithms of probabilities (what logSoftmax gives). */
export function nllLoss(
  logProbabilities: Tensor,
  target: Tensor,
  options: Omit<CrossEntropyOptions, 'labelSmoothing'> = {},
): Tensor {
  const { ignoreIndex = -100, reduction = 'mean' } = options
  const weight = options.weight ?? null
  const code = reductionCode(reduction)
  const [loss, totalWeight] = callMany('nll_loss', logProbabilities, target, weight, ignoreIndex, code) as [
    Tensor,
    Tensor,
  ]
  return record(loss, 'nllLoss', [logProbabilities], [logProbabilities, target, weight, totalWeight], (g, node) => [
    call(
      'nll_loss_backward',
      g,
      node.saved(0),
      node.saved(1),
      weight ? node.saved(2) : null,
      node.saved(3),
      ignoreIndex,
      code,
    ),
  ])
}

export interface BinaryCrossEntropyOptions {
  /** Multiplies the loss of each element; broadcast. */
  weight?: Tensor | null | undefined
  /** Multiplies the loss of positive targets; broadcast, usually [C]. */
  posWeight?: Tensor | null | undefined
  /** Default mean. */
  reduction?: Reduction | undefined
}

/** Binary cross-entropy of scores before the sigmoid against targets in [0, 1] of the same shape and dtype. */
export function binaryCrossEntropyWithLogits(
  scores: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyOptions = {},
): Tensor {
  const { reduction = 'mean' } = options
  const weight = options.weight ?? null
  const posWeight = options.posWeight ?? null
  reductionCode(reduction)
  const unreduced = call('bce_with_logits', scores, target, posWeight)
  if (isTracked([scores, target])) {
    // In the target the loss is linear: its slope is what separates label 1 from label 0.
    record(unreduced, 'binaryCrossEntropyWithLogits', [scores, target], [scores, target, posWeight], (g, node) => {
      const [x, y] = [node.saved(0), node.saved(1)]
      const positive = posWeight ? node.saved(2) : null
      return [
        node.needs(0) ? call('mul', g, call('bce_with_logits_slope', x, y, positive)) : null,
        node.needs(1)
          ? call(
              'mul',
              g,
              call(
                'sub',
                call('bce_with_logits', x, call('full', x.shape, 1, 0).to(x.dtype), positive),
                call('bce_with_logits', x, call('full', x.shape, 0, 0).to(x.dtype), positive),
              ),
            )
          : null,
      ]
    })
  }
  return reduceLoss(weight ? unreduced.mul(weight) : unreduced, reduction)
}
