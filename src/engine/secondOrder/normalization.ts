import { call } from '../native.ts'
import { add, mul, sub } from '../ops/binary.ts'
import { toDType } from '../ops/convert.ts'
import { matmul } from '../ops/matmul.ts'
import { mean, sum } from '../ops/reduce.ts'
import { exp, rsqrt, square } from '../ops/unary.ts'
import type { RecordedOp } from '../recordedWalk.ts'
import type { Tensor } from '../tensor.ts'

type Dims = readonly number[]
type Gradient = Tensor | null

const range = (start: number, stop: number): number[] =>
  Array.from({ length: stop - start }, (_, i) => start + i)

/**
 * (x - mean) / deviation as a function of x, whose statistics the forward pass kept without history. What was added to the
 * variance is read off the kept 1 / deviation.
 */
function standardised(x: Tensor, dims: Dims, inverseDeviation: Tensor): { normal: Tensor; inverse: Tensor } {
  const centred = sub(x, mean(x, dims, { keepdim: true }))
  const variance = mean(square(centred), dims, { keepdim: true })
  const kept = call('reshape', inverseDeviation, variance.shape)
  const eps = call('sub', call('reciprocal', call('square', kept)), variance.detach())
  const inverse = rsqrt(add(variance, eps))
  return { normal: mul(centred, inverse), inverse }
}

// The gradient through a standardisation: without its mean, and without what lies along the result.
function throughStatistics(g: Tensor, normal: Tensor, inverse: Tensor, dims: Dims): Tensor {
  const along = mul(normal, mean(mul(g, normal), dims, { keepdim: true }))
  return mul(inverse, sub(sub(g, mean(g, dims, { keepdim: true })), along))
}

function batchNormBackward(
  gradient: Tensor,
  x: Tensor,
  gate: Tensor | null,
  weight: Tensor | null,
  bias: Tensor | null,
  means: Tensor,
  inverseDeviation: Tensor,
  training: boolean,
  relu: boolean,
  wantInput: boolean,
  wantParameters: boolean,
): Gradient[] {
  const perChannel = x.shape.map((size, i) => (i === 1 ? size : 1))
  const shaped = (tensor: Tensor) => tensor.reshape(perChannel)
  const dims = [0, ...range(2, x.ndim)]
  const fixed = () => {
    const inverse = call('reshape', inverseDeviation, perChannel)
    return { normal: mul(sub(x, call('reshape', means, perChannel)), inverse), inverse }
  }
  const { normal, inverse } = training ? standardised(x, dims, inverseDeviation) : fixed()
  let g = gradient
  if (relu) {
    const scaled = () =>
      weight ? call('mul', normal.detach(), call('reshape', weight, perChannel)) : normal.detach()
    const before = () => (bias ? call('add', scaled(), call('reshape', bias, perChannel)) : scaled())
    g = mul(g, call('gt', gate ?? before(), 0))
  }
  const results: Gradient[] = []
  if (wantInput) {
    const inner = weight ? mul(g, shaped(weight)) : g
    const toInput = training ? throughStatistics(inner, normal, inverse, dims) : mul(inner, inverse)
    results.push(toDType(toInput, x.dtype))
  }
  if (wantParameters) results.push(sum(mul(g, normal), dims), sum(g, dims))
  if (gate) results.push(g)
  return results
}

function layerNormBackward(
  g: Tensor,
  x: Tensor,
  shape: Dims,
  weight: Tensor | null,
  _means: Tensor,
  inverseDeviation: Tensor,
  wantInput: boolean,
  wantParameters: boolean,
): Gradient[] {
  const dims = range(x.ndim - shape.length, x.ndim)
  const { normal, inverse } = standardised(x, dims, inverseDeviation)
  const results: Gradient[] = []
  if (wantInput) {
    const toInput = throughStatistics(weight ? mul(g, weight) : g, normal, inverse, dims)
    results.push(toDType(toInput, x.dtype))
  }
  if (wantParameters) {
    const rows = range(0, x.ndim - shape.length)
    const total = (terms: Tensor) => (rows.length > 0 ? sum(terms, rows) : terms)
    results.push(total(mul(g, normal)), total(g))
  }
  return results
}

function groupNormBackward(
  g: Tensor,
  x: Tensor,
  groups: number,
  weight: Tensor | null,
  _means: Tensor,
  inverseDeviation: Tensor,
  wantInput: boolean,
  wantParameters: boolean,
): Gradient[] {
  const { shape } = x
  const perChannel = shape.map((size, i) => (i === 1 ? size : 1))
  const grouped = (tensor: Tensor) => tensor.reshape([shape[0] as number, groups, -1])
  const { normal, inverse } = standardised(grouped(x), [2], inverseDeviation)
  const results: Gradient[] = []
  if (wantInput) {
    const inner = grouped(weight ? mul(g, weight.reshape(perChannel)) : g)
    results.push(toDType(throughStatistics(inner, normal, inverse, [2]).reshape(shape), x.dtype))
  }
  if (wantParameters) {
    const dims = [0, ...range(2, x.ndim)]
    results.push(sum(mul(g, normal.reshape(shape)), dims), sum(g, dims))
  }
  return results
}

/** The gradients of x Wᵀ + b. */
function linearBackward(g: Tensor, x: Tensor, weight: Tensor, ...wanted: boolean[]): Gradient[] {
  const [outputs, inputs] = weight.shape as [number, number]
  const rows = g.reshape([-1, outputs])
  const results: Gradient[] = []
  if (wanted[0]) results.push(matmul(g, weight))
  if (wanted[1]) results.push(matmul(rows.t(), x.reshape([-1, inputs])))
  if (wanted[2]) results.push(sum(rows, 0))
  return results
}

export const normalizationOps: Record<string, RecordedOp> = {
  batch_norm_backward: batchNormBackward,
  layer_norm_backward: layerNormBackward,
  group_norm_backward: groupNormBackward,
  linear_backward: linearBackward,
  softmax_backward: (g: Tensor, y: Tensor, dim: number) =>
    mul(y, sub(g, sum(mul(g, y), dim, { keepdim: true }))),
  log_softmax_backward: (g: Tensor, y: Tensor, dim: number) =>
    sub(g, mul(exp(y), sum(g, dim, { keepdim: true }))),
}

export const normalizationNames = ['batchNorm', 'layerNorm', 'groupNorm', 'softmax', 'logSoftmax']
