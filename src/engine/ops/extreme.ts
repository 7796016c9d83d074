import { requireOptions } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callInPlace, callMany, callOn } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { type Dims, dimList, keepdimOf, type ReduceOptions, restore } from './reduce.ts'

/** The values along a dimension and where they were found (int64). */
export interface ValuesAndIndices {
  values: Tensor
  indices: Tensor
}

export interface SortOptions {
  /** Largest first. Default false. NaN counts as larger than everything. */
  descending?: boolean | undefined
}

export interface TopkOptions {
  /** False picks the smallest. Default true. */
  largest?: boolean | undefined
}

declare module '../tensor.ts' {
  interface Tensor {
    /** The largest element; along a dimension with the place of its first occurrence. NaN wins. */
    max(): Tensor
    max(dim: number, options?: ReduceOptions): ValuesAndIndices
    min(): Tensor
    min(dim: number, options?: ReduceOptions): ValuesAndIndices
    /** The largest values over one, several or all dimensions; the gradient is shared evenly among equals. NaN wins. */
    amax(dim?: Dims | null, options?: ReduceOptions): Tensor
    amin(dim?: Dims | null, options?: ReduceOptions): Tensor
    /** Where the largest element is: in the flattened tensor, or along a dimension. int64. */
    argmax(dim?: number | null, options?: ReduceOptions): Tensor
    argmin(dim?: number | null, options?: ReduceOptions): Tensor
    /** In order along a dimension; equal elements keep theirs. */
    sort(dim?: number, options?: SortOptions): ValuesAndIndices
    argsort(dim?: number, options?: SortOptions): Tensor
    /** The k largest (or smallest) along a dimension, in order. */
    topk(k: number, dim?: number, options?: TopkOptions): ValuesAndIndices
  }
}

/** The largest values over the given dimensions; the gradient is shared evenly among equals, or among NaN. */
export function amax(x: Tensor, dim?: Dims | null, options: ReduceOptions = {}): Tensor {
  return extreme('amax', x, dim, options)
}

export function amin(x: Tensor, dim?: Dims | null, options: ReduceOptions = {}): Tensor {
  return extreme('amin', x, dim, options)
}

function extreme(name: 'amax' | 'amin', x: Tensor, dim?: Dims | null, options?: ReduceOptions): Tensor {
  const keepdim = keepdimOf(name, options)
  const dims = dimList(dim)
  const out = call(name, x, dims, keepdim)
  return record(out, name, [x], [x, out], (g, node) => [shareEvenly(g, node.saved(0), node.saved(1), dims)])
}

/** @internal The gradient of a reduction to `out`, one of the elements, shared evenly among all that equal it. */
export function shareEvenly(g: Tensor, input: Tensor, out: Tensor, dims: readonly number[]): Tensor {
  const chosen = restore(out, input.shape, dims)
  // NaN equals nothing, itself included: where it is the result, those that are NaN share.
  const missing = call('logical_and', call('ne', input, input), call('ne', chosen, chosen))
  const winners = call('logical_or', call('eq', input, chosen), missing)
  const share = call('div', restore(g, input.shape, dims), call('sum', winners, dims, true))
  return call('mul', winners, share)
}

// Puts gradients of picked elements back to where they were picked.
function scatterBack(
  g: Tensor,
  indices: Tensor,
  shape: readonly number[],
  dim: number,
  keepdim: boolean,
): Tensor {
  const zeros = callOn(g, 'full', shape, 0, dtypeCode(g.dtype))
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
  options?: ReduceOptions,
): ValuesAndIndices {
  const keepdim = keepdimOf(op.slice(0, 3), options)
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

/** The largest element of all, or along a dimension with the places of the first occurrences. */
export function max(x: Tensor): Tensor
export function max(x: Tensor, dim: number, options?: ReduceOptions): ValuesAndIndices
export function max(x: Tensor, dim?: number, options?: ReduceOptions): Tensor | ValuesAndIndices {
  return dim === undefined ? amax(x) : alongDim('max_dim', x, dim, options)
}

/** The smallest element of all, or along a dimension with the places of the first occurrences. */
export function min(x: Tensor): Tensor
export function min(x: Tensor, dim: number, options?: ReduceOptions): ValuesAndIndices
export function min(x: Tensor, dim?: number, options?: ReduceOptions): Tensor | ValuesAndIndices {
  return dim === undefined ? amin(x) : alongDim('min_dim', x, dim, options)
}

function place(
  op: 'max_dim' | 'min_dim',
  x: Tensor,
  dim: number | null | undefined,
  options: ReduceOptions | undefined,
): Tensor {
  const keepdim = keepdimOf(`arg${op.slice(0, 3)}`, options)
  if (dim !== undefined && dim !== null) return callMany(op, x, dim, keepdim)[1] as Tensor
  const found = call(op === 'max_dim' ? 'argmax_all' : 'argmin_all', x)
  return keepdim ? call('reshape', found, new Array<number>(x.ndim).fill(1)) : found
}

/** Where the largest element is: in the flattened tensor, or along a dimension. int64. */
export function argmax(x: Tensor, dim?: number | null, options?: ReduceOptions): Tensor {
  return place('max_dim', x, dim, options)
}

/** Where the smallest element is: in the flattened tensor, or along a dimension. int64. */
export function argmin(x: Tensor, dim?: number | null, options?: ReduceOptions): Tensor {
  return place('min_dim', x, dim, options)
}

/** The elements in order along a dimension, and where they were; equal elements keep their order. */
export function sort(x: Tensor, dim = -1, options: SortOptions = {}): ValuesAndIndices {
  requireOptions('sort', options, ['descending'])
  const { descending = false } = options
  return ordered('sort', x, dim, callMany('sort', x, dim, descending))
}

/** Where the elements in order along a dimension come from. int64. */
export function argsort(x: Tensor, dim = -1, options: SortOptions = {}): Tensor {
  requireOptions('argsort', options, ['descending'])
  const { descending = false } = options
  return callMany('sort', x, dim, descending)[1] as Tensor
}

/** The k largest (or smallest) along a dimension, in order, and where they were. */
export function topk(x: Tensor, k: number, dim = -1, options: TopkOptions = {}): ValuesAndIndices {
  requireOptions('topk', options, ['largest'])
  const { largest = true } = options
  return ordered('topk', x, dim, callMany('topk', x, k, dim, largest))
}

addMethods({
  max: function (this: Tensor, dim?: number, options?: ReduceOptions) {
    return dim === undefined ? amax(this) : max(this, dim, options)
  } as Tensor['max'],
  min: function (this: Tensor, dim?: number, options?: ReduceOptions) {
    return dim === undefined ? amin(this) : min(this, dim, options)
  } as Tensor['min'],
  amax(dim, options) {
    return amax(this, dim, options)
  },
  amin(dim, options) {
    return amin(this, dim, options)
  },
  argmax(dim, options) {
    return argmax(this, dim, options)
  },
  argmin(dim, options) {
    return argmin(this, dim, options)
  },
  sort(dim, options) {
    return sort(this, dim, options)
  },
  argsort(dim, options) {
    return argsort(this, dim, options)
  },
  topk(k, dim, options) {
    return topk(this, k, dim, options)
  },
})
