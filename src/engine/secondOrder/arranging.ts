import { record } from '../graph.ts'
import { call } from '../native.ts'
import { amax, amin } from '../ops/extreme.ts'
import { cat, gather, indexSelect, select, slice } from '../ops/indexing.ts'
import { matmul } from '../ops/matmul.ts'
import { mean, prod, sum, variance } from '../ops/reduce.ts'
import { diagonal } from '../ops/triangle.ts'
import { channelsLast, clone, contiguous, expand, permute, unsqueeze } from '../ops/view.ts'
import type { RecordedOp } from '../recordedWalk.ts'
import type { Tensor } from '../tensor.ts'
import { constant } from './elementwise.ts'

type Dims = readonly number[]

const reduced = (op: typeof sum) => (x: Tensor, dims: Dims, keepdim: boolean) => op(x, dims, { keepdim })

function cumulated(x: Tensor, dim: number, reverse: boolean): Tensor {
  const out = call('cumsum', x, dim, reverse)
  return record(out, 'cumsum', [x], [], (v) => [call('cumsum', v, dim, !reverse)])
}

// The gradient of a map of places is that map turned round: each is the other's gradient.
function mapped(x: Tensor, kinds: Dims, sizes: Dims, parameters: Dims, fill: number): Tensor {
  const { shape } = x
  const out = call('remap', x, kinds, sizes, parameters, fill)
  return record(out, 'remap', [x], [], (v) => [call('remap_backward', v, shape, kinds, parameters)])
}

function mappedBack(g: Tensor, shape: Dims, kinds: Dims, parameters: Dims): Tensor {
  const sizes = g.shape
  const out = call('remap_backward', g, shape, kinds, parameters)
  return record(out, 'remap_backward', [g], [], (v) => [call('remap', v, kinds, sizes, parameters, 0)])
}

/** An op that only moves elements, undone by its `inverse`. */
const moved = (op: string, inverse: string) => (x: Tensor, factor: number) =>
  record(call(op, x, factor), op, [x], [], (v) => [call(inverse, v, factor)])

// Index items that take whole dimensions before the places.
function leading(start: number, places: readonly Tensor[]): (string | Tensor)[] {
  return [...new Array<string>(start).fill(':'), ...places]
}

export const arrangingOps: Record<string, RecordedOp> = {
  sum: reduced(sum),
  mean: reduced(mean),
  prod: reduced(prod),
  amax: reduced(amax),
  amin: reduced(amin),
  variance: (x: Tensor, dims: Dims, correction: number, keepdim: boolean) =>
    variance(x, dims, { correction, keepdim }),
  matmul,
  reshape: (x: Tensor, shape: Dims) => x.reshape(shape),
  view: (x: Tensor, shape: Dims) => x.view(shape),
  expand,
  permute,
  unsqueeze,
  clone,
  contiguous,
  channels_last: channelsLast,
  slice,
  select,
  diagonal,
  cat,
  gather,
  index_select: indexSelect,
  cumsum: cumulated,
  triangle: (x: Tensor, offset: number, upper: boolean) => (upper ? x.triu(offset) : x.tril(offset)),
  remap: mapped,
  remap_backward: mappedBack,
  pixel_shuffle: moved('pixel_shuffle', 'pixel_unshuffle'),
  pixel_unshuffle: moved('pixel_unshuffle', 'pixel_shuffle'),
  copy_: (target: Tensor, source: Tensor) => void target.copy_(source),
  add_: (target: Tensor, source: Tensor) => void target.add_(source),
  fill_: (target: Tensor, value: number) => void target.fill_(value),
  scatter_: (target: Tensor, dim: number, places: Tensor, source: Tensor) =>
    void target.scatter_(dim, places, source),
  scatter_add_: (target: Tensor, dim: number, places: Tensor, source: Tensor) =>
    void target.scatterAdd_(dim, places, source),
  index_add_: (target: Tensor, dim: number, places: Tensor, source: Tensor) =>
    void target.indexAdd_(dim, places, source),
  index_put_: (target: Tensor, start: number, places: readonly Tensor[], source: Tensor, adds: boolean) =>
    void target.indexPut_(leading(start, places), source, { accumulate: adds }),
  one_hot: constant('one_hot'),
}

export const arrangingNames = [
  ...['sum', 'mean', 'var', 'std', 'norm', 'amax', 'amin', 'max_dim', 'min_dim', 'sort', 'topk'],
  ...['median', 'nanmedian'],
  ...['matmul', 'linear', 'view', 'reshape', 'permute', 'expand', 'squeeze', 'unsqueeze', 'clone'],
  ...['contiguous', 'channelsLast', 'slice', 'select', 'diagonal', 'cat', 'gather', 'indexSelect', 'index'],
  ...['embedding', 'cumsum', 'tril', 'triu', 'diag', 'flip', 'roll', 'pad', 'repeat', 'repeatInterleave'],
  ...['remap', 'remap_backward', 'pixelShuffle', 'pixelUnshuffle', 'pixel_shuffle', 'pixel_unshuffle'],
  ...['scatter', 'scatterAdd', 'scatterAdd_', 'indexAdd', 'indexAdd_'],
]
