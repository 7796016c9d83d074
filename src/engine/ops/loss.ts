import { raised } from '../autocast.ts'
import { requireOptions, requireTensor, show } from '../check.ts'
import { type DType, isFloatingPoint } from '../dtype.ts'
import { ConfigError, ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { call, callMany, isRecordingGradients } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { toDType } from './convert.ts'

/** What becomes of the losses of single elements: kept, averaged, or added up. */
export type Reduction = 'none' | 'mean' | 'sum'

const reductions: readonly Reduction[] = ['none', 'mean', 'sum']

// The engine's number for a reduction.
function reductionCode(op: string, reduction: Reduction): number {
  const code = reductions.indexOf(reduction)
  if (code < 0) {
    throw new ConfigError(
      `${op}: the reduction must be one of ${reductions.join(', ')}, got ${show(reduction)}`,
    )
  }
  return code
}

export interface NllLossOptions {
  /** A factor for each class [C]; 'mean' then divides by the sum of the labels' factors. */
  weight?: Tensor | null | undefined
  /** Labels of this value count for nothing. Default -100. */
  ignoreIndex?: number | undefined
  /** Default 'mean'. */
  reduction?: Reduction | undefined
}

export interface CrossEntropyOptions extends NllLossOptions {
  /** Share of each label that is spread evenly over all classes, in [0, 1] (Szegedy et al. 2016). Default 0. */
  labelSmoothing?: number | undefined
}

/**
 * Cross-entropy of scores before the softmax. `logits` is [N, C], [N, C, d1, …] or [C]. `target` holds class labels
 * (integers, the shape of `logits` without C) or probabilities of the classes (floating, the shape of `logits`; where the
 * dtypes differ, the loss has the wider).
 * With reduction 'none' the result has the shape of the labels.
 * @throws ShapeError, DTypeError at once. A label out of range is found by the kernel: a ShapeError at the next read.
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  requireOptions('crossEntropy', options, ['weight', 'ignoreIndex', 'reduction', 'labelSmoothing'])
  requireTensor('crossEntropy', 'target', target)
  logits = raised(logits)
  const { ignoreIndex = -100, labelSmoothing = 0, reduction = 'mean' } = options
  const code = reductionCode('crossEntropy', reduction)
  const weight = options.weight ?? null
  if (isFloatingPoint(target.dtype)) {
    requireTensor('crossEntropy', 'scores', logits)
    if (target.ndim < logits.ndim) {
      const [expected, got] = [logits.shape.join(', '), target.shape.join(', ')]
      throw new ShapeError(
        `crossEntropy: expected probabilities of shape [${expected}], got [${got}]; class labels are integers: target.long()`,
      )
    }
    const probabilities = raised(target)
    const dtype = widerFloat(logits.dtype, probabilities.dtype)
    return softCrossEntropy(
      toDType(logits, dtype),
      toDType(probabilities, dtype),
      weight,
      labelSmoothing,
      code,
    )
  }
  const settings = [ignoreIndex, labelSmoothing, code] as const
  const [loss, logSums, totalWeight] = callMany('cross_entropy', logits, target, weight, ...settings) as [
    Tensor,
    Tensor,
    Tensor,
  ]
  const saved = [logits, target, logSums, totalWeight, weight]
  return record(loss, 'crossEntropy', [logits], saved, (g, node) => [
    call(
      'cross_entropy_backward',
      g,
      node.saved(0),
      node.saved(1),
      weight ? node.saved(4) : null,
      node.saved(2),
      node.saved(3),
      ...settings,
    ),
  ])
}

/** @internal Of floating dtypes that holding all values of both; what is not floating is left for the engine to refuse. */
export function widerFloat(scores: DType, target: DType): DType {
  if (scores === target || !isFloatingPoint(scores)) return scores
  return scores === 'float64' || target === 'float64' ? 'float64' : 'float32'
}

function softCrossEntropy(
  logits: Tensor,
  target: Tensor,
  weight: Tensor | null,
  smoothing: number,
  code: number,
): Tensor {
  const [loss, logSums] = callMany('cross_entropy_soft', logits, target, weight, smoothing, code) as [
    Tensor,
    Tensor,
  ]
  const inputs = [logits, target]
  if (!isTracked(inputs)) return loss
  return record(loss, 'crossEntropy', inputs, [logits, target, logSums, weight], (g, node) => {
    const [wantScores, wantTarget] = [node.needs(0), node.needs(1)]
    const results = callMany(
      'cross_entropy_soft_backward',
      g,
      node.saved(0),
      node.saved(1),
      weight ? node.saved(3) : null,
      node.saved(2),
      smoothing,
      code,
      wantScores,
      wantTarget,
    )
    return split(results, wantScores, wantTarget)
  })
}

// Gradients of two inputs, of which the engine gives only those asked for.
function split(results: readonly Tensor[], wantFirst: boolean, wantSecond: boolean): (Tensor | null)[] {
  const first = wantFirst ? (results[0] ?? null) : null
  return [first, wantSecond ? (results[wantFirst ? 1 : 0] ?? null) : null]
}

/**
 * Negative log-likelihood: minus the entry of `logProbabilities` [N, C, …] at each label, times the class's weight.
 * `crossEntropy` is this after `logSoftmax`, in one step.
 * @throws ShapeError, DTypeError at once. A label out of range is found by the kernel: a ShapeError at the next read.
 */
export function nllLoss(logProbabilities: Tensor, target: Tensor, options: NllLossOptions = {}): Tensor {
  requireOptions('nllLoss', options, ['weight', 'ignoreIndex', 'reduction'])
  logProbabilities = raised(logProbabilities)
  const { ignoreIndex = -100, reduction = 'mean' } = options
  const code = reductionCode('nllLoss', reduction)
  const weight = options.weight ?? null
  const [loss, totalWeight] = callMany('nll_loss', logProbabilities, target, weight, ignoreIndex, code) as [
    Tensor,
    Tensor,
  ]
  const saved = [logProbabilities, target, totalWeight, weight]
  return record(loss, 'nllLoss', [logProbabilities], saved, (g, node) => [
    call(
      'nll_loss_backward',
      g,
      node.saved(0),
      node.saved(1),
      weight ? node.saved(3) : null,
      node.saved(2),
      ignoreIndex,
      code,
    ),
  ])
}

export interface BinaryCrossEntropyOptions {
  /** A factor for each element; broadcasts to the input. */
  weight?: Tensor | null | undefined
  /** Default 'mean'. */
  reduction?: Reduction | undefined
}

export interface BinaryCrossEntropyWithLogitsOptions extends BinaryCrossEntropyOptions {
  /** Weight of positive targets, usually one for each class; broadcasts to the input. */
  posWeight?: Tensor | null | undefined
}

/**
 * Binary cross-entropy of scores before the sigmoid, stable for scores of any size. `target` has the shape and dtype of
 * `input`, with values in [0, 1].
 * @throws ShapeError, DTypeError.
 */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyWithLogitsOptions = {},
): Tensor {
  requireOptions('binaryCrossEntropyWithLogits', options, ['weight', 'reduction', 'posWeight'])
  input = raised(input)
  target = raised(target)
  const code = reductionCode('binaryCrossEntropyWithLogits', options.reduction ?? 'mean')
  const weight = options.weight ?? null
  const posWeight = options.posWeight ?? null
  const loss = call('binary_cross_entropy_with_logits', input, target, weight, posWeight, code)
  const inputs = [input, target]
  if (!isTracked(inputs)) return loss
  return record(
    loss,
    'binaryCrossEntropyWithLogits',
    inputs,
    [input, target, weight, posWeight],
    (g, node) => {
      const [wantInput, wantTarget] = [node.needs(0), node.needs(1)]
      const results = callMany(
        'binary_cross_entropy_with_logits_backward',
        g,
        node.saved(0),
        node.saved(1),
        weight ? node.saved(2) : null,
        posWeight ? node.saved(3) : null,
        code,
        wantInput,
        wantTarget,
      )
      return split(results, wantInput, wantTarget)
    },
  )
}

/**
 * Binary cross-entropy of probabilities. Logarithms count for no less than -100, as in PyTorch, so that a certain and
 * wrong prediction costs 100 instead of infinity. Scores before the sigmoid go to `binaryCrossEntropyWithLogits`.
 * @throws ShapeError, DTypeError at once. A value outside [0, 1] is found by the kernel: an error at the next read.
 */
export function binaryCrossEntropy(
  input: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyOptions = {},
): Tensor {
  requireOptions('binaryCrossEntropy', options, ['weight', 'reduction'])
  input = raised(input)
  target = raised(target)
  const code = reductionCode('binaryCrossEntropy', options.reduction ?? 'mean')
  const weight = options.weight ?? null
  const loss = call('binary_cross_entropy', input, target, weight, code)
  const inputs = [input, target]
  if (!isTracked(inputs)) return loss
  return record(loss, 'binaryCrossEntropy', inputs, [input, target, weight], (g, node) => {
    const [wantInput, wantTarget] = [node.needs(0), node.needs(1)]
    const results = callMany(
      'binary_cross_entropy_backward',
      g,
      node.saved(0),
      node.saved(1),
      weight ? node.saved(2) : null,
      code,
      wantInput,
      wantTarget,
    )
    return split(results, wantInput, wantTarget)
  })
}

/**
 * The square of output minus target, element by element, reduced. Both have one shape and one dtype.
 * @throws ShapeError, DTypeError.
 */
export function squaredError(output: Tensor, target: Tensor, reduction: Reduction = 'mean'): Tensor {
  const code = reductionCode('mseLoss', reduction)
  const difference = call('sub', output, target)
  const squares = call('square', difference)
  const loss = code === 0 ? squares : call(code === 1 ? 'mean' : 'sum', squares, [], false)
  const inputs = [output, target]
  if (!isTracked(inputs)) return loss
  return record(loss, 'mseLoss', inputs, [difference, output, target], (g, node) => {
    // The difference at hand has no history.
    const apart = isRecordingGradients() ? call('sub', node.saved(1), node.saved(2)) : node.saved(0)
    const toOutput = call('mul', call('mul', apart, code === 1 ? 2 / apart.numel : 2), g)
    return [node.needs(0) ? toOutput : null, node.needs(1) ? call('neg', toOutput) : null]
  })
}
