import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { part } from './indexing.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** What lies on and below a diagonal of the last two dimensions; zero elsewhere. Diagonal 1 is the one above the main one. */
    tril(diagonal?: number): Tensor
    /** What lies on and above a diagonal of the last two dimensions; zero elsewhere. */
    triu(diagonal?: number): Tensor
    /** A view of the elements whose indices along two dimensions differ by `offset`; they become the last dimension. */
    diagonal(offset?: number, dim1?: number, dim2?: number): Tensor
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
})
