import { requireNumber, requireTensor, show } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods, asViewOf } from '../methods.ts'
import { call, callInPlace, callOn, tellOfRead } from '../native.ts'
import { Tensor } from '../tensor.ts'
import { reduceLike } from './binary.ts'
import { requireInteger, wrapDim } from './dims.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** The range start … stop - 1 of one dimension; negative bounds count from the end. */
    slice(dim: number, start?: number, stop?: number, step?: number): Tensor
    /** One element of a dimension, which is dropped. */
    select(dim: number, index: number): Tensor
    /** `length` elements of a dimension from `start` on. */
    narrow(dim: number, start: number, length: number): Tensor
    /**
     * The elements at the given places of one dimension, counted from 0. A place out of range is found by the kernel: a
     * ShapeError at the next read.
     */
    indexSelect(dim: number, indices: Tensor): Tensor
    /**
     * out[i][j] = x[indices[i][j]][j] for dim 0, and alike for the others. Indices are integers from 0; one out of range
     * is found by the kernel: a ShapeError at the next read.
     */
    gather(dim: number, indices: Tensor): Tensor
    /** Pieces of `size` along a dimension (the last may be smaller), or pieces of the given sizes. */
    split(size: number | readonly number[], dim?: number): Tensor[]
    /** At most `count` pieces of equal size. */
    chunk(count: number, dim?: number): Tensor[]
    /** The values of this tensor where the condition holds, those of `other` elsewhere; all broadcast together. */
    where(condition: Tensor, other: Tensor | number): Tensor
    /** Nested arrays of numbers. Blocks until the values are there. */
    toArray(): NestedNumbers
  }
}

export type NestedNumbers = number | boolean | NestedNumbers[]

function zerosLike(g: Tensor, shape: readonly number[]): Tensor {
  return callOn(g, 'full', shape, 0, dtypeCode(g.dtype))
}

/** A view that shows a part: the gradient is zero elsewhere. */
export function part(name: string, x: Tensor, cut: (tensor: Tensor) => Tensor): Tensor {
  const out = asViewOf(cut(x), x)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, name, [x], [], (g) => {
    const whole = zerosLike(g, shape)
    callInPlace('copy_', cut(whole), g)
    return [whole]
  })
}

export function slice(x: Tensor, dim: number, start = 0, stop = Number.MAX_SAFE_INTEGER, step = 1): Tensor {
  return part('slice', x, (tensor) => call('slice', tensor, dim, start, stop, step))
}

export function select(x: Tensor, dim: number, index: number): Tensor {
  return part('select', x, (tensor) => call('select', tensor, dim, index))
}

export function indexSelect(x: Tensor, dim: number, indices: Tensor): Tensor {
  const out = call('index_select', x, dim, indices)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'indexSelect', [x], [indices], (g, node) => {
    const whole = zerosLike(g, shape)
    callInPlace('index_add_', whole, dim, node.saved(0), g)
    return [whole]
  })
}

export function gather(x: Tensor, dim: number, indices: Tensor): Tensor {
  requireTensor('gather', 'input', x)
  wrapDim('gather', dim, x.shape)
  // As in PyTorch, tensors without dimensions go with those of one.
  if (indices instanceof Tensor && indices.ndim === 0 && x.ndim === 1) {
    return gather(x, dim, indices.reshape([1])).reshape([])
  }
  const out = call('gather', x, dim, indices)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'gather', [x], [indices], (g, node) => {
    const whole = zerosLike(g, shape)
    callInPlace('scatter_add_', whole, dim, node.saved(0), g)
    return [whole]
  })
}

/** Joins tensors along an existing dimension. */
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  const out = call('cat', tensors, dim)
  if (!isTracked(tensors)) return out
  const index = dim < 0 ? dim + out.ndim : dim
  // Tensors of shape [0] go with any others, as in PyTorch.
  const skipped = tensors.map((tensor) => tensor.ndim === 1 && out.ndim !== 1)
  const sizes = tensors.map((tensor, i) => (skipped[i] ? 0 : tensor.size(index)))
  const dtypes = tensors.map((tensor) => tensor.dtype)
  return record(out, 'cat', tensors, [], (g, node) => {
    let position = 0
    return sizes.map((size, i) => {
      const start = position
      position += size
      if (!node.needs(i) || skipped[i]) return null
      const piece = call('slice', g, index, start, position, 1)
      return dtypes[i] === g.dtype ? piece : call('to_dtype', piece, dtypeCode(dtypes[i] ?? g.dtype))
    })
  })
}

/** Joins tensors of one shape along a new dimension. */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  if (!Array.isArray(tensors)) throw new ShapeError(`stack: expected a list of tensors, got ${show(tensors)}`)
  const first = tensors[0]
  if (first === undefined) throw new ShapeError('stack: expected at least one tensor')
  for (const tensor of tensors) {
    requireTensor('stack', 'item of the list', tensor)
    if (tensor.shape.join() !== first.shape.join()) {
      throw new ShapeError(
        `stack: shapes [${first.shape.join(', ')}] and [${tensor.shape.join(', ')}] differ; all must be equal`,
      )
    }
  }
  return cat(
    tensors.map((tensor) => tensor.unsqueeze(dim)),
    dim,
  )
}

export function split(x: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
  requireTensor('split', 'input', x)
  const total = x.size(dim)
  let sizes: number[]
  if (typeof size === 'number') {
    if (!Number.isInteger(size) || size < 0 || (size === 0 && total > 0))
      throw new ShapeError(`split: the size must be positive, got ${size}`)
    sizes = []
    for (let start = 0; start < total; start += size) sizes.push(Math.min(size, total - start))
    if (total === 0) sizes.push(0)
  } else {
    if (!Array.isArray(size)) {
      throw new ShapeError(`split: expected one size or a list of sizes, got ${show(size)}`)
    }
    sizes = [...size]
    for (const length of sizes) requireInteger('split', 'every size', length, 0)
    if (sizes.reduce((sum, part) => sum + part, 0) !== total) {
      throw new ShapeError(`split: sizes ${sizes.join(' + ')} do not add up to ${total}`)
    }
  }
  let start = 0
  return sizes.map((length) => {
    start += length
    return slice(x, dim, start - length, start)
  })
}

/** At most `count` pieces of equal size; the last may be smaller. */
export function chunk(x: Tensor, count: number, dim = 0): Tensor[] {
  requireTensor('chunk', 'input', x)
  requireInteger('chunk', 'the count', count, 1)
  const total = x.size(dim)
  if (total === 0 && count > 2 ** 16) {
    throw new ShapeError(`chunk: ${count} pieces of a dimension without elements`)
  }
  if (total === 0) return split(x, new Array<number>(count).fill(0), dim)
  return split(x, Math.ceil(total / count), dim)
}

/** `length` elements of a dimension from `start` on. A view. */
export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  requireTensor('narrow', 'input', x)
  const size = x.size(dim)
  for (const value of [start, length]) requireNumber('narrow', 'start and the length', value)
  const from = start < 0 ? start + size : start
  if (
    !Number.isInteger(start) ||
    !Number.isInteger(length) ||
    from < 0 ||
    length < 0 ||
    from + length > size
  ) {
    throw new ShapeError(`narrow: ${length} elements from ${start} on of a dimension of size ${size}`)
  }
  return slice(x, dim, from, from + length)
}

/** `a` where the condition holds, `b` elsewhere; all broadcast together. */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  const out = call('where', condition, a, b)
  const inputs = [a instanceof Tensor ? a : null, b instanceof Tensor ? b : null]
  if (!isTracked(inputs)) return out
  const shapes = inputs.map((input) => (input ? { shape: input.shape, dtype: input.dtype } : null))
  return record(out, 'where', inputs, [condition], (g, node) =>
    shapes.map((like, i) => {
      if (!like || !node.needs(i)) return null
      const chosen = i === 0 ? call('where', node.saved(0), g, 0) : call('where', node.saved(0), 0, g)
      return reduceLike(chosen, like.shape, like.dtype)
    }),
  )
}

/** 1 at each label's place in a new last dimension, 0 elsewhere. int64; labels must lie in 0 … classes - 1. */
export function oneHot(labels: Tensor, classes?: number): Tensor {
  requireTensor('oneHot', 'labels', labels)
  if (classes === undefined) tellOfRead('oneHot without a number of classes', labels)
  const width = classes ?? (labels.numel === 0 ? 1 : call('amax', labels, [], false).item() + 1)
  return call('one_hot', labels, width)
}

function nest(data: ArrayLike<number>, shape: readonly number[], bools: boolean): NestedNumbers {
  let position = 0
  const build = (depth: number): NestedNumbers => {
    if (depth === shape.length) {
      const value = data[position++] as number
      return bools ? value !== 0 : value
    }
    return Array.from({ length: shape[depth] as number }, () => build(depth + 1))
  }
  return build(0)
}

addMethods({
  slice(dim, start, stop, step) {
    return slice(this, dim, start, stop, step)
  },
  select(dim, position) {
    return select(this, dim, position)
  },
  narrow(dim, start, length) {
    return narrow(this, dim, start, length)
  },
  indexSelect(dim, indices) {
    return indexSelect(this, dim, indices)
  },
  gather(dim, indices) {
    return gather(this, dim, indices)
  },
  split(size, dim) {
    return split(this, size, dim)
  },
  chunk(count, dim) {
    return chunk(this, count, dim)
  },
  where(condition, other) {
    return where(condition, this, other)
  },
  toArray() {
    return nest(this.dataSync(), this.shape, this.dtype === 'bool')
  },
})
