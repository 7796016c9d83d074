import { requireTensor, show } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { ShapeError } from '../errors.ts'
import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callInPlace, callOn } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { part } from './indexing.ts'
import { clone } from './view.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** What lies on and below a diagonal of the last two dimensions; zero elsewhere. Diagonal 1 is the one above the main one. */
    tril(diagonal?: number): Tensor
    /** What lies on and above a diagonal of the last two dimensions; zero elsewhere. */
    triu(diagonal?: number): Tensor
    /** A view of the elements whose indices along two dimensions differ by `offset`; they become the last dimension. */
    diagonal(offset?: number, dim1?: number, dim2?: number): Tensor
    /** Of a vector the matrix with it on a diagonal, of a matrix a copy of a diagonal. Diagonal 1 is the one above the main one. */
    diag(diagonal?: number): Tensor
  }
}

function triangle(name: 'tril' | 'triu', x: Tensor, diagonal: number): Tensor {
  const upper = name === 'triu'
  return record(call('triangle', x, diagonal, upper), name, [x], [], (g) => [
    call('triangle', g, diagonal, upper),
  ])
}

/** What lies on and below a diagonal of the last two dimensions; zero elsewhere. */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return triangle('tril', x, diagonal)
}

/** What lies on and above a diagonal of the last two dimensions; zero elsewhere. */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return triangle('triu', x, diagonal)
}

/** A view of the elements whose indices along `dim1` and `dim2` differ by `offset`; they become the last dimension. */
export function diagonal(x: Tensor, offset = 0, dim1 = 0, dim2 = 1): Tensor {
  return part('diagonal', x, (tensor) => call('diagonal', tensor, offset, dim1, dim2))
}

/**
 * Of a vector [N] the matrix with it on a diagonal, zero elsewhere: [N + |diagonal|, N + |diagonal|]. Of a matrix a copy of its
 * diagonal, which is empty where there is none. Diagonal 1 is the one above the main one.
 * @throws ShapeError for other numbers of dimensions
 */
export function diag(x: Tensor, offset = 0): Tensor {
  requireTensor('diag', 'input', x)
  if (x.ndim === 2) return clone(diagonal(x, offset))
  if (x.ndim !== 1) {
    throw new ShapeError(`diag: expected one dimension or two, got shape [${x.shape.join(', ')}]`)
  }
  if (!Number.isSafeInteger(offset)) {
    throw new ShapeError(`diag: the diagonal must be an integer, got ${show(offset)}`)
  }
  const size = x.numel + Math.abs(offset)
  const out = callOn(x, 'full', [size, size], 0, dtypeCode(x.dtype))
  callInPlace('copy_', call('diagonal', out, offset, 0, 1), x)
  return record(out, 'diag', [x], [], (g) => [call('diagonal', g, offset, 0, 1)])
}

addMethods({
  tril(offset) {
    return tril(this, offset)
  },
  triu(offset) {
    return triu(this, offset)
  },
  diagonal(offset, dim1, dim2) {
    return diagonal(this, offset, dim1, dim2)
  },
  diag(offset) {
    return diag(this, offset)
  },
})
