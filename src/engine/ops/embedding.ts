import { requireOptions, requireTensor, show } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { DTypeError, ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { call, callInPlace, callOn } from '../native.ts'
import type { Tensor } from '../tensor.ts'

export interface EmbeddingOptions {
  /** The row that gets no gradient, for positions that hold nothing; negative numbers count from the end. */
  paddingIdx?: number | null | undefined
}

/** @internal The row that a padding index names. */
export function paddingRow(paddingIdx: number | null | undefined, rows: number): number | null {
  if (paddingIdx === null || paddingIdx === undefined) return null
  if (!Number.isInteger(paddingIdx) || paddingIdx < -rows || paddingIdx >= rows) {
    throw new ShapeError(`embedding: paddingIdx ${show(paddingIdx)} is out of range for ${rows} rows`)
  }
  return paddingIdx < 0 ? paddingIdx + rows : paddingIdx
}

/**
 * The rows of `weight` [rows, features] at `indices` (integers of any shape), in a new last dimension. An index outside
 * 0 … rows - 1 is found by the kernel: a ShapeError at the next read.
 * @throws DTypeError, ShapeError.
 */
export function embedding(indices: Tensor, weight: Tensor, options: EmbeddingOptions = {}): Tensor {
  requireTensor('embedding', 'indices', indices)
  requireTensor('embedding', 'weight', weight)
  requireOptions('embedding', options, ['paddingIdx'])
  if (weight.ndim !== 2) {
    throw new ShapeError(`embedding: the weight must be [rows, features], got [${weight.shape.join(', ')}]`)
  }
  if (indices.dtype !== 'int64' && indices.dtype !== 'int32') {
    throw new DTypeError(`embedding: indices must be int64 or int32, got ${indices.dtype}`)
  }
  const { shape } = weight
  const padding = paddingRow(options.paddingIdx, shape[0] as number)
  const out = call('index_get', weight, 0, [indices], false)
  if (!isTracked([weight])) return out
  return record(out, 'embedding', [weight], [indices], (g, node) => {
    const whole = callOn(g, 'full', shape, 0, dtypeCode(g.dtype))
    callInPlace('index_put_', whole, 0, [node.saved(0)], g, true)
    if (padding !== null) callInPlace('fill_', call('select', whole, 0, padding), 0)
    return [whole]
  })
}
