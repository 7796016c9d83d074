import { lowered } from '../autocast.ts'
import { requireTensor } from '../check.ts'
import { ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { mul, reduceLike } from './binary.ts'
import { unsqueeze } from './view.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** Matrix product; leading dimensions are batches and broadcast, vectors count as rows or columns. */
    matmul(other: Tensor): Tensor
    /** Matrix product of two matrices. */
    mm(other: Tensor): Tensor
    /** Products of two stacks of matrices, [N, a, b] by [N, b, c]. */
    bmm(other: Tensor): Tensor
    /** Product of a matrix and a vector. */
    mv(other: Tensor): Tensor
    /** Inner product of two vectors of one length. */
    dot(other: Tensor): Tensor
    /** All products of the elements of two vectors, [n] and [m] to [n, m]. */
    outer(other: Tensor): Tensor
  }
}

function transposed(x: Tensor): Tensor {
  const order = x.shape.map((_, i) => i)
  order.push(...order.splice(-2).reverse())
  return call('permute', x, order)
}

export function matmul(a: Tensor, b: Tensor): Tensor {
  a = lowered(a)
  b = lowered(b)
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
  x = lowered(x)
  weight = lowered(weight)
  bias = lowered(bias)
  const out = call('linear', x, weight, bias)
  const inputs = [x, weight, bias]
  if (!isTracked(inputs)) return out
  return record(out, 'linear', inputs, [x, weight], (g, node) => {
    const wanted = [node.needs(0), node.needs(1), node.needs(2)]
    const found = callMany('linear_backward', g, node.saved(0), node.saved(1), ...wanted)
    return wanted.map((isWanted) => (isWanted ? (found.shift() ?? null) : null))
  })
}

function requireRanks(op: string, a: Tensor, b: Tensor, ranks: readonly [number, number]): void {
  requireTensor(op, 'left operand', a)
  requireTensor(op, 'right operand', b)
  if (a.ndim !== ranks[0] || b.ndim !== ranks[1]) {
    throw new ShapeError(
      `${op}: expected ${ranks[0]} and ${ranks[1]} dimensions, got shapes [${a.shape.join(', ')}] and [${b.shape.join(', ')}]`,
    )
  }
}

/** Product of two matrices, [n, k] by [k, m]. */
export function mm(a: Tensor, b: Tensor): Tensor {
  requireRanks('mm', a, b, [2, 2])
  return matmul(a, b)
}

/** Products of two stacks of matrices, [N, n, k] by [N, k, m]; nothing broadcasts. */
export function bmm(a: Tensor, b: Tensor): Tensor {
  requireRanks('bmm', a, b, [3, 3])
  if (a.shape[0] !== b.shape[0]) {
    throw new ShapeError(
      `bmm: stacks of ${a.shape[0]} and ${b.shape[0]} matrices, shapes [${a.shape.join(', ')}] and [${b.shape.join(', ')}]`,
    )
  }
  return matmul(a, b)
}

/** Product of a matrix [n, k] and a vector [k]. */
export function mv(a: Tensor, b: Tensor): Tensor {
  requireRanks('mv', a, b, [2, 1])
  return matmul(a, b)
}

/** Inner product of two vectors of one length. */
export function dot(a: Tensor, b: Tensor): Tensor {
  requireRanks('dot', a, b, [1, 1])
  return matmul(a, b)
}

/** All products of the elements of two vectors, [n] and [m] to [n, m]. */
export function outer(a: Tensor, b: Tensor): Tensor {
  requireRanks('outer', a, b, [1, 1])
  return mul(unsqueeze(a, 1), b)
}

addMethods({
  matmul(other) {
    return matmul(this, other)
  },
  mm(other) {
    return mm(this, other)
  },
  bmm(other) {
    return bmm(this, other)
  },
  mv(other) {
    return mv(this, other)
  },
  dot(other) {
    return dot(this, other)
  },
  outer(other) {
    return outer(this, other)
  },
})
