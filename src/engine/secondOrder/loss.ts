import { call } from '../native.ts'
import { logSigmoid, sigmoid } from '../ops/activation.ts'
import { add, div, mul, type Operand, sub } from '../ops/binary.ts'
import { toDType } from '../ops/convert.ts'
import { where } from '../ops/indexing.ts'
import { logSoftmax, softmax } from '../ops/softmax.ts'
import { neg } from '../ops/unary.ts'
import type { RecordedOp } from '../recordedWalk.ts'
import type { Tensor } from '../tensor.ts'

// What reaches each element: of a mean its share.
function share(g: Tensor, x: Tensor, reduction: number, weight: Tensor | null): Tensor {
  const each = reduction === 1 ? div(g, x.numel) : g
  return weight ? mul(each, weight) : each
}

const wantedOf = <T>(wanted: readonly boolean[], results: readonly (() => T)[]): T[] =>
  results.filter((_, i) => wanted[i]).map((result) => result())

// loss = (1 - t) x - (1 + (p - 1) t) log sigmoid(x)
function withLogits(
  g: Tensor,
  x: Tensor,
  target: Tensor,
  weight: Tensor | null,
  posWeight: Tensor | null,
  reduction: number,
  ...wanted: [boolean, boolean]
): Tensor[] {
  const scale = share(g, x, reduction, weight)
  const extra = posWeight ? sub(posWeight, 1) : 0
  const positive = add(mul(target, extra), 1)
  return wantedOf(wanted, [
    () => mul(scale, sub(sub(1, target), mul(positive, sigmoid(neg(x))))),
    () => mul(scale, sub(neg(x), mul(logSigmoid(x), extra))),
  ])
}

// loss = -t log x - (1 - t) log(1 - x), the logarithms at least -100: PyTorch's gradient, (x - t) / max(x (1 - x), 1e-12)
function ofProbabilities(
  g: Tensor,
  x: Tensor,
  target: Tensor,
  weight: Tensor | null,
  reduction: number,
  ...wanted: [boolean, boolean]
): Tensor[] {
  const scale = share(g, x, reduction, weight)
  const logarithm = (value: Tensor) => value.log().clamp(-100)
  return wantedOf(wanted, [
    () => mul(scale, div(sub(x, target), mul(x, sub(1, x)).clamp(1e-12))),
    () => mul(scale, sub(logarithm(sub(1, x)), logarithm(x))),
  ])
}

/** What each class counts for at each label [N, C, …]: the class's weight at the label's place, 0 where labels are ignored. */
function countsOf(
  x: Tensor,
  labels: Tensor,
  weight: Tensor | null,
  ignoreIndex: number,
  smoothing: number,
): Tensor {
  const dim = x.ndim === 1 ? 0 : 1
  const classes = x.size(dim)
  const counted = labels.ne(ignoreIndex)
  const hits = toDType(call('one_hot', where(counted, labels, 0), classes), x.dtype).movedim(-1, dim)
  const spread = add(mul(hits, 1 - smoothing), smoothing / classes)
  return mul(mul(spread, perClass(x, weight)), counted.unsqueeze(dim))
}

const perClass = (x: Tensor, weight: Tensor | null): Operand =>
  weight ? weight.reshape(x.shape.map((_, i) => (i === (x.ndim === 1 ? 0 : 1) ? -1 : 1))) : 1

// What reaches each label, of a mean its share of `total`; broadcastable to the classes.
function shareOfLabels(g: Tensor, x: Tensor, reduction: number, total: Operand): Tensor {
  if (reduction === 0) return g.unsqueeze(x.ndim === 1 ? 0 : 1)
  return reduction === 1 ? div(g, total) : g
}

// loss = -Σ counts · log softmax(x)
function throughSoftmax(x: Tensor, counts: Tensor): Tensor {
  const dim = x.ndim === 1 ? 0 : 1
  return sub(mul(softmax(x, dim), counts.sum(dim, { keepdim: true })), counts)
}

function ofLabels(
  g: Tensor,
  x: Tensor,
  labels: Tensor,
  weight: Tensor | null,
  _logSums: Tensor,
  total: Tensor,
  ...[ignoreIndex, smoothing, reduction]: [number, number, number]
): Tensor {
  const counts = countsOf(x, labels, weight, ignoreIndex, smoothing)
  return mul(shareOfLabels(g, x, reduction, total), throughSoftmax(x, counts))
}

function ofClassProbabilities(
  g: Tensor,
  x: Tensor,
  target: Tensor,
  weight: Tensor | null,
  _logSums: Tensor,
  smoothing: number,
  reduction: number,
  ...wanted: [boolean, boolean]
): Tensor[] {
  const dim = x.ndim === 1 ? 0 : 1
  const classes = x.size(dim)
  const scale = shareOfLabels(g, x, reduction, x.numel / classes)
  const factor = perClass(x, weight)
  return wantedOf(wanted, [
    () => mul(scale, throughSoftmax(x, mul(add(mul(target, 1 - smoothing), smoothing / classes), factor))),
    () => mul(scale, mul(mul(logSoftmax(x, dim), factor), smoothing - 1)),
  ])
}

function ofLogProbabilities(
  g: Tensor,
  x: Tensor,
  labels: Tensor,
  weight: Tensor | null,
  total: Tensor,
  ...[ignoreIndex, reduction]: [number, number]
): Tensor {
  return neg(mul(shareOfLabels(g, x, reduction, total), countsOf(x, labels, weight, ignoreIndex, 0)))
}

export const lossOps: Record<string, RecordedOp> = {
  binary_cross_entropy_with_logits_backward: withLogits,
  binary_cross_entropy_backward: ofProbabilities,
  cross_entropy_backward: ofLabels,
  cross_entropy_soft_backward: ofClassProbabilities,
  nll_loss_backward: ofLogProbabilities,
}

export const lossNames = [
  'binaryCrossEntropyWithLogits',
  'binaryCrossEntropy',
  'mseLoss',
  'crossEntropy',
  'nllLoss',
]
