import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { reduceLike } from './binary.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** Matrix product; leading dimensions are batches and broadcast, vectors count as rows or columns. */
    matmul(other: Tensor): Tensor
    /** Matrix product of two matrices. */
    mm(other: Tensor): Tensor
    /** Products of two stacks of matrices, [N, a, b] by [N, b, c]. */
    bmm(other: Tensor): Tensor
    /** Inner product of two vectors. */
    dot(other: Tensor): Tensor
  }
}

function transposed(x: Tensor): Tensor {
  const order = x.shape.map((_, i) => i)
  order.push(...order.splice(-2).reverse())
  return call('permute', x, order)
}

export function matmul(a: Tensor, b: Tensor): Tensor {
  const out = call('matmul', a, b)
  if (!isTracked([a, b])) return out
  const shapeA = a.shape
  const shapeB = b.shape
  const { dtype } = a
  return record(out, 'matmul', [a, b], [a, b], (g, node) => {
    // Vectors take part as matrices of one row (left) or one column (right).
    const left = shapeA.length === 1 ? call('unsqueeze', node.saved(0), 0) : node.saved(0)
    const right = shapeB.length === 1 ? call('unsqueeze', node.saved(1), 1) : node.saved(1)
    let gradient = g
    if (shapeB.length === 1) gradient = call('unsqueeze', gradient, gradient.ndim)
    if (shapeA.length === 1) gradient = call('unsqueeze', gradient, gradient.ndim - 1)
    const toLeft = node.needs(0) ? call('matmul', gradient, transposed(right)) : null
    const toRight = node.needs(1) ? call('matmul', transposed(left), gradient) : null
    return [
      toLeft && call('reshape', reduceLike(toLeft, left.shape, dtype), shapeA),
      toRight && call('reshape', reduceLike(toRight, right.shape, dtype), shapeB),
    ]
  })
}

/** x Wᵀ + b for x [..., in], weight [out, in], bias [out]. */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  const out = call('linear', x, weight, bias)
  const inputs = [x, weight, bias]
  if (!isTracked(inputs)) return out
  return record(out, 'linear', inputs, [x, weight], (g, node) => {
    const [input, matrix] = [node.saved(0), node.saved(1)]
    const [outputs, features] = matrix.shape as [number, number]
    const rows = call('reshape', g, [-1, outputs])
    return [
      node.needs(0) ? call('matmul', g, matrix) : null,
      node.needs(1) ? call('matmul', transposed(rows), call('reshape', input, [-1, features])) : null,
      node.needs(2) ? call('sum', rows, [0], false) : null,
    ]
  })
}

addMethods({
  matmul(other) {
    return matmul(this, other)
  },
  mm(other) {
    return matmul(this, other)
  },
  bmm(other) {
    return matmul(this, other)
  },
  dot(other) {
    return matmul(this, other)
  },
})
