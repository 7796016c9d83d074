import { requireHolds, requireOptions, requireTensor } from '../check.ts'
import { dtypeCode, isFloatingPoint } from '../dtype.ts'
import { DTypeError } from '../errors.ts'
import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callInPlace, callOn } from '../native.ts'
import { reads } from '../state.ts'
import { Tensor } from '../tensor.ts'
import { broadcastShapes } from './dims.ts'
import { where } from './indexing.ts'
import { changeRecorded } from './recorded.ts'
import { index } from './subscript.ts'
import { expand } from './view.ts'

export interface IndexAddOptions {
  /** Factor on the source. Default 1. */
  alpha?: number | undefined
}

declare module '../tensor.ts' {
  interface Tensor {
    /**
     * A copy with out[indices[i][j]][j] = source[i][j] for dim 0, and alike for the others. Of several values for one
     * place the last counts. Indices are integers from 0; one out of range is a ShapeError at the next read.
     */
    scatter(dim: number, indices: Tensor, source: Tensor | number): Tensor
    scatter_(dim: number, indices: Tensor, source: Tensor | number): this
    /** As `scatter`, adding; places that come twice count twice. */
    scatterAdd(dim: number, indices: Tensor, source: Tensor): Tensor
    scatterAdd_(dim: number, indices: Tensor, source: Tensor): this
    /** A copy with `source` added at the given places of one dimension, counted from 0. */
    indexAdd(dim: number, indices: Tensor, source: Tensor, options?: IndexAddOptions): Tensor
    indexAdd_(dim: number, indices: Tensor, source: Tensor, options?: IndexAddOptions): this
    /** `value` where the mask (bool, broadcast) holds. The dtype stays. */
    maskedFill(mask: Tensor, value: Tensor | number): Tensor
    maskedFill_(mask: Tensor, value: Tensor | number): this
    /** The elements where the mask (bool, broadcast) holds, in one dimension. Waits for the mask. */
    maskedSelect(mask: Tensor): Tensor
    /** Where elements are not zero, `[count, dimensions]`, int64. Waits for the values. */
    nonzero(): Tensor
  }
}

function requireSameDType(op: string, x: Tensor, source: Tensor): void {
  requireTensor(op, 'input', x)
  requireTensor(op, 'source', source)
  if (x.dtype !== source.dtype) {
    throw new DTypeError(
      `${op}: the tensor is ${x.dtype} and the source ${source.dtype}; both must be the same`,
    )
  }
}

function requireMask(op: string, mask: Tensor): void {
  requireTensor(op, 'mask', mask)
  if (mask.dtype !== 'bool') throw new DTypeError(`${op}: the mask must be bool, got ${mask.dtype}`)
}

// A number as a tensor of no dimensions that leaves the dtype alone.
function scalarLike(op: string, x: Tensor, value: number): Tensor {
  if (!isFloatingPoint(x.dtype) && !Number.isInteger(value)) {
    throw new DTypeError(`${op}: ${value} cannot be stored in a tensor of ${x.dtype}`)
  }
  requireHolds(op, value, x.dtype)
  return callOn(x, 'full', [], value, dtypeCode(x.dtype))
}

// The gradient of a source of which the indices name only the first places of each dimension.
function gatherInto(g: Tensor, dim: number, indices: Tensor, shape: readonly number[]): Tensor {
  const read = call('gather', g, dim, indices)
  if (indices.shape.join() === shape.join()) return read
  const whole = callOn(g, 'full', shape, 0, dtypeCode(g.dtype))
  let corner = whole
  indices.shape.forEach((size, i) => {
    corner = call('slice', corner, i, 0, size, 1)
  })
  callInPlace('copy_', corner, read)
  return whole
}

function scatterSource(x: Tensor, indices: Tensor, source: Tensor | number): Tensor {
  requireTensor('scatter', 'input', x)
  requireTensor('scatter', 'indices', indices)
  if (typeof source !== 'number') requireTensor('scatter', 'source', source)
  if (source instanceof Tensor) {
    requireSameDType('scatter', x, source)
    return source
  }
  return call('expand', scalarLike('scatter', x, source), indices.shape)
}

// The gradients of both operands of a scatter. What is overwritten has none; what is added to keeps it.
function scatterGradients(dim: number, sourceShape: readonly number[], adds: boolean) {
  return (g: Tensor, node: { needs(i: number): boolean; saved(i: number): Tensor }): (Tensor | null)[] => {
    let toTarget: Tensor | null = null
    if (node.needs(0)) {
      toTarget = g
      if (!adds) {
        toTarget = call('clone', g)
        const zero = callOn(g, 'full', [], 0, dtypeCode(g.dtype))
        callInPlace('scatter_', toTarget, dim, node.saved(0), call('expand', zero, node.saved(0).shape))
      }
    }
    return [toTarget, node.needs(1) ? gatherInto(g, dim, node.saved(0), sourceShape) : null]
  }
}

/** See Tensor.scatter. */
export function scatter(x: Tensor, dim: number, indices: Tensor, source: Tensor | number): Tensor {
  const values = scatterSource(x, indices, source)
  const out = call('clone', x)
  callInPlace('scatter_', out, dim, indices, values)
  return record(out, 'scatter', [x, values], [indices], scatterGradients(dim, values.shape, false))
}

/** See Tensor.scatterAdd. */
export function scatterAdd(x: Tensor, dim: number, indices: Tensor, source: Tensor): Tensor {
  requireSameDType('scatterAdd', x, source)
  const out = call('clone', x)
  callInPlace('scatter_add_', out, dim, indices, source)
  return record(out, 'scatterAdd', [x, source], [indices], scatterGradients(dim, source.shape, true))
}

/** See Tensor.indexAdd. */
export function indexAdd(
  x: Tensor,
  dim: number,
  indices: Tensor,
  source: Tensor,
  options: IndexAddOptions = {},
): Tensor {
  requireSameDType('indexAdd', x, source)
  const values = scaled(source, options)
  const out = call('clone', x)
  callInPlace('index_add_', out, dim, indices, values)
  return record(out, 'indexAdd', [x, values], [indices], (g, node) => [
    g,
    node.needs(1) ? call('index_select', g, dim, node.saved(0)) : null,
  ])
}

function scaled(source: Tensor, options: IndexAddOptions): Tensor {
  requireOptions('indexAdd', options, ['alpha'])
  const { alpha = 1 } = options
  return alpha === 1 ? source : source.mul(alpha)
}

// The value for a masked fill: a tensor of no dimensions, in the dtype of what is filled.
function fillValue(op: string, x: Tensor, value: Tensor | number): Tensor {
  if (typeof value === 'number') return scalarLike(op, x, value)
  requireTensor(op, 'value', value)
  if (value.ndim > 0) {
    throw new DTypeError(
      `${op}: the value must be a number or a tensor of no dimensions, got shape [${value.shape.join(', ')}]; use where`,
    )
  }
  return value.to(x.dtype)
}

/** See Tensor.maskedFill. */
export function maskedFill(x: Tensor, mask: Tensor, value: Tensor | number): Tensor {
  requireTensor('maskedFill', 'input', x)
  requireMask('maskedFill', mask)
  return where(mask, fillValue('maskedFill', x, value), x)
}

/** See Tensor.maskedSelect. */
export function maskedSelect(x: Tensor, mask: Tensor): Tensor {
  requireTensor('maskedSelect', 'input', x)
  requireMask('maskedSelect', mask)
  const shape = broadcastShapes('maskedSelect', [x.shape, mask.shape])
  return index(expand(x, shape), [expand(mask, shape)])
}

addMethods({
  scatter(dim, indices, source) {
    return scatter(this, dim, indices, source)
  },
  scatter_(dim, indices, source) {
    const values = scatterSource(this, indices, source)
    const change = () => callInPlace('scatter_', this, dim, indices, values)
    changeRecorded('scatter_', this, [values], [indices], change, scatterGradients(dim, values.shape, false))
    return this
  },
  scatterAdd(dim, indices, source) {
    return scatterAdd(this, dim, indices, source)
  },
  scatterAdd_(dim, indices, source) {
    requireSameDType('scatterAdd_', this, source)
    const change = () => callInPlace('scatter_add_', this, dim, indices, source)
    changeRecorded(
      'scatterAdd_',
      this,
      [source],
      [indices],
      change,
      scatterGradients(dim, source.shape, true),
    )
    return this
  },
  indexAdd(dim, indices, source, options) {
    return indexAdd(this, dim, indices, source, options)
  },
  indexAdd_(dim, indices, source, options = {}) {
    requireSameDType('indexAdd_', this, source)
    const values = scaled(source, options)
    const change = () => callInPlace('index_add_', this, dim, indices, values)
    changeRecorded('indexAdd_', this, [values], [indices], change, (g, node) => [
      g,
      node.needs(1) ? call('index_select', g, dim, node.saved(0)) : null,
    ])
    return this
  },
  maskedFill(mask, value) {
    return maskedFill(this, mask, value)
  },
  maskedFill_(mask, value) {
    requireMask('maskedFill_', mask)
    const filling = fillValue('maskedFill_', this, value)
    const change = () => callInPlace('copy_', this, call('where', mask, filling, this))
    changeRecorded('maskedFill_', this, [filling], [mask], change, (g, node) => [
      node.needs(0) ? call('where', node.saved(0), 0, g) : null,
      node.needs(1) ? call('sum', call('where', node.saved(0), g, 0), [], false) : null,
    ])
    return this
  },
  maskedSelect(mask) {
    return maskedSelect(this, mask)
  },
  nonzero() {
    reads.count++ // the result's shape follows from the values
    return call('nonzero', this)
  },
})
