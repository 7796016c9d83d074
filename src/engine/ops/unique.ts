import { requireOptions, requireTensor } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { AutogradError, ShapeError } from '../errors.ts'
import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callInPlace, callMany, callOn } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { wrapDim } from './dims.ts'

export interface UniqueOptions {
  /** Compares the slices along this dimension, as a whole. Default: single elements. */
  dim?: number | null | undefined
  /** Also gives the place of each element (or slice) among the values. Default false. */
  returnInverse?: boolean | undefined
  /** Also gives how often each value is there. Default false. */
  returnCounts?: boolean | undefined
}

/** The different values and, where asked for, the place of each element among them and how often each is there (int64). */
export interface UniqueValues {
  values: Tensor
  inverseIndices?: Tensor
  counts?: Tensor
}

type Plain = UniqueOptions & { returnInverse?: false | undefined; returnCounts?: false | undefined }
type WithInverse = UniqueOptions & { returnInverse: true }
type WithCounts = UniqueOptions & { returnCounts: true }
type Inverse = UniqueValues & { inverseIndices: Tensor }
type Counts = UniqueValues & { counts: Tensor }

declare module '../tensor.ts' {
  interface Tensor {
    /**
     * The different elements in ascending order, in one dimension; with `dim` the different slices along it, in the order of
     * their first elements, then of their second … NaN come last, and each is different. Waits for the values.
     */
    unique(options?: Plain): Tensor
    unique(options: WithInverse & WithCounts): Inverse & Counts
    unique(options: WithInverse): Inverse
    unique(options: WithCounts): Counts
    unique(options: UniqueOptions): Tensor | UniqueValues
  }
}

// Of columns in ascending order, where another value begins; not at the first.
function changesIn(sorted: Tensor): Tensor {
  const count = sorted.size(0)
  const changes = call('ne', call('slice', sorted, 0, 1, count, 1), call('slice', sorted, 0, 0, count - 1, 1))
  const first = callOn(sorted, 'full', [1, ...sorted.shape.slice(1)], 0, dtypeCode('bool'))
  return call('cat', [first, changes], 0)
}

/** Of columns, in which order their elements come, where another value begins, and the place of each among the values. */
function ranked(columns: Tensor): { order: Tensor; changes: Tensor; ranks: Tensor } {
  const [sorted, order] = callMany('sort', columns, 0, false) as [Tensor, Tensor]
  const changes = changesIn(sorted)
  const ranks = callOn(columns, 'full', columns.shape, 0, dtypeCode('int64'))
  callInPlace('scatter_', ranks, 0, order, call('cumsum', changes, 0, false))
  return { order, changes, ranks }
}

// One number for each row [rows, columns], in the order of the rows: pairs of columns become one, until one is left.
function keysOf(rows: Tensor): Tensor {
  const count = rows.size(0)
  let { ranks } = ranked(rows)
  while (ranks.size(1) > 1) {
    const width = ranks.size(1)
    const even = width - (width % 2)
    const left = call('slice', ranks, 1, 0, even, 2)
    const right = call('slice', ranks, 1, 1, even, 2)
    const pairs = ranked(call('add', call('mul', left, count), right)).ranks
    ranks = even === width ? pairs : call('cat', [pairs, call('slice', ranks, 1, even, width, 1)], 1)
  }
  return call('reshape', ranks, [count])
}

// What is to be told apart, in one dimension, and the dimension of `x` that it stands for.
function keysAlong(x: Tensor, dim: number): Tensor {
  const others = x.shape.filter((_, i) => i !== dim)
  if (others.includes(0)) {
    throw new ShapeError(
      `unique: slices along dimension ${dim} of shape [${x.shape.join(', ')}] have no elements`,
    )
  }
  const count = x.size(dim)
  // Exchanged with the first, as in PyTorch: this decides the order in which elements are compared.
  const order = x.shape.map((_, i) => (i === 0 ? dim : i === dim ? 0 : i))
  const rows = call('reshape', call('permute', x, order), [count, others.reduce((a, b) => a * b, 1)])
  return count === 0 ? call('reshape', call('slice', rows, 1, 0, 1, 1), [0]) : keysOf(rows)
}

/**
 * The different elements in ascending order; with `dim` the different slices. Shape: [count], or that of `x` with the count of
 * different slices at `dim`. With `returnInverse` or `returnCounts` an object: `inverseIndices` has the shape of `x`, or
 * [size of dim], and `values` at these places is `x`; `counts` is [count].
 * @throws ShapeError for slices without elements; AutogradError when a gradient is to flow through
 */
export function unique(x: Tensor, options?: Plain): Tensor
export function unique(x: Tensor, options: WithInverse & WithCounts): Inverse & Counts
export function unique(x: Tensor, options: WithInverse): Inverse
export function unique(x: Tensor, options: WithCounts): Counts
export function unique(x: Tensor, options: UniqueOptions): Tensor | UniqueValues
export function unique(x: Tensor, options: UniqueOptions = {}): Tensor | UniqueValues {
  requireTensor('unique', 'input', x)
  requireOptions('unique', options, ['dim', 'returnInverse', 'returnCounts'])
  const { dim = null, returnInverse = false, returnCounts = false } = options
  if (dim !== null && x.ndim === 0)
    throw new ShapeError('unique: a tensor without dimensions has none to name')
  const at = dim === null ? 0 : wrapDim('unique', dim, x.shape)
  const source = dim === null ? call('reshape', x, [-1]) : x
  const keys = dim === null ? source : keysAlong(x, at)
  const count = keys.size(0)
  const { order, changes, ranks } = ranked(keys)
  const later = changes.nonzero()
  const starts = call(
    'cat',
    [callOn(x, 'full', [Math.min(count, 1)], 0, dtypeCode('int64')), call('reshape', later, [-1])],
    0,
  )
  const values = call('index_select', source, at, call('index_select', order, 0, starts))
  record(values, 'unique', [x], [], () => {
    throw new AutogradError('unique: it has no gradient; take it of x.detach()')
  })
  if (!returnInverse && !returnCounts) return values
  const result: UniqueValues = { values }
  if (returnInverse) result.inverseIndices = dim === null ? call('reshape', ranks, x.shape) : ranks
  if (returnCounts) {
    const ends = call(
      'cat',
      [
        call('slice', starts, 0, 1, count, 1),
        callOn(x, 'full', [Math.min(count, 1)], count, dtypeCode('int64')),
      ],
      0,
    )
    result.counts = call('sub', ends, starts)
  }
  return result
}

addMethods({
  unique: function (this: Tensor, options?: UniqueOptions) {
    return unique(this, options as UniqueOptions)
  } as Tensor['unique'],
})
