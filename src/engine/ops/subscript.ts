import { requireHolds, requireOptions, requireTensor, show } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { ConfigError, DTypeError } from '../errors.ts'
import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callInPlace, callOn } from '../native.ts'
import { Tensor } from '../tensor.ts'
import { reduceLike } from './binary.ts'
import { broadcastShapes } from './dims.ts'
import { select, slice } from './indexing.ts'
import { changeRecorded } from './recorded.ts'
import { flip } from './remap.ts'
import { type Index, type IndexPlan, plainViewer, planIndex, type Viewer } from './subscriptPlan.ts'
import { clone, permute, unsqueeze } from './view.ts'

export interface IndexPutOptions {
  /** Adds instead of overwriting; places that come twice count twice. Default false. */
  accumulate?: boolean | undefined
}

declare module '../tensor.ts' {
  interface Tensor {
    /**
     * NumPy-style indexing: `x.index('1:10', ':')`, `x.index(0, null)`, `x.index(places)`, `x.index(mask)`. Numbers and
     * ranges give views; ranges with a negative step, tensors and lists of indices, and masks (which are waited for), copies.
     */
    index(...items: Index[]): Tensor
    /** Writes to what `index(...items)` reads; `value` is broadcast. In place: `x.indexPut_([0, '2:4'], 1)`. */
    indexPut_(items: readonly Index[], value: Tensor | number | boolean, options?: IndexPutOptions): this
    /** As `indexPut_`, into a copy. */
    indexPut(items: readonly Index[], value: Tensor | number | boolean, options?: IndexPutOptions): Tensor
  }
}

const recordingViewer: Viewer = { select, slice, unsqueeze, permute, flip }

/** See Tensor.index. */
export function index(x: Tensor, items: readonly Index[]): Tensor {
  const plan = planIndex(x.shape, items)
  const { view, start } = plan
  const places = besides(x, plan.places)
  const seen = view(recordingViewer, x)
  if (places.length === 0) return seen
  const out = call('index_get', seen, start, places, true)
  const { shape } = seen
  return record(out, 'index', [seen], places, (g, node) => {
    const whole = callOn(g, 'full', shape, 0, dtypeCode(g.dtype))
    const saved = places.map((_, i) => node.saved(i))
    callInPlace('index_put_', whole, start, saved, g, true)
    return [whole]
  })
}

// Indices may come from another device, as in PyTorch: they are few.
function besides(x: Tensor, places: readonly Tensor[]): Tensor[] {
  return places.map((each) =>
    each.deviceNumber === x.deviceNumber ? each : call('to_device', each, x.deviceNumber),
  )
}

// The shape of what the plan reads from a tensor.
function shapeOf({ places, start }: IndexPlan, seen: Tensor): readonly number[] {
  const first = places[0]
  if (first === undefined) return seen.shape
  return [...seen.shape.slice(0, start), ...first.shape, ...seen.shape.slice(start + places.length)]
}

// Dimensions of size one in front of a value do not count.
function fitted(value: Tensor, shape: readonly number[]): Tensor {
  let extra = value.ndim - shape.length
  for (let i = 0; i < extra; i++) if (value.shape[i] !== 1) extra = 0
  return extra > 0 ? value.reshape(value.shape.slice(extra)) : value
}

/** See Tensor.indexPut_. */
export function indexPut_(
  target: Tensor,
  items: readonly Index[],
  value: Tensor | number | boolean,
  options: IndexPutOptions = {},
): void {
  requireOptions('indexPut_', options, ['accumulate'])
  const { accumulate = false } = options
  if (!Array.isArray(items)) {
    throw new ConfigError(`indexPut_: expected a list of index items, got ${show(items)}`)
  }
  if (typeof value !== 'number' && typeof value !== 'boolean') requireTensor('indexPut_', 'value', value)
  const plan = planIndex(target.shape, items)
  const { start } = plan
  const places = besides(target, plan.places)
  if (!(value instanceof Tensor)) requireHolds('indexPut_', Number(value), target.dtype)
  const given =
    value instanceof Tensor ? value : callOn(target, 'full', [], Number(value), dtypeCode(target.dtype))
  if (places.length > 0 && given.dtype !== target.dtype) {
    throw new DTypeError(
      `indexPut_: the tensor is ${target.dtype} and the value ${given.dtype}; both must be the same`,
    )
  }
  const write = (into: Tensor, at: readonly Tensor[], from: Tensor, add: boolean) => {
    const seen = plan.view(plainViewer, into)
    if (at.length > 0) callInPlace('index_put_', seen, start, at, from, add)
    else callInPlace(add ? 'add_' : 'copy_', seen, from)
  }
  const shape = shapeOf(plan, plan.view(plainViewer, target))
  const source = fitted(given, shape)
  broadcastShapes('indexPut_', [shape, source.shape])
  const { shape: sourceShape, dtype: sourceDType } = source
  changeRecorded(
    'indexPut_',
    target,
    [source],
    places,
    () => write(target, places, source, accumulate),
    (g, node) => {
      const saved = places.map((_, i) => node.saved(i))
      let toTarget: Tensor | null = null
      if (node.needs(0)) {
        toTarget = g
        if (!accumulate) {
          toTarget = call('clone', g)
          write(toTarget, saved, callOn(g, 'full', [], 0, dtypeCode(g.dtype)), false)
        }
      }
      if (!node.needs(1)) return [toTarget, null]
      const seen = plan.view(plainViewer, g)
      const read = saved.length > 0 ? call('index_get', seen, start, saved, true) : seen
      return [toTarget, reduceLike(read, sourceShape, sourceDType)]
    },
  )
}

addMethods({
  index(...items) {
    return index(this, items)
  },
  indexPut_(items, value, options) {
    indexPut_(this, items, value, options)
    return this
  },
  indexPut(items, value, options) {
    const out = clone(this)
    indexPut_(out, items, value, options)
    return out
  },
})
