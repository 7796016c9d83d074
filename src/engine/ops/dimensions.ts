import { requireTensor } from '../check.ts'
import { ShapeError } from '../errors.ts'
import { addMethods } from '../methods.ts'
import type { Tensor } from '../tensor.ts'
import { integerList, wrapDim, wrapDims } from './dims.ts'
import { select } from './indexing.ts'
import { permute, transpose } from './view.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** Dimensions moved to other places, the rest keeping their order. */
    movedim(source: number | readonly number[], destination: number | readonly number[]): Tensor
    /** Two dimensions exchanged; NumPy's name for `transpose`. */
    swapaxes(dim0: number, dim1: number): Tensor
    /** One dimension as several; one of the sizes may be -1. */
    unflatten(dim: number, sizes: readonly number[]): Tensor
    /** The slices along a dimension, which is dropped. */
    unbind(dim?: number): Tensor[]
  }
}

/** Dimensions `source` moved to `destination`, the rest keeping their order. A view. */
export function movedim(
  x: Tensor,
  source: number | readonly number[],
  destination: number | readonly number[],
): Tensor {
  requireTensor('movedim', 'input', x)
  const from = wrapDims('movedim', integerList('movedim', 'dimensions', source), x.shape)
  const to = wrapDims('movedim', integerList('movedim', 'places', destination), x.shape)
  if (from.length !== to.length) {
    throw new ShapeError(`movedim: ${from.length} dimensions for ${to.length} places`)
  }
  if (x.ndim === 0) return x
  const order = new Array<number>(x.ndim).fill(-1)
  to.forEach((place, i) => {
    order[place] = from[i] as number
  })
  const rest = x.shape.map((_, i) => i).filter((i) => !from.includes(i))
  return permute(
    x,
    order.map((dim) => (dim < 0 ? (rest.shift() as number) : dim)),
  )
}

/** Two dimensions exchanged; NumPy's name for `transpose`. */
export function swapaxes(x: Tensor, dim0: number, dim1: number): Tensor {
  return transpose(x, dim0, dim1)
}

export function unflatten(x: Tensor, dim: number, sizes: readonly number[]): Tensor {
  requireTensor('unflatten', 'input', x)
  const at = wrapDim('unflatten', dim, x.shape)
  const size = x.shape[at] ?? 1
  const wanted = integerList('unflatten', 'sizes', sizes)
  const known = wanted.reduce((product, each) => (each === -1 ? product : product * each), 1)
  const unknown = wanted.filter((each) => each === -1).length
  const fits = unknown === 0 ? known === size : unknown === 1 && known > 0 && size % known === 0
  if (wanted.length === 0 || !fits) {
    throw new ShapeError(`unflatten: a dimension of size ${size} cannot become [${wanted.join(', ')}]`)
  }
  const filled = wanted.map((each) => (each === -1 ? size / known : each))
  return x.reshape([...x.shape.slice(0, at), ...filled, ...x.shape.slice(at + 1)])
}

/** The slices along a dimension, which is dropped. Views. */
export function unbind(x: Tensor, dim = 0): Tensor[] {
  requireTensor('unbind', 'input', x)
  const at = wrapDim('unbind', dim, x.shape)
  return Array.from({ length: x.size(at) }, (_, i) => select(x, at, i))
}

addMethods({
  movedim(source, destination) {
    return movedim(this, source, destination)
  },
  swapaxes(dim0, dim1) {
    return swapaxes(this, dim0, dim1)
  },
  unflatten(dim, sizes) {
    return unflatten(this, dim, sizes)
  },
  unbind(dim) {
    return unbind(this, dim)
  },
})
