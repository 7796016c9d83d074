import { show } from '../check.ts'
import { ShapeError } from '../errors.ts'

/** A dimension counted from the front; negative ones count from the end. Throws a ShapeError out of range. */
export function wrapDim(op: string, dim: number, shape: readonly number[]): number {
  if (typeof dim !== 'number') throw new ShapeError(`${op}: a dimension is a number, got ${show(dim)}`)
  // A tensor without dimensions has, as in PyTorch, one to name.
  const count = Math.max(shape.length, 1)
  const index = dim < 0 ? dim + count : dim
  if (!Number.isInteger(dim) || index < 0 || index >= count) {
    throw new ShapeError(`${op}: dimension ${dim} is out of range for shape [${shape.join(', ')}]`)
  }
  return index
}

/** Several dimensions, counted from the front; all different. */
export function wrapDims(op: string, dims: readonly number[], shape: readonly number[]): number[] {
  const wrapped = dims.map((dim) => wrapDim(op, dim, shape))
  if (new Set(wrapped).size !== wrapped.length) {
    throw new ShapeError(`${op}: a dimension appears twice in [${dims.join(', ')}]`)
  }
  return wrapped
}

/** The shape that all given shapes broadcast to. Throws a ShapeError that names them. */
export function broadcastShapes(op: string, shapes: readonly (readonly number[])[]): number[] {
  const length = Math.max(0, ...shapes.map((shape) => shape.length))
  const result = new Array<number>(length).fill(1)
  for (const shape of shapes) {
    shape.forEach((size, i) => {
      const at = i + length - shape.length
      if (size === 1 || size === result[at]) return
      if (result[at] !== 1) {
        const list = shapes.map((each) => `[${each.join(', ')}]`).join(', ')
        throw new ShapeError(`${op}: shapes ${list} cannot be broadcast together`)
      }
      result[at] = size
    })
  }
  return result
}

/** Checks an integer of at least `minimum`. */
export function requireInteger(op: string, name: string, value: number, minimum: number): number {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new ShapeError(`${op}: ${name} must be an integer of at least ${minimum}, got ${show(value)}`)
  }
  return value
}

/** Checks a list of integers, or one: `f(1, 2)` and `f([1, 2])` alike. */
export function integerList(
  op: string,
  name: string,
  first: number | readonly number[],
  rest: readonly number[] = [],
): readonly number[] {
  const list = Array.isArray(first) ? first : [first, ...rest]
  for (const value of list) {
    if (!Number.isSafeInteger(value)) {
      throw new ShapeError(`${op}: ${name} must be integers, got ${show(value)}`)
    }
  }
  return list
}
