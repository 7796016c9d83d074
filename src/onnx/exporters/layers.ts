import { ConfigError } from '../../engine/errors.ts'
import type { Arguments, Exporter, Exporters } from '../Arguments.ts'
import type { GraphBuilder } from '../GraphBuilder.ts'
import { FLOATING } from './elementwise.ts'

/** [top, left, bottom, right] of what the engine takes: pairs for both sides, or all four. */
const sides = (padding: readonly number[]) => (padding.length === 2 ? [...padding, ...padding] : padding)

const conv2d: Exporter = (builder, args) => {
  const bias = args.optional(2)
  return builder.add('Conv', [args.tensor(0), args.tensor(1), ...(bias === undefined ? [] : [bias])], {
    kernel_shape: { ints: [args.size(1, 2), args.size(1, 3)] },
    strides: { ints: args.numbers(3) },
    pads: { ints: sides(args.numbers(4)) },
    dilations: { ints: args.numbers(5) },
    group: { int: args.number(6) },
  })
}

const convTranspose2d: Exporter = (builder, args) => {
  const bias = args.optional(2)
  return builder.add(
    'ConvTranspose',
    [args.tensor(0), args.tensor(1), ...(bias === undefined ? [] : [bias])],
    {
      kernel_shape: { ints: [args.size(1, 2), args.size(1, 3)] },
      strides: { ints: args.numbers(3) },
      pads: { ints: sides(args.numbers(4)) },
      output_padding: { ints: args.numbers(5) },
      dilations: { ints: args.numbers(6) },
      group: { int: args.number(7) },
    },
  )
}

const linear: Exporter = (builder, args) => {
  const [x, weight, bias] = [args.tensor(0), args.tensor(1), args.optional(2)]
  if (args.shape(0).length === 2 && FLOATING.includes(args.output.dtype)) {
    return builder.add('Gemm', [x, weight, ...(bias === undefined ? [] : [bias])], { transB: { int: 1 } })
  }
  const turned = builder.add('Transpose', [weight], { perm: { ints: [1, 0] } })
  const product = builder.add('MatMul', [x, turned])
  return bias === undefined ? product : builder.add('Add', [product, bias])
}

/** Scale and shift of a normalisation, with ones and zeros where there are none. */
function affine(builder: GraphBuilder, args: Arguments, first: number, shape: readonly number[]) {
  const { dtype } = args.output
  const count = shape.reduce((product, size) => product * size, 1)
  const all = (value: number) => builder.constant(new Array<number>(count).fill(value), dtype, shape)
  return [args.optional(first) ?? all(1), args.optional(first + 1) ?? all(0)] as const
}

const batchNorm: Exporter = (builder, args) => {
  if (args.flag(6) || args.isNull(3) || args.isNull(4)) {
    throw new ConfigError(
      'batch norm that normalises by the statistics of the batch has no ONNX form that depends on one picture alone; ' +
        'models are exported as model.eval() leaves them, with running statistics',
    )
  }
  const [scale, shift] = affine(builder, args, 1, [args.size(0, 1)])
  let out = builder.add(
    'BatchNormalization',
    [args.tensor(0), scale, shift, args.tensor(3), args.tensor(4)],
    {
      epsilon: { float: args.number(8) },
    },
  )
  const residual = args.optional(5)
  if (residual !== undefined) out = builder.add('Add', [out, residual])
  if (args.flag(9)) out = builder.add('Relu', [out])
  // The statistics that its backward pass takes are of no use here.
  return [out, '', '']
}

const layerNorm: Exporter = (builder, args) => {
  const sizes = args.numbers(1)
  const [scale, shift] = affine(builder, args, 2, sizes)
  const out = builder.add('LayerNormalization', [args.tensor(0), scale, shift], {
    axis: { int: args.shape(0).length - sizes.length },
    epsilon: { float: args.number(4) },
  })
  return [out, '', '']
}

/** Each group as one channel of instance norm, then a scale and shift for each channel. */
const groupNorm: Exporter = (builder, args) => {
  const [groups, channels, rank] = [args.number(1), args.size(0, 1), args.shape(0).length]
  const { dtype } = args.output
  const fill = (value: number) => builder.constant(new Array<number>(groups).fill(value), dtype)
  const grouped = builder.add('Reshape', [args.tensor(0), builder.constant([0, groups, -1])])
  const normal = builder.add('InstanceNormalization', [grouped, fill(1), fill(0)], {
    epsilon: { float: args.number(4) },
  })
  let out = builder.add('Reshape', [normal, builder.sizes(args.output.shape)])
  const perChannel = builder.constant([channels, ...new Array<number>(rank - 2).fill(1)])
  for (const [index, type] of [
    [2, 'Mul'],
    [3, 'Add'],
  ] as const) {
    const parameter = args.optional(index)
    if (parameter !== undefined)
      out = builder.add(type, [out, builder.add('Reshape', [parameter, perChannel])])
  }
  return [out, '', '']
}

export const layers: Exporters = {
  conv2d,
  conv_transpose2d: convTranspose2d,
  linear,
  matmul: (builder, args) => {
    const { dtype } = args.output
    return builder.add('MatMul', [builder.cast(args.tensor(0), dtype), builder.cast(args.tensor(1), dtype)])
  },
  batch_norm: batchNorm,
  layer_norm: layerNorm,
  group_norm: groupNorm,
}
