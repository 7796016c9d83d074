import { ConfigError } from '../../engine/errors.ts'
import type { Arguments, Exporter, Exporters } from '../Arguments.ts'
import type { GraphBuilder } from '../GraphBuilder.ts'
import { BatchDim, type Dim } from '../trace.ts'
import { operand } from './elementwise.ts'

const same: Exporter = (_, args) => args.tensor(0)

const reshaped: Exporter = (builder, args) => {
  const { shape } = args.output
  const growing = shape.filter((dim) => dim instanceof BatchDim)
  // One size may be left to be worked out, which spares a node for the usual case.
  const sizes = growing.length === 1 ? shape.map((dim) => (dim instanceof BatchDim ? -1 : dim)) : shape
  return builder.add('Reshape', [args.tensor(0), builder.sizes(sizes)])
}

const slice: Exporter = (builder, args) => {
  const [x, axis, size] = [args.tensor(0), args.axis(1), args.shape(0)[args.axis(1)]!]
  // What lies beyond the end stands for the end.
  const bound = (index: number) => {
    const dim = args.dim(index)
    return builder.sizes([typeof dim === 'number' && typeof size === 'number' ? Math.min(dim, size) : dim])
  }
  return builder.add('Slice', [
    x,
    bound(2),
    bound(3),
    builder.constant([axis]),
    builder.constant([args.number(4)]),
  ])
}

const select: Exporter = (builder, args) => {
  const index = args.dim(2)
  if (index instanceof BatchDim) throw builder.dependsOnBatch('the index')
  return builder.add('Gather', [args.tensor(0), builder.constant(index)], { axis: { int: args.axis(1) } })
}

const filled: Exporter = (builder, args) => {
  const { dtype, shape } = args.output
  const value = args.step.op === 'full' ? args.number(1) : 0
  return builder.add('Expand', [builder.constant(value, dtype), builder.sizes(shape)])
}

const indexGet: Exporter = (builder, args) => {
  const start = args.number(1)
  const indices = args.values(2).map((value) => builder.cast(builder.name(value), 'int64'))
  if (indices.length === 1)
    return builder.add('Gather', [args.tensor(0), indices[0]!], {
      axis: { int: start },
      dtype: args.output.dtype,
    })
  if (start !== 0) throw noForm('indexing with several tensors after the first dimension')
  const last = args.values(2)[0]!.shape.length
  const columns = indices.map((index) => builder.add('Unsqueeze', [index, builder.constant([last])]))
  return builder.add('GatherND', [args.tensor(0), builder.add('Concat', columns, { axis: { int: last } })], {
    dtype: args.output.dtype,
  })
}

function noForm(what: string): ConfigError {
  return new ConfigError(`${what} cannot be exported to ONNX`)
}

// In the order of the engine's maps (native/core/ops/remap.cpp).
const kinds = ['keep', 'flip', 'roll', 'constant', 'reflect', 'replicate', 'circular', 'repeat', 'interleave']
const PAD_MODES: Readonly<Record<string, string>> = {
  constant: 'constant',
  reflect: 'reflect',
  replicate: 'edge',
}

/** Each dimension by itself: padded, or picked from by places that are known now. */
const remap: Exporter = (builder, args) => {
  const rank = args.shape(0).length
  const maps = args.dims(1).map((kind, axis) => ({
    kind: kinds[kind as number]!,
    size: args.dims(2)[axis]!,
    parameter: args.dims(3)[axis]!,
    axis,
  }))
  let x = args.tensor(0)
  for (const [kind, mode] of Object.entries(PAD_MODES)) {
    const padded = maps.filter((map) => map.kind === kind)
    if (padded.length === 0) continue
    const pads = new Array<number>(2 * rank).fill(0)
    for (const { axis, size, parameter } of padded) {
      const added = whole(builder, size) - args.size(0, axis)
      pads[axis] = whole(builder, parameter)
      pads[rank + axis] = added - whole(builder, parameter)
    }
    const value = kind === 'constant' ? [operand(builder, args, 4, args.output.dtype)] : []
    x = builder.add('Pad', [x, builder.constant(pads), ...value], { mode: { text: mode } })
  }
  for (const map of maps) {
    if (map.kind === 'keep' || map.kind in PAD_MODES || (map.kind === 'roll' && map.parameter === 0)) continue
    if (map.kind === 'repeat') {
      const [from, to] = [args.shape(0)[map.axis]!, map.size]
      if (BatchDim.same(from, to)) continue
      const times = timesAs(from, to)
      if (times === undefined) throw builder.dependsOnBatch('how often a dimension is repeated')
      x = builder.add('Tile', [x, builder.constant(maps.map(({ axis }) => (axis === map.axis ? times : 1)))])
      continue
    }
    const places = sources(
      map.kind,
      args.size(0, map.axis),
      whole(builder, map.size),
      whole(builder, map.parameter),
    )
    x = builder.add('Gather', [x, builder.constant(places)], { axis: { int: map.axis } })
  }
  return x
}

/** How many times as large `to` is, if that does not depend on the batch. */
function timesAs(from: Dim, to: Dim): number | undefined {
  const [a, b] = [from, to].map((dim) => (dim instanceof BatchDim ? dim : new BatchDim(0, dim))) as [
    BatchDim,
    BatchDim,
  ]
  const times = a.perItem === 0 ? b.constant / a.constant : b.perItem / a.perItem
  const holds = b.perItem === times * a.perItem && b.constant === times * a.constant
  return a.known && b.known && holds ? times : undefined
}

function whole(builder: GraphBuilder, dim: number | BatchDim): number {
  if (dim instanceof BatchDim) throw builder.dependsOnBatch('a size')
  return dim
}

/** Where each place of the result comes from. */
function sources(kind: string, from: number, to: number, parameter: number): number[] {
  const source: Record<string, (place: number) => number> = {
    flip: (place) => from - 1 - place,
    roll: (place) => (place - parameter + from) % from,
    circular: (place) => (((place - parameter) % from) + from) % from,
    interleave: (place) => Math.floor(place / (to / from)),
  }
  return Array.from({ length: to }, (_, place) => source[kind]!(place))
}

const scattered =
  (reduction: 'none' | 'add'): Exporter =>
  (builder, args) => {
    const [x, axis] = [args.tensor(0), args.axis(1)]
    const [wanted, given] = [args.shape(2), args.shape(3)]
    let source = builder.cast(args.tensor(3), args.output.dtype)
    // Of a larger source, what lies at the places of the indices counts.
    const longer = wanted.flatMap((dim, i) => (BatchDim.same(dim, given[i]!) ? [] : [i]))
    if (longer.length > 0) {
      const ends = builder.sizes(longer.map((i) => wanted[i]!))
      const starts = builder.constant(longer.map(() => 0))
      source = builder.add('Slice', [source, starts, ends, builder.constant(longer)])
    }
    return builder.add('ScatterElements', [x, builder.cast(args.tensor(2), 'int64'), source], {
      axis: { int: axis },
      ...(reduction === 'add' && { reduction: { text: 'add' } }),
    })
  }

const oneHot: Exporter = (builder, args) => {
  const classes = whole(builder, args.output.shape.at(-1)!)
  return builder.add(
    'OneHot',
    [builder.cast(args.tensor(0), 'int64'), builder.constant([classes]), builder.constant([0, 1])],
    {
      dtype: 'int64',
      axis: { int: -1 },
    },
  )
}

const pixelUnshuffle: Exporter = (builder, args) => {
  const [channels, height, width] = [args.size(0, 1), args.size(0, 2), args.size(0, 3)]
  const [batch, factor] = [args.shape(0)[0]!, args.number(1)]
  const split = [batch, channels, height / factor, factor, width / factor, factor]
  const taken = builder.add('Reshape', [args.tensor(0), builder.sizes(split)])
  const turned = builder.add('Transpose', [taken], { perm: { ints: [0, 1, 3, 5, 2, 4] } })
  return builder.add('Reshape', [turned, builder.sizes(args.output.shape)])
}

const diagonal: Exporter = (builder, args) => {
  const [offset, first, second] = [args.number(1), args.axis(2), args.axis(3)]
  const [rows, columns] = [args.size(0, first), args.size(0, second)]
  const others = axesOf(args, (axis) => axis !== first && axis !== second)
  const turned = builder.add('Transpose', [args.tensor(0)], { perm: { ints: [...others, first, second] } })
  // 0 stands for what the input has.
  const flat = builder.add('Reshape', [turned, builder.constant([...others.map(() => 0), -1])])
  const places = Array.from({ length: rows }, (_, row) => row)
    .filter((row) => row + offset >= 0 && row + offset < columns)
    .map((row) => row * columns + row + offset)
  return builder.add('Gather', [flat, builder.constant(places)], { axis: { int: others.length } })
}

const axesOf = (args: Arguments, kept: (axis: number) => boolean) =>
  args.shape(0).flatMap((_, axis) => (kept(axis) ? [axis] : []))

export const arrange: Exporters = {
  alias: same,
  clone: same,
  contiguous: same,
  channels_last: same,
  to_device: same,
  view: reshaped,
  reshape: reshaped,
  permute: (builder, args) => {
    const rank = args.shape(0).length
    const perm = args.numbers(1).map((dim) => (dim < 0 ? dim + rank : dim))
    return builder.add('Transpose', [args.tensor(0)], { perm: { ints: perm } })
  },
  expand: (builder, args) => {
    const { shape } = args.output
    const from = args.shape(0)
    // One stands for what the input has.
    const sizes = shape.map((dim, i) => {
      const own = from[i - (shape.length - from.length)]
      return own !== undefined && own !== 1 ? 1 : dim
    })
    return builder.add('Expand', [args.tensor(0), builder.sizes(sizes)])
  },
  squeeze: (builder, args) => {
    const axis = args.axis(1)
    if (args.shape(0)[axis] !== 1) return args.tensor(0)
    return builder.add('Squeeze', [args.tensor(0), builder.constant([axis])])
  },
  squeeze_all: (builder, args) => {
    const axes = axesOf(args, (axis) => args.shape(0)[axis] === 1)
    return axes.length === 0
      ? args.tensor(0)
      : builder.add('Squeeze', [args.tensor(0), builder.constant(axes)])
  },
  diagonal,
  unsqueeze: (builder, args) =>
    builder.add('Unsqueeze', [args.tensor(0), builder.constant([args.axis(1, args.shape(0).length + 1)])]),
  slice,
  select,
  cat: (builder, args) => {
    const values = args.values(0)
    const { dtype, shape } = args.output
    const dim = args.number(1)
    const axis = dim < 0 ? dim + shape.length : dim
    // As in PyTorch, empty vectors may stand between tensors of any shape.
    const inputs = values.filter((value) => value.shape.length === shape.length || value.shape[0] !== 0)
    const names = inputs.map((value) => builder.cast(builder.name(value), dtype))
    return builder.add('Concat', names, { axis: { int: axis } })
  },
  index_select: (builder, args) =>
    builder.add('Gather', [args.tensor(0), builder.cast(args.tensor(2), 'int64')], {
      axis: { int: args.axis(1) },
    }),
  gather: (builder, args) =>
    builder.add('GatherElements', [args.tensor(0), builder.cast(args.tensor(2), 'int64')], {
      axis: { int: args.axis(1) },
    }),
  scatter_: scattered('none'),
  scatter_add_: scattered('add'),
  index_get: indexGet,
  one_hot: oneHot,
  remap,
  triangle: (builder, args) =>
    builder.add('Trilu', [args.tensor(0), builder.constant(args.number(1))], {
      upper: { int: args.flag(2) ? 1 : 0 },
    }),
  pixel_shuffle: (builder, args) =>
    builder.add('DepthToSpace', [args.tensor(0)], {
      blocksize: { int: args.number(1) },
      mode: { text: 'CRD' },
    }),
  pixel_unshuffle: pixelUnshuffle,

  empty: filled,
  full: filled,
  arange: (builder, args) => {
    const { dtype } = args.output
    const [start, step, count] = [args.number(0), args.number(1), args.dim(2)]
    if (typeof count === 'number') {
      return builder.constant(
        Array.from({ length: count }, (_, i) => start + i * step),
        dtype,
      )
    }
    const places = builder.add('Range', [
      builder.constant(0),
      builder.add('Squeeze', [builder.sizes([count])]),
      builder.constant(1),
    ])
    const counted = dtype === 'bool' ? 'float32' : dtype
    const scaled = builder.add('Mul', [builder.cast(places, counted), builder.constant(step, counted)])
    return builder.cast(builder.add('Add', [scaled, builder.constant(start, counted)]), dtype)
  },
  linspace: (builder, args) => {
    const [start, end, count] = [args.number(0), args.number(1), args.number(2)]
    const step = count > 1 ? (end - start) / (count - 1) : 0
    return builder.constant(
      Array.from({ length: count }, (_, i) => (i === count - 1 && count > 1 ? end : start + i * step)),
      args.output.dtype,
    )
  },
  eye: (builder, args) => {
    const [rows, columns] = [args.number(0), args.number(1)]
    const values = Array.from({ length: rows * columns }, (_, i) =>
      i % columns === Math.floor(i / columns) ? 1 : 0,
    )
    return builder.constant(values, args.output.dtype, [rows, columns])
  },
}
