import { addon } from '../addon.ts'
import { requireNumber, requireTensor } from '../check.ts'
import { ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods, asViewOf, numberList } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { reduceLike } from './binary.ts'

type Sizes = number | readonly number[]

declare module '../tensor.ts' {
  interface Tensor {
    /** The same memory under another shape; -1 stands for one size to be worked out. Throws where a copy is needed. */
    view(...sizes: [Sizes, ...number[]]): Tensor
    /** As view, copying when it must. */
    reshape(...sizes: [Sizes, ...number[]]): Tensor
    /** Dimensions in another order: `x.permute(0, 2, 3, 1)`. */
    permute(...dims: [Sizes, ...number[]]): Tensor
    /** Two dimensions exchanged. */
    transpose(dim0: number, dim1: number): Tensor
    /** The transpose of a matrix; vectors stay. */
    t(): Tensor
    /** Without dimensions of size one, or without the one given. */
    squeeze(dim?: number): Tensor
    /** With a new dimension of size one. */
    unsqueeze(dim: number): Tensor
    /** Repeats dimensions of size one without copying; -1 keeps a size. */
    expand(...sizes: [Sizes, ...number[]]): Tensor
    expandAs(other: Tensor): Tensor
    /** One dimension out of `startDim … endDim`. */
    flatten(startDim?: number, endDim?: number): Tensor
    /** Values and memory order copied. */
    clone(): Tensor
    /** The same values in row-major memory; itself if they are already. */
    contiguous(): Tensor
  }
}

/** A view whose gradient is the gradient under the old shape. */
function reshaping(name: 'view' | 'reshape', x: Tensor, sizes: readonly number[]): Tensor {
  const out = call(name, x, sizes)
  // A reshape that had to copy looks at nobody.
  if (name === 'view' || addon.sharesStorage(out.handle)) asViewOf(out, x)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, name, [x], [], (g) => [call('reshape', g, shape)])
}

export function permute(x: Tensor, dims: readonly number[]): Tensor {
  const out = asViewOf(call('permute', x, dims), x)
  if (!isTracked([x])) return out
  const inverse = new Array<number>(dims.length)
  dims.forEach((dim, i) => {
    inverse[dim < 0 ? dim + dims.length : dim] = i
  })
  return record(out, 'permute', [x], [], (g) => [call('permute', g, inverse)])
}

export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  requireTensor('transpose', 'input', x)
  const order = x.shape.map((_, i) => i)
  const wrap = (dim: number) => {
    requireNumber('transpose', 'dimension', dim)
    const index = dim < 0 ? dim + order.length : dim
    if (!Number.isInteger(index) || index < 0 || index >= order.length) {
      throw new ShapeError(`transpose: dimension ${dim} is out of range for shape [${x.shape.join(', ')}]`)
    }
    return index
  }
  const [a, b] = [wrap(dim0), wrap(dim1)]
  order[a] = b
  order[b] = a
  return permute(x, order)
}

export function expand(x: Tensor, sizes: readonly number[]): Tensor {
  const out = asViewOf(call('expand', x, sizes), x)
  if (!isTracked([x])) return out
  const { shape, dtype } = x
  return record(out, 'expand', [x], [], (g) => [reduceLike(g, shape, dtype)])
}

export function squeeze(x: Tensor, dim?: number): Tensor {
  const out = asViewOf(dim === undefined ? call('squeeze_all', x) : call('squeeze', x, dim), x)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'squeeze', [x], [], (g) => [call('reshape', g, shape)])
}

export function unsqueeze(x: Tensor, dim: number): Tensor {
  const out = asViewOf(call('unsqueeze', x, dim), x)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'unsqueeze', [x], [], (g) => [call('reshape', g, shape)])
}

export function flatten(x: Tensor, startDim = 0, endDim = -1): Tensor {
  requireTensor('flatten', 'input', x)
  requireNumber('flatten', 'first dimension', startDim)
  requireNumber('flatten', 'last dimension', endDim)
  const count = x.ndim
  if (count === 0) return reshaping('reshape', x, [1])
  const start = startDim < 0 ? startDim + count : startDim
  const end = endDim < 0 ? endDim + count : endDim
  if (start < 0 || end >= count || start > end) {
    throw new ShapeError(
      `flatten: dimensions ${startDim} to ${endDim} of a tensor of shape [${x.shape.join(', ')}]`,
    )
  }
  if (start === end) return x
  const joined = x.shape.slice(start, end + 1).reduce((product, size) => product * size, 1)
  return reshaping('reshape', x, [...x.shape.slice(0, start), joined, ...x.shape.slice(end + 1)])
}

export function clone(x: Tensor): Tensor {
  return record(call('clone', x), 'clone', [x], [], (g) => [g])
}

export function contiguous(x: Tensor): Tensor {
  requireTensor('contiguous', 'input', x)
  return x.isContiguous ? x : record(call('contiguous', x), 'contiguous', [x], [], (g) => [g])
}

/** The same values with channels innermost in memory, the order in which convolutions run. */
export function channelsLast(x: Tensor): Tensor {
  return record(call('channels_last', x), 'channelsLast', [x], [], (g) => [g])
}

addMethods({
  view(...sizes) {
    const [first, ...rest] = sizes
    return reshaping('view', this, numberList(first, rest))
  },
  reshape(...sizes) {
    const [first, ...rest] = sizes
    return reshaping('reshape', this, numberList(first, rest))
  },
  permute(...dims) {
    const [first, ...rest] = dims
    return permute(this, numberList(first, rest))
  },
  transpose(dim0, dim1) {
    return transpose(this, dim0, dim1)
  },
  t() {
    if (this.ndim > 2) {
      throw new ShapeError(
        `t: expected at most two dimensions, got [${this.shape.join(', ')}]; use transpose`,
      )
    }
    return this.ndim < 2 ? this : transpose(this, 0, 1)
  },
  squeeze(dim) {
    return squeeze(this, dim)
  },
  unsqueeze(dim) {
    return unsqueeze(this, dim)
  },
  expand(...sizes) {
    const [first, ...rest] = sizes
    return expand(this, numberList(first, rest))
  },
  expandAs(other) {
    requireTensor('expandAs', 'other tensor', other)
    return expand(this, other.shape)
  },
  flatten(startDim, endDim) {
    return flatten(this, startDim, endDim)
  },
  clone() {
    return clone(this)
  },
  contiguous() {
    return contiguous(this)
  },
})
