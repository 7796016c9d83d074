import { requireOptions, requireTensor } from '../check.ts'
import { isFloatingPoint } from '../dtype.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { toDType } from './convert.ts'
import { log } from './unary.ts'

const VARIANCE_OPTIONS = ['keepdim', 'correction']

export interface ReduceOptions {
  /** Keep reduced dimensions with size one. Default false. */
  keepdim?: boolean | undefined
}

export interface VarianceOptions extends ReduceOptions {
  /** What is taken from the count: 1 (default) is the unbiased estimate, 0 the population's. */
  correction?: number | undefined
}

/** One dimension or several. */
export type Dims = number | readonly number[]

declare module '../tensor.ts' {
  interface Tensor {
    /** Sum over all elements, or over the given dimensions. Integers give int64. */
    sum(dim?: Dims | null, options?: ReduceOptions): Tensor
    mean(dim?: Dims | null, options?: ReduceOptions): Tensor
    prod(dim?: Dims | null, options?: ReduceOptions): Tensor
    /** Variance; unbiased unless `correction` says otherwise. */
    var(dim?: Dims | null, options?: VarianceOptions): Tensor
    std(dim?: Dims | null, options?: VarianceOptions): Tensor
    any(dim?: Dims | null, options?: ReduceOptions): Tensor
    all(dim?: Dims | null, options?: ReduceOptions): Tensor
    /** log(sum(exp(x))) without overflow. */
    logsumexp(dim: Dims, options?: ReduceOptions): Tensor
  }
}

/** @internal Whether reduced dimensions are kept. */
export function keepdimOf(op: string, options: ReduceOptions | undefined): boolean {
  if (options === undefined) return false
  requireOptions(op, options, ['keepdim'])
  return options.keepdim ?? false
}

/** @internal A list of dimensions; empty for all. */
export function dimList(dim: Dims | null | undefined): readonly number[] {
  if (dim === null || dim === undefined) return []
  return typeof dim === 'number' ? [dim] : dim
}

/** @internal The reduced value (or its gradient) with size-one dimensions where it was reduced, ready to broadcast. */
export function restore(x: Tensor, shape: readonly number[], dims: readonly number[]): Tensor {
  const reduced = new Set(dims.map((dim) => (dim < 0 ? dim + shape.length : dim)))
  const kept = shape.map((size, i) => (reduced.size === 0 || reduced.has(i) ? 1 : size))
  return call('reshape', x, kept)
}

export function reducedCount(shape: readonly number[], dims: readonly number[]): number {
  if (dims.length === 0) return shape.reduce((product, size) => product * size, 1)
  return dims.reduce((product, dim) => product * (shape[dim < 0 ? dim + shape.length : dim] ?? 1), 1)
}

export function sum(x: Tensor, dim?: Dims | null, options?: ReduceOptions): Tensor {
  const keepdim = keepdimOf('sum', options)
  const dims = dimList(dim)
  const out = call('sum', x, dims, keepdim)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'sum', [x], [], (g) => [call('expand', restore(g, shape, dims), shape)])
}

export function mean(x: Tensor, dim?: Dims | null, options?: ReduceOptions): Tensor {
  const keepdim = keepdimOf('mean', options)
  const dims = dimList(dim)
  const out = call('mean', x, dims, keepdim)
  if (!isTracked([x])) return out
  const { shape } = x
  const count = reducedCount(shape, dims)
  return record(out, 'mean', [x], [], (g) => [
    call('expand', restore(call('div', g, count), shape, dims), shape),
  ])
}

export function prod(x: Tensor, dim?: Dims | null, options?: ReduceOptions): Tensor {
  const keepdim = keepdimOf('prod', options)
  const dims = dimList(dim)
  const out = call('prod', x, dims, keepdim)
  if (!isTracked([x])) return out
  return record(out, 'prod', [x], [x, out], (g, node) => {
    const input = node.saved(0)
    const { shape } = input
    // Each element's gradient is the product of the others: by division, except where zeros forbid it.
    const zero = call('eq', input, 0)
    const zeros = call('sum', zero, dims, true)
    const others = call('prod', call('where', zero, 1, input), dims, true)
    const whole = call('div', restore(node.saved(1), shape, dims), call('where', zero, 1, input))
    const onlyZero = call('mul', call('eq', zeros, 1), others)
    const slope = call('where', zero, onlyZero, call('where', call('eq', zeros, 0), whole, 0))
    return [call('mul', restore(g, shape, dims), slope)]
  })
}

export function variance(x: Tensor, dim?: Dims | null, options: VarianceOptions = {}): Tensor {
  requireOptions('var', options, VARIANCE_OPTIONS)
  const { keepdim = false, correction = 1 } = options
  const dims = dimList(dim)
  const out = call('variance', x, dims, correction, keepdim)
  if (!isTracked([x])) return out
  return record(out, 'var', [x], [x], (g, node) => {
    const input = node.saved(0)
    const scale = 2 / (reducedCount(input.shape, dims) - correction)
    const centred = call('sub', input, call('mean', input, dims, true))
    return [call('mul', restore(call('mul', g, scale), input.shape, dims), centred)]
  })
}

export function std(x: Tensor, dim?: Dims | null, options: VarianceOptions = {}): Tensor {
  requireOptions('var', options, VARIANCE_OPTIONS)
  const { keepdim = false, correction = 1 } = options
  const dims = dimList(dim)
  const out = call('sqrt', call('variance', x, dims, correction, keepdim))
  return record(out, 'std', [x], [x, out], (g, node) => {
    const input = node.saved(0)
    const deviation = restore(node.saved(1), input.shape, dims)
    const scale = 1 / (reducedCount(input.shape, dims) - correction)
    const centred = call('sub', input, call('mean', input, dims, true))
    // At zero the root has no slope; PyTorch gives 0.
    const slope = call(
      'where',
      call('eq', deviation, 0),
      0,
      call('div', call('mul', centred, scale), deviation),
    )
    return [call('mul', restore(g, input.shape, dims), slope)]
  })
}

/** Whether any element is true, over the given dimensions or all. */
export function any(x: Tensor, dim?: Dims | null, options?: ReduceOptions): Tensor {
  const keepdim = keepdimOf('any', options)
  return call('any', x, dimList(dim), keepdim)
}

/** Whether all elements are true, over the given dimensions or all. */
export function all(x: Tensor, dim?: Dims | null, options?: ReduceOptions): Tensor {
  const keepdim = keepdimOf('all', options)
  return call('all', x, dimList(dim), keepdim)
}

/** log(sum(exp(x))) without overflow. Rows of nothing but -Infinity give -Infinity. */
export function logsumexp(x: Tensor, dim: Dims, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('logsumexp', options)
  requireTensor('logsumexp', 'input', x)
  if (!isFloatingPoint(x.dtype)) return logsumexp(toDType(x, 'float32'), dim, options)
  const dims = dimList(dim)
  if (x.numel === 0) return log(sum(x, dim, options))
  const highest = call('amax', x, dims, true)
  const shift = call('where', call('isfinite', highest), highest, 0)
  const powers = call('exp', call('sub', x, shift))
  const total = call('sum', powers, dims, keepdim)
  const out = call('add', call('log', total), keepdim ? shift : call('reshape', shift, total.shape))
  if (!isTracked([x])) return out
  return record(out, 'logsumexp', [x], [powers, total], (g, node) => {
    // The gradient is the softmax; of a row of -Infinity it is zero.
    const { shape } = node.saved(0)
    const sums = restore(node.saved(1), shape, dims)
    const some = call('where', call('eq', sums, 0), 1, sums)
    return [call('mul', call('div', restore(g, shape, dims), some), node.saved(0))]
  })
}

addMethods({
  sum(dim, options) {
    return sum(this, dim, options)
  },
  mean(dim, options) {
    return mean(this, dim, options)
  },
  prod(dim, options) {
    return prod(this, dim, options)
  },
  var(dim, options) {
    return variance(this, dim, options)
  },
  std(dim, options) {
    return std(this, dim, options)
  },
  any(dim, options) {
    return any(this, dim, options)
  },
  all(dim, options) {
    return all(this, dim, options)
  },
  logsumexp(dim, options) {
    return logsumexp(this, dim, options)
  },
})
