import { requireTensor } from '../check.ts'
import { isFloatingPoint } from '../dtype.ts'
import { DTypeError, ShapeError } from '../errors.ts'
import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { wrapDim } from './dims.ts'
import { shareEvenly, type ValuesAndIndices } from './extreme.ts'
import { gather } from './indexing.ts'
import { keepdimOf, mean, type ReduceOptions } from './reduce.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /**
     * The middle element in order, of an even number the lower of both; along a dimension with the place where it was found.
     * NaN wins. `quantile(0.5)` takes the mean of both.
     */
    median(): Tensor
    median(dim: number, options?: ReduceOptions): ValuesAndIndices
    /** As `median`, of those elements that are not NaN; NaN where there are no others. */
    nanmedian(): Tensor
    nanmedian(dim: number, options?: ReduceOptions): ValuesAndIndices
  }
}

type Name = 'median' | 'nanmedian'

// Where along a dimension, which is kept, the median lies.
function placeOf(op: Name, x: Tensor, dim: number): Tensor {
  const size = x.size(dim)
  const order = callMany('sort', x, dim, false)[1] as Tensor
  const middle = (size - 1) >> 1
  if (!isFloatingPoint(x.dtype)) return call('slice', order, dim, middle, middle + 1, 1)
  // NaN come last: the first of them is the median, or the middle is that of what precedes them.
  const missing = call('sum', call('isnan', x), [dim], true)
  const others = call('sub', size, missing)
  const rank =
    op === 'median'
      ? call('where', call('gt', missing, 0), others, middle)
      : call('floor_divide', call('clamp', call('sub', others, 1), 0, null), 2)
  return call('gather', order, dim, rank)
}

function alongDim(op: Name, x: Tensor, dim: number, options?: ReduceOptions): ValuesAndIndices {
  const keepdim = keepdimOf(op, options)
  const at = wrapDim(op, dim, x.shape)
  if (x.ndim === 0) {
    const { values, indices } = alongDim(op, x.reshape([1]), 0)
    return { values, indices }
  }
  if (x.size(at) === 0) throw new ShapeError(`${op}: dimension ${dim} of [${x.shape.join(', ')}] is empty`)
  const places = placeOf(op, x, at)
  const values = gather(x, at, places)
  if (keepdim) return { values, indices: places }
  return { values: values.squeeze(at), indices: call('squeeze', places, at) }
}

function ofAll(op: Name, x: Tensor): Tensor {
  if (x.numel === 0) {
    if (isFloatingPoint(x.dtype)) return mean(x) // NaN
    throw new ShapeError(`${op}: a tensor of ${x.dtype} without elements has none`)
  }
  const flat = call('reshape', x, [-1])
  const out = call('reshape', call('gather', flat, 0, placeOf(op, flat, 0)), [])
  return record(out, op, [x], [x, out], (g, node) => [shareEvenly(g, node.saved(0), node.saved(1), [])])
}

function medianOf(op: Name, x: Tensor, dim?: number, options?: ReduceOptions): Tensor | ValuesAndIndices {
  requireTensor(op, 'input', x)
  if (x.dtype === 'bool') throw new DTypeError(`${op}: bool has no order; convert it with int()`)
  return dim === undefined ? ofAll(op, x) : alongDim(op, x, dim, options)
}

/**
 * The middle element in order, of an even number the lower of both. Of all elements, the gradient is shared evenly among
 * equals; along a dimension it goes to the place that is given, of several equal elements the one that a stable order puts
 * into the middle. NaN wins. @throws ShapeError where there is no element (floating without `dim`: NaN), DTypeError for bool.
 */
export function median(x: Tensor): Tensor
export function median(x: Tensor, dim: number, options?: ReduceOptions): ValuesAndIndices
export function median(x: Tensor, dim?: number, options?: ReduceOptions): Tensor | ValuesAndIndices {
  return medianOf('median', x, dim, options)
}

/** As `median`, of those elements that are not NaN; NaN where there are no others. */
export function nanmedian(x: Tensor): Tensor
export function nanmedian(x: Tensor, dim: number, options?: ReduceOptions): ValuesAndIndices
export function nanmedian(x: Tensor, dim?: number, options?: ReduceOptions): Tensor | ValuesAndIndices {
  return medianOf('nanmedian', x, dim, options)
}

addMethods({
  median: function (this: Tensor, dim?: number, options?: ReduceOptions) {
    return medianOf('median', this, dim, options)
  } as Tensor['median'],
  nanmedian: function (this: Tensor, dim?: number, options?: ReduceOptions) {
    return medianOf('nanmedian', this, dim, options)
  } as Tensor['nanmedian'],
})
