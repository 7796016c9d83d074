import type { Arguments, Exporter, Exporters } from '../Arguments.ts'
import type { GraphBuilder } from '../GraphBuilder.ts'

/** Height and width of the input and of the output. */
function planes(args: Arguments): { from: [number, number]; to: [number, number] } {
  const shape = args.output.shape
  return { from: [args.size(0, 2), args.size(0, 3)], to: [shape[2] as number, shape[3] as number] }
}

/**
 * Padding of a pool whose windows may hang over the edge: what must be added at the end so that as many windows fit
 * as the engine made. ONNX's own ceil_mode counts windows differently.
 */
function poolPads(
  args: Arguments,
  kernel: readonly number[],
  stride: readonly number[],
  padding: readonly number[],
  dilation: readonly number[],
): { begin: number[]; end: number[] } {
  const { from, to } = planes(args)
  const end = [0, 1].map((i) => {
    const reach = (to[i]! - 1) * stride[i]! + dilation[i]! * (kernel[i]! - 1) + 1
    return Math.max(padding[i]!, reach - from[i]! - padding[i]!)
  })
  return { begin: [...padding], end }
}

const maxPool: Exporter = (builder, args) => {
  const [kernel, stride, padding, dilation] = [1, 2, 3, 4].map((index) => args.numbers(index)) as [
    number[],
    number[],
    number[],
    number[],
  ]
  const { begin, end } = poolPads(args, kernel, stride, padding, dilation)
  const out = builder.add('MaxPool', [args.tensor(0)], {
    kernel_shape: { ints: kernel },
    strides: { ints: stride },
    pads: { ints: [...begin, ...end] },
    dilations: { ints: dilation },
  })
  return [out, '']
}

function paddedWithZeros(builder: GraphBuilder, x: string, begin: readonly number[], end: readonly number[]) {
  if ([...begin, ...end].every((count) => count === 0)) return x
  const zero = builder.constant(0, builder.dtype(x))
  return builder.add('Pad', [x, builder.constant([0, 0, ...begin, 0, 0, ...end]), zero])
}

const avgPool: Exporter = (builder, args) => {
  const [kernel, stride, padding] = [1, 2, 3].map((index) => args.numbers(index)) as [
    number[],
    number[],
    number[],
  ]
  const countPadding = args.flag(5)
  const { begin, end } = poolPads(args, kernel, stride, padding, [1, 1])
  const average = (x: string, pads: readonly number[], counted: boolean) =>
    builder.add('AveragePool', [x], {
      kernel_shape: { ints: kernel },
      strides: { ints: stride },
      pads: { ints: pads },
      count_include_pad: { int: counted ? 1 : 0 },
    })
  const x = args.tensor(0)
  if (!args.isNull(6)) {
    // Every window in full, by another number than its own.
    const sums = average(paddedWithZeros(builder, x, begin, end), [0, 0, 0, 0], true)
    const factor = (kernel[0]! * kernel[1]!) / args.number(6)
    return builder.add('Mul', [sums, builder.constant(factor, args.output.dtype)])
  }
  if (!countPadding) return average(x, [...begin, ...end], false)
  // The border counts, what a last window hangs over it does not.
  const rest = end.map((count, i) => count - padding[i]!)
  return average(paddedWithZeros(builder, x, padding, padding), [0, 0, ...rest], false)
}

/** The range of the input that place `index` of the output looks at. */
function adaptiveWindow(index: number, from: number, to: number): [start: number, end: number] {
  return [Math.floor((index * from) / to), Math.ceil(((index + 1) * from) / to)]
}

function adaptive(
  type: 'Average' | 'Max',
  general: (builder: GraphBuilder, args: Arguments) => string,
): Exporter {
  return (builder, args) => {
    const { from, to } = planes(args)
    if (to[0] === 1 && to[1] === 1) return builder.add(`Global${type}Pool`, [args.tensor(0)])
    if (from.every((size, i) => size % to[i]! === 0)) {
      const kernel = from.map((size, i) => size / to[i]!)
      return builder.add(`${type}Pool`, [args.tensor(0)], {
        kernel_shape: { ints: kernel },
        strides: { ints: kernel },
      })
    }
    return general(builder, args)
  }
}

/** Windows of different sizes: a product with a matrix of shares from each side. */
function adaptiveAverage(builder: GraphBuilder, args: Arguments): string {
  const { from, to } = planes(args)
  const shares = (axis: 0 | 1): number[][] =>
    Array.from({ length: to[axis] }, (_, row) => {
      const [start, end] = adaptiveWindow(row, from[axis], to[axis])
      return Array.from({ length: from[axis] }, (_, i) => (i >= start && i < end ? 1 / (end - start) : 0))
    })
  const { dtype } = args.output
  const rows = builder.constant(shares(0).flat(), dtype, [to[0], from[0]])
  const columns = shares(1)
  const turned = Array.from({ length: from[1] }, (_, i) => columns.map((row) => row[i]!)).flat()
  const across = builder.constant(turned, dtype, [from[1], to[1]])
  return builder.add('MatMul', [builder.add('MatMul', [rows, args.tensor(0)]), across])
}

/** Windows of different sizes: the maxima of slices, first of rows, then of columns. */
function adaptiveMaximum(builder: GraphBuilder, args: Arguments): string {
  const { from, to } = planes(args)
  return [0, 1].reduce((x, i) => {
    const axis = 2 + i
    const strips = Array.from({ length: to[i]! }, (_, index) => {
      const [start, end] = adaptiveWindow(index, from[i]!, to[i]!)
      const bounds = [[start], [end], [axis]].map((values) => builder.constant(values))
      return builder.add('ReduceMax', [builder.add('Slice', [x, ...bounds])], {
        axes: { ints: [axis] },
        keepdims: { int: 1 },
      })
    })
    return builder.add('Concat', strips, { axis: { int: axis } })
  }, args.tensor(0))
}

/** The float32 numbers nearest to a positive one, the nearest first. */
function neighbours(value: number): number[] {
  const bits = new Int32Array(Float32Array.of(value).buffer)[0] as number
  return [0, 1, -1, 2, -2].map((step) => new Float32Array(Int32Array.of(bits + step).buffer)[0] as number)
}

/**
 * A scale, as float32, by which runtimes make `to` of `from`, whether they multiply exactly or in float32; the engine rounds
 * the product of float64, which may be on the other side of an integer. `undefined` if there is none.
 */
function storedScale(scale: number, from: number, to: number): number | undefined {
  // The engine leaves alone a dimension that keeps its size, whatever the scale.
  if (from === to) return 1
  return neighbours(scale).find((near) =>
    [near * from, Math.fround(near * from)].every((size) => Math.floor(size) === to),
  )
}

const interpolate: Exporter = (builder, args) => {
  const [linear, alignCorners] = [args.flag(2), args.flag(3)]
  const scales = [args.number(4), args.number(5)]
  const { from, to } = planes(args)
  const x = args.tensor(0)
  const factors = to.map((size, i) => (scales[i] === 0 ? size / from[i]! : scales[i]!))
  if (!linear) {
    const scalable = args.output.dtype === 'float32' || args.output.dtype === 'float16'
    if (scalable && to.every((size, i) => size % from[i]! === 0 && factors[i] === size / from[i]!)) {
      return builder.add('Resize', [x, '', builder.constant([1, 1, ...factors], 'float32')], {
        mode: { text: 'nearest' },
        coordinate_transformation_mode: { text: 'asymmetric' },
        nearest_mode: { text: 'floor' },
      })
    }
    // Which pixel is nearest is known now, and exact.
    return to.reduce((picked, size, i) => {
      const step = Math.fround(scales[i] === 0 ? from[i]! / size : 1 / scales[i]!)
      const places = Array.from({ length: size }, (_, place) =>
        Math.min(Math.floor(Math.fround(place * step)), from[i]! - 1),
      )
      return builder.add('Gather', [picked, builder.constant(places)], { axis: { int: 2 + i } })
    }, x)
  }
  const attributes = {
    mode: { text: 'linear' },
    coordinate_transformation_mode: { text: alignCorners ? 'align_corners' : 'half_pixel' },
  }
  if (scales.every((scale) => scale > 0) && !alignCorners) {
    const stored = scales.map((scale, i) => storedScale(scale, from[i]!, to[i]!))
    if (stored.every((scale) => scale !== undefined)) {
      return builder.add('Resize', [x, '', builder.constant([1, 1, ...stored], 'float32')], attributes)
    }
  }
  return builder.add('Resize', [x, '', '', builder.sizes(args.output.shape)], attributes)
}

const gridSample: Exporter = (builder, args) =>
  builder.add('GridSample', [args.tensor(0), args.tensor(1)], {
    mode: { text: ['bilinear', 'nearest'][args.number(2)]! },
    padding_mode: { text: ['zeros', 'border', 'reflection'][args.number(3)]! },
    align_corners: { int: args.flag(4) ? 1 : 0 },
  })

export const spatial: Exporters = {
  max_pool2d: maxPool,
  avg_pool2d: avgPool,
  adaptive_avg_pool2d: adaptive('Average', adaptiveAverage),
  adaptive_max_pool2d: (builder, args) => {
    const out = adaptive('Max', adaptiveMaximum)(builder, args)
    return [out as string, '']
  },
  interpolate2d: interpolate,
  grid_sample: gridSample,
}
