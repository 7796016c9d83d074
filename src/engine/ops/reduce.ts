import { dtypeCode } from '../dtype.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callInPlace, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'

export interface ReduceOptions {
  /** Keep reduced dimensions with size one. Default false. */
  keepdim?: boolean | undefined
}

export interface VarianceOptions extends ReduceOptions {
  /** What is taken from the count: 1 (default) is the unbiased estimate, 0 the population's. */
  correction?: number | undefined
}

/** The values along a dimension and where they were found (int64). */
export interface ValuesAndIndices {
  values: Tensor
  indices: Tensor
}

type Dims = number | readonly number[]

declare module '../tensor.ts' {
  interface Tensor {
    /** Sum over all elements, or over the given dimensions. Integers give int64. */
    sum(dim?: Dims | null, options?: ReduceOptions): Tensor
    mean(dim?: Dims | null, options?: ReduceOptions): Tensor
    prod(dim?: Dims | null, options?: ReduceOptions): Tensor
    /** Variance; unbiased unless `correction` says otherwise. */
    var(dim?: Dims | null, options?: VarianceOptions): Tensor
    std(dim?: Dims | null, options?: VarianceOptions): Tensor
    /** The p-norm of the elements: p = 2 by default, Infinity for the largest magnitude. */
    norm(p?: number, dim?: Dims | null, options?: ReduceOptions): Tensor
    /** The largest element; along a dimension with the place of its first occurrence. */
    max(): Tensor
    max(dim: number, options?: ReduceOptions): ValuesAndIndices
    min(): Tensor
    min(dim: number, options?: ReduceOptions): ValuesAndIndices
    /** Where the largest element is: in the flattened tensor, or along a dimension. int64. */
    argmax(dim?: number | null, options?: ReduceOptions): Tensor
    argmin(dim?: number | null, options?: ReduceOptions): Tensor
    any(dim?: Dims | null, options?: ReduceOptions): Tensor
    all(dim?: Dims | null, options?: ReduceOptions): Tensor
    /** log(sum(exp(x))) without overflow. */
    logsumexp(dim: Dims, options?: ReduceOptions): Tensor
    cumsum(dim: number): Tensor
    sort(dim?: number, options?: { descending?: boolean | undefined }): ValuesAndIndices
    argsort(dim?: number, options?: { descending?: boolean | undefined }): Tensor
    /** The k largest (or smallest) along a dimension, in order. */
    topk(k: number, dim?: number, options?: { largest?: boolean | undefined }): ValuesAndIndices
  }
}

function dimList(dim: Dims | null | undefined): readonly number[] {
  if (dim === null || dim === undefined) return []
  return typeof dim === 'number' ? [dim] : dim
}

// The reduced value (or its gradient) with size-one dimensions where it was reduced, ready to broadcast.
function restore(x: Tensor, shape: readonly number[], dims: readonly number[]): Tensor {
  const reduced = new Set(dims.map((dim) => (dim < 0 ? dim + shape.length : dim)))
  const kept = shape.map((size, i) => (reduced.size === 0 || reduced.has(i) ? 1 : size))
  return call('reshape', x, kept)
}

function reducedCount(shape: readonly number[], dims: readonly number[]): number {
  if (dims.length === 0) return shape.reduce((product, size) => product * size, 1)
  return dims.reduce((product, dim) => product * (shape[dim < 0 ? dim + shape.length : dim] ?? 1), 1)
}

export function sum(x: Tensor, dim?: Dims | null, { keepdim = false }: ReduceOptions = {}): Tensor {
  const dims = dimList(dim)
  const out = call('sum', x, dims, keepdim)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'sum', [x], [], (g) => [call('expand', restore(g, shape, dims), shape)])
}

export function mean(x: Tensor, dim?: Dims | null, { keepdim = false }: ReduceOptions = {}): Tensor {
  const dims = dimList(dim)
  const out = call('mean', x, dims, keepdim)
  if (!isTracked([x])) return out
  const { shape } = x
  const count = reducedCount(shape, dims)
  return record(out, 'mean', [x], [], (g) => [
    call('expand', restore(call('div', g, count), shape, dims), shape),
  ])
}

export function prod(x: Tensor, dim?: Dims | null, { keepdim = false }: ReduceOptions = {}): Tensor {
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
  return variance(x, dim, options).sqrt()
}

export function norm(x: Tensor, p = 2, dim?: Dims | null, options: ReduceOptions = {}): Tensor {
  if (p === Number.POSITIVE_INFINITY) return amax(x.abs(), dim, options)
  if (p === 1) return sum(x.abs(), dim, options)
  if (p !== 2) return sum(x.abs().pow(p), dim, options).pow(1 / p)
  const { keepdim = false } = options
  const dims = dimList(dim)
  const out = call('sqrt', call('sum', call('square', x), dims, keepdim))
  return record(out, 'norm', [x], [x, out], (g, node) => {
    const input = node.saved(0)
    const direction = call('div', input, restore(node.saved(1), input.shape, dims))
    // At zero the norm has no slope; PyTorch gives 0.
    const slope = call('where', call('eq', restore(node.saved(1), input.shape, dims), 0), 0, direction)
    return [call('mul', restore(g, input.shape, dims), slope)]
  })
}

/** The largest values over the given dimensions; the gradient is shared evenly among equals. */
export function amax(x: Tensor, dim?: Dims | null, options: ReduceOptions = {}): Tensor {
  return extreme('amax', x, dim, options)
}

export function amin(x: Tensor, dim?: Dims | null, options: ReduceOptions = {}): Tensor {
  return extreme('amin', x, dim, options)
}

function extreme(
  name: 'amax' | 'amin',
  x: Tensor,
  dim?: Dims | null,
  { keepdim = false }: ReduceOptions = {},
): Tensor {
  const dims = dimList(dim)
  const out = call(name, x, dims, keepdim)
  return record(out, name, [x], [x, out], (g, node) => {
    const input = node.saved(0)
    const winners = call('eq', input, restore(node.saved(1), input.shape, dims))
    const share = call('div', restore(g, input.shape, dims), call('sum', winners, dims, true))
    return [call('mul', winners, share)]
  })
}

// Puts gradients of picked elements back to where they were picked.
function scatterBack(
  g: Tensor,
  indices: Tensor,
  shape: readonly number[],
  dim: number,
  keepdim: boolean,
): Tensor {
  const zeros = call('full', shape, 0, dtypeCode(g.dtype))
  const [gradient, places] = keepdim
    ? [g, indices]
    : [call('unsqueeze', g, dim), call('unsqueeze', indices, dim)]
  callInPlace('scatter_add_', zeros, dim, places, gradient)
  return zeros
}

function alongDim(
  op: 'max_dim' | 'min_dim',
  x: Tensor,
  dim: number,
  options: ReduceOptions = {},
): ValuesAndIndices {
  const { keepdim = false } = options
  const [values, indices] = callMany(op, x, dim, keepdim) as [Tensor, Tensor]
  if (!isTracked([x])) return { values, indices }
  const { shape } = x
  record(values, op, [x], [indices], (g, node) => [
    shape.length === 0 ? g : scatterBack(g, node.saved(0), shape, dim, keepdim),
  ])
  return { values, indices }
}

function ordered(name: string, x: Tensor, dim: number, found: Tensor[]): ValuesAndIndices {
  const [values, indices] = found as [Tensor, Tensor]
  if (isTracked([x])) {
    const { shape } = x
    record(values, name, [x], [indices], (g, node) => [
      shape.length === 0 ? g : scatterBack(g, node.saved(0), shape, dim, true),
    ])
  }
  return { values, indices }
}

export function logsumexp(x: Tensor, dim: Dims, options: ReduceOptions = {}): Tensor {
  // Shifted by the largest value, which as a constant does not change the gradient.
  const { keepdim = false } = options
  const dims = dimList(dim)
  const highest = call('amax', x, dims, true)
  const shift = call('where', call('isfinite', highest), highest, 0)
  const total = sum(x.sub(shift).exp(), dims, { keepdim: true }).log().add(shift)
  if (keepdim) return total
  const reduced = new Set(dims.map((d) => (d < 0 ? d + x.ndim : d)))
  return total.reshape(x.shape.filter((_, i) => dims.length > 0 && !reduced.has(i)))
}

export function cumsum(x: Tensor, dim: number): Tensor {
  const out = call('cumsum', x, dim)
  return record(out, 'cumsum', [x], [], (g) => {
    // Each element counts in its own sum and in all that follow: total - running sum + itself.
    const running = call('cumsum', g, dim)
    return [g.ndim === 0 ? g : call('add', call('sub', call('sum', g, [dim], true), running), g)]
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
  norm(p, dim, options) {
    return norm(this, p, dim, options)
  },
  max: function (this: Tensor, dim?: number, options?: ReduceOptions) {
    return dim === undefined ? amax(this) : alongDim('max_dim', this, dim, options)
  } as Tensor['max'],
  min: function (this: Tensor, dim?: number, options?: ReduceOptions) {
    return dim === undefined ? amin(this) : alongDim('min_dim', this, dim, options)
  } as Tensor['min'],
  argmax(dim, options) {
    if (dim === undefined || dim === null) return call('argmax_all', this)
    return callMany('max_dim', this, dim, options?.keepdim ?? false)[1] as Tensor
  },
  argmin(dim, options) {
    if (dim === undefined || dim === null) return call('argmin_all', this)
    return callMany('min_dim', this, dim, options?.keepdim ?? false)[1] as Tensor
  },
  any(dim, options) {
    return call('any', this, dimList(dim), options?.keepdim ?? false)
  },
  all(dim, options) {
    return call('all', this, dimList(dim), options?.keepdim ?? false)
  },
  logsumexp(dim, options) {
    return logsumexp(this, dim, options)
  },
  cumsum(dim) {
    return cumsum(this, dim)
  },
  sort(dim = -1, options) {
    return ordered('sort', this, dim, callMany('sort', this, dim, options?.descending ?? false))
  },
  argsort(dim = -1, options) {
    return callMany('sort', this, dim, options?.descending ?? false)[1] as Tensor
  },
  topk(k, dim = -1, options) {
    return ordered('topk', this, dim, callMany('topk', this, k, dim, options?.largest ?? true))
  },
})
