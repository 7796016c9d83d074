import type { DType } from '../../engine/index.ts'
import type { Arguments, Exporter, Exporters } from '../Arguments.ts'
import type { GraphBuilder } from '../GraphBuilder.ts'

/** A reduction that takes its axes as an attribute, as all but the sum do in this opset. */
function reduceAlong(
  builder: GraphBuilder,
  type: string,
  x: string,
  axes: readonly number[],
  keepdim: boolean,
) {
  return axes.length === 0
    ? x
    : builder.add(type, [x], { axes: { ints: axes }, keepdims: { int: keepdim ? 1 : 0 } })
}

function sumAlong(builder: GraphBuilder, x: string, axes: readonly number[], keepdim: boolean) {
  if (axes.length === 0) return x
  return builder.add('ReduceSum', [x, builder.constant(axes)], { keepdims: { int: keepdim ? 1 : 0 } })
}

const reduction =
  (type: string): Exporter =>
  (builder, args) =>
    reduceAlong(builder, type, builder.cast(args.tensor(0), args.output.dtype), args.axes(1), args.flag(2))

/** any and all, by way of integers. */
const logical =
  (type: string): Exporter =>
  (builder, args) => {
    const bits = builder.cast(builder.cast(args.tensor(0), 'bool'), 'int32')
    const found = reduceAlong(builder, type, bits, args.axes(1), args.flag(2))
    return builder.cast(found, args.output.dtype)
  }

const variance: Exporter = (builder, args) => {
  const axes = args.axes(1)
  const { dtype } = args.output
  const count = axes.reduce((product, axis) => product * args.size(0, axis), 1)
  const x = args.tensor(0)
  const centred = builder.add('Sub', [x, reduceAlong(builder, 'ReduceMean', x, axes, true)])
  const squares = sumAlong(builder, builder.add('Mul', [centred, centred]), axes, args.flag(3))
  return builder.add('Div', [squares, builder.constant(Math.max(count - args.number(2), 0), dtype)])
}

const extreme =
  (reduce: string, find: string): Exporter =>
  (builder, args) => {
    const [x, axis, keepdim] = [args.tensor(0), args.axis(1), args.flag(2)]
    const places = builder.add(find, [x], {
      axis: { int: axis },
      keepdims: { int: keepdim ? 1 : 0 },
      dtype: 'int64',
    })
    return [reduceAlong(builder, reduce, x, [axis], keepdim), places]
  }

const extremeOfAll =
  (find: string): Exporter =>
  (builder, args) => {
    const flat = builder.add('Reshape', [args.tensor(0), builder.constant([-1])])
    return builder.add(find, [flat], { axis: { int: 0 }, keepdims: { int: 0 }, dtype: 'int64' })
  }

function top(builder: GraphBuilder, args: Arguments, count: number, axis: number, largest: boolean) {
  const dtypes: DType[] = [args.output.dtype, 'int64']
  return builder.addMany('TopK', [args.tensor(0), builder.constant([count])], dtypes, {
    axis: { int: axis },
    largest: { int: largest ? 1 : 0 },
    sorted: { int: 1 },
  })
}

export const reduce: Exporters = {
  sum: (builder, args) =>
    sumAlong(builder, builder.cast(args.tensor(0), args.output.dtype), args.axes(1), args.flag(2)),
  mean: reduction('ReduceMean'),
  prod: reduction('ReduceProd'),
  amax: reduction('ReduceMax'),
  amin: reduction('ReduceMin'),
  any: logical('ReduceMax'),
  all: logical('ReduceMin'),
  variance,
  max_dim: extreme('ReduceMax', 'ArgMax'),
  min_dim: extreme('ReduceMin', 'ArgMin'),
  argmax_all: extremeOfAll('ArgMax'),
  argmin_all: extremeOfAll('ArgMin'),
  sort: (builder, args) => top(builder, args, args.size(0, args.axis(1)), args.axis(1), args.flag(2)),
  topk: (builder, args) => top(builder, args, args.number(1), args.axis(2), args.flag(3)),
  cumsum: (builder, args) =>
    builder.add('CumSum', [builder.cast(args.tensor(0), args.output.dtype), builder.constant(args.axis(1))], {
      reverse: { int: args.flag(2) ? 1 : 0 },
    }),
}
