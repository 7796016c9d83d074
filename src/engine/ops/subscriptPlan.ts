import { show } from '../check.ts'
import { DTypeError, ShapeError } from '../errors.ts'
import { asViewOf } from '../methods.ts'
import { call } from '../native.ts'
import { reads } from '../state.ts'
import { Tensor } from '../tensor.ts'
import { MAX_DIMENSIONS, type NestedArray, tensor } from './create.ts'
import { broadcastShapes } from './dims.ts'

/**
 * One item of an index: a number takes one element (and drops the dimension), `'start:stop:step'` a range (with a negative step backwards), `'...'` all
 * dimensions in between, null adds a dimension, integer lists and tensors pick elements (several of them together, after
 * broadcasting), boolean lists and tensors those where they hold.
 */
export type Index = number | string | null | readonly NestedArray[] | Tensor

/** The view operations that an index is made of, with or without a record for the backward pass. */
export interface Viewer {
  select(x: Tensor, dim: number, index: number): Tensor
  slice(x: Tensor, dim: number, start: number, stop: number, step: number): Tensor
  unsqueeze(x: Tensor, dim: number): Tensor
  permute(x: Tensor, order: readonly number[]): Tensor
  /** No view, but a copy. */
  flip(x: Tensor, dims: readonly number[]): Tensor
}

/** Views that nothing is recorded of, to write to. */
export const plainViewer: Viewer = {
  select: (x, dim, index) => call('select', x, dim, index),
  slice: (x, dim, start, stop, step) => call('slice', x, dim, start, stop, step),
  unsqueeze: (x, dim) => call('unsqueeze', x, dim),
  permute: (x, order) => call('permute', x, order),
  flip: () => {
    throw new ShapeError(
      'indexPut_: a range with a negative step cannot be written to; give it the other way around and flip() the value',
    )
  },
}

/** What an index means for a shape: first a view, then (perhaps) picking by tensors of integers. */
export interface IndexPlan {
  /** The view, of any tensor of the shape that the plan was made for. */
  view(viewer: Viewer, x: Tensor): Tensor
  /** Tensors of one shape that pick from the view's dimensions from `start` on; none when the view is the result. */
  places: Tensor[]
  start: number
}

/** From `start` to before `stop`, as `slice` takes them; the other way around where `reversed`. */
interface Range {
  start: number
  stop: number
  step: number
  reversed: boolean
}

type ViewStep = (viewer: Viewer, x: Tensor) => Tensor

function parseRange(text: string, size: number): Range {
  const parts = text.split(':')
  if (parts.length < 2 || parts.length > 3 || !parts.every((piece) => /^\s*-?\d*\s*$/.test(piece))) {
    throw new ShapeError(
      `index: expected 'start:stop', 'start:stop:step' or '...', got ${JSON.stringify(text)}`,
    )
  }
  const [start = '', stop = '', step = ''] = parts.map((piece) => piece.trim())
  if ([start, stop, step].includes('-')) {
    throw new ShapeError(`index: a minus sign without a number in ${JSON.stringify(text)}`)
  }
  const by = step === '' ? 1 : Number(step)
  if (by === 0) throw new ShapeError(`index: the step must not be 0 in ${JSON.stringify(text)}`)
  if (by > 0) {
    const [from, to] = [
      start === '' ? 0 : Number(start),
      stop === '' ? Number.MAX_SAFE_INTEGER : Number(stop),
    ]
    return { start: from, stop: to, step: by, reversed: false }
  }
  // NumPy's rules: places below 0 count from the end, what is outside is cut off, -1 stands before the first.
  const place = (piece: string, otherwise: number) => {
    if (piece === '') return otherwise
    const at = Number(piece)
    return Math.min(Math.max(at < 0 ? at + size : at, -1), size - 1)
  }
  const first = place(start, size - 1)
  const count = Math.max(0, Math.ceil((first - place(stop, -1)) / -by))
  const last = first + (count - 1) * by
  return { start: count > 0 ? last : 0, stop: count > 0 ? first + 1 : 0, step: -by, reversed: true }
}

// Lists become tensors; whatever else is none of the kinds of an index is refused.
function normalise(items: readonly Index[]): (number | string | null | Tensor)[] {
  return items.map((item) => {
    if (item === null || typeof item === 'string') return item
    if (typeof item === 'number') {
      if (!Number.isSafeInteger(item)) throw new ShapeError(`index: expected an integer, got ${item}`)
      return item
    }
    if (Array.isArray(item)) return listIndex(item as readonly NestedArray[])
    if (!(item instanceof Tensor)) {
      throw new ShapeError(
        `index: expected numbers, 'start:stop:step', '...', null, lists or tensors, got ${show(item)}`,
      )
    }
    if (item.dtype !== 'bool' && item.dtype !== 'int64' && item.dtype !== 'int32') {
      const advice = item.dtype === 'uint8' ? '; bool() makes it a mask, long() places' : ''
      throw new DTypeError(
        `index: tensors of indices must be int64, int32 or bool, got ${item.dtype}${advice}`,
      )
    }
    if (item.dtype === 'bool') {
      reads.count++ // where it holds decides a shape; a list's values never change
      return item
    }
    // As in PyTorch, a single integer in a tensor is a plain number.
    return item.ndim === 0 ? item.item() : item
  })
}

function listIndex(list: readonly NestedArray[]): Tensor {
  let first: NestedArray | undefined = list
  for (let depth = 0; Array.isArray(first); depth++) {
    // One may hold itself.
    if (depth === MAX_DIMENSIONS)
      throw new ShapeError(`index: lists are nested deeper than ${MAX_DIMENSIONS} levels`)
    first = first[0] as NestedArray | undefined
  }
  const whole = (value: NestedArray): boolean =>
    Array.isArray(value) ? value.every(whole) : typeof value === 'boolean' || Number.isInteger(Number(value))
  if (!whole(list)) throw new ShapeError(`index: expected integers, got ${show(list)}`)
  return typeof first === 'boolean' ? tensor(list) : tensor(list, { dtype: 'int64' })
}

function dimensionsTaken(item: number | string | null | Tensor): number {
  if (item === null || item === '...') return 0
  return item instanceof Tensor && item.dtype === 'bool' ? item.ndim : 1
}

// The places where a mask holds: one list of indices for each dimension that it covers. Waits for the mask.
function placesOf(mask: Tensor, covered: readonly number[], at: number, shape: readonly number[]): Tensor[] {
  if (covered.join() !== mask.shape.join()) {
    throw new ShapeError(
      `index: a mask of shape [${mask.shape.join(', ')}] does not fit dimension ${at} on of [${shape.join(', ')}]`,
    )
  }
  const found = call('nonzero', mask)
  return covered.map((_, i) => call('select', found, 1, i))
}

function requireInside(places: Tensor | readonly NestedArray[], size: number, dim: number): void {
  if (places instanceof Tensor) return
  const check = (value: NestedArray): void => {
    if (Array.isArray(value)) value.forEach(check)
    else if (typeof value !== 'boolean' && (Number(value) < -size || Number(value) >= size)) {
      throw new ShapeError(`index: ${value} is out of range for dimension ${dim} with size ${size}`)
    }
  }
  places.forEach(check)
}

/** Works out what `items` mean for a tensor of the given shape, by PyTorch's rules. */
export function planIndex(shape: readonly number[], items: readonly Index[]): IndexPlan {
  const list = normalise(items)
  const taken = list.reduce<number>((count, item) => count + dimensionsTaken(item), 0)
  if (taken > shape.length) {
    throw new ShapeError(`index: ${taken} indices for a tensor of shape [${shape.join(', ')}]`)
  }
  if (list.filter((item) => item === '...').length > 1) {
    throw new ShapeError("index: '...' can appear once only")
  }
  const steps: ViewStep[] = []
  const picks: { dim: number; places: Tensor }[] = []
  let source = 0 // dimension of the tensor that the next item is about
  let dim = 0 // the same of the view
  list.forEach((item, i) => {
    const at = dim
    const size = shape[source] as number
    if (item === null) {
      steps.push((viewer, x) => viewer.unsqueeze(x, at))
      dim++
    } else if (item === '...') {
      source += shape.length - taken
      dim += shape.length - taken
    } else if (typeof item === 'number') {
      if (item < -size || item >= size) {
        throw new ShapeError(`index: ${item} is out of range for dimension ${source} with size ${size}`)
      }
      steps.push((viewer, x) => viewer.select(x, at, item))
      source++
    } else if (typeof item === 'string') {
      const { start, stop, step, reversed } = parseRange(item, size)
      if (start !== 0 || step !== 1 || stop !== Number.MAX_SAFE_INTEGER) {
        steps.push((viewer, x) => viewer.slice(x, at, start, stop, step))
      }
      if (reversed) steps.push((viewer, x) => viewer.flip(x, [at]))
      source++
      dim++
    } else if (item.dtype === 'bool') {
      if (item.ndim === 0) {
        // Holds or does not, for all of the tensor: a dimension of size one or none.
        steps.push((viewer, x) => viewer.unsqueeze(x, at))
        picks.push({ dim: dim++, places: call('select', call('nonzero', item.reshape(1)), 1, 0) })
        return
      }
      const covered = shape.slice(source, source + item.ndim)
      for (const places of placesOf(item, covered, source, shape)) picks.push({ dim: dim++, places })
      source += item.ndim
    } else {
      const given = items[i]
      if (Array.isArray(given)) requireInside(given, size, source)
      picks.push({ dim: dim++, places: item })
      source++
    }
  })
  const rank = dim + (shape.length - source)
  return finishPlan(steps, picks, rank)
}

// Several tensors of indices are broadcast together. Side by side, their common shape takes their place; otherwise it
// comes first.
function finishPlan(steps: ViewStep[], picks: { dim: number; places: Tensor }[], rank: number): IndexPlan {
  const apply = (viewer: Viewer, x: Tensor) => steps.reduce((view, step) => step(viewer, view), x)
  if (picks.length === 0) return { view: apply, places: [], start: 0 }
  const common = broadcastShapes(
    'index',
    picks.map(({ places }) => places.shape),
  )
  const places = picks.map(({ places }) => asViewOf(call('expand', places, common), places))
  const dims = picks.map((pick) => pick.dim)
  const first = dims[0] as number
  if (dims.every((dim, i) => dim === first + i)) return { view: apply, places, start: first }
  const rest = Array.from({ length: rank }, (_, i) => i).filter((dim) => !dims.includes(dim))
  return {
    view: (viewer, x) => viewer.permute(apply(viewer, x), [...dims, ...rest]),
    places,
    start: 0,
  }
}
