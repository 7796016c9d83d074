import { lowered } from '../autocast.ts'
import { requireOptions, requireTensor, show } from '../check.ts'
import { ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { call, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { channelSums, checkLineWeight } from './conv.ts'
import { zeros } from './create.ts'
import { cat } from './indexing.ts'
import { asPicture, batched, type Pair, pair, single } from './spatial.ts'

const OPTION_NAMES = ['stride', 'padding', 'outputPadding', 'dilation', 'groups']

export interface ConvTransposeOptions {
  /** Steps between the places where neighbouring inputs land: one number, or [height, width]. Default 1. */
  stride?: Pair | undefined
  /** Rows and columns cut off every side of the output. Default 0. */
  padding?: Pair | undefined
  /**
   * Rows and columns added at the bottom and the right, less than the stride or the dilation: with a stride, several sizes
   * of output fit one size of input. Default 0.
   */
  outputPadding?: Pair | undefined
  /** Distance between kernel taps. Default 1. */
  dilation?: Pair | undefined
  /** Independent blocks of channels. Default 1. */
  groups?: number | undefined
}

export interface Geometry {
  stride: readonly number[]
  padding: readonly number[]
  outputPadding: readonly number[]
  dilation: readonly number[]
  groups: number
}

/**
 * Transposed 2-D convolution: what conv2d's gradient does to its output, as a layer. x [N, C, H, W] or [C, H, W], weight
 * [C, out / groups, h, w], bias [out]; to a height of
 * (H - 1) · stride - 2 · padding + dilation · (h - 1) + outputPadding + 1. Channels-last inside.
 * @throws ShapeError, DTypeError.
 */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  requireTensor('convTranspose2d', 'weight', weight)
  requireOptions('convTranspose2d', options, OPTION_NAMES)
  const geometry = {
    stride: pair(options.stride ?? 1),
    padding: pair(options.padding ?? 0),
    outputPadding: pair(options.outputPadding ?? 0),
    dilation: pair(options.dilation ?? 1),
    groups: options.groups ?? 1,
  }
  return batched('convTranspose2d', x, 4, (pictures) =>
    transposed('convTranspose2d', pictures, weight, bias, geometry),
  )
}

/**
 * Transposed 1-D convolution of x [N, C, L] or [C, L] with weight [C, out / groups, l] and bias [out]; see convTranspose2d.
 * @throws ShapeError, DTypeError, ConfigError.
 */
export function convTranspose1d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  const op = 'convTranspose1d'
  checkLineWeight(op, weight, '[in, out / groups, length]')
  requireOptions(op, options, OPTION_NAMES)
  const geometry = {
    stride: single(op, 'stride', options.stride ?? 1, 1),
    padding: single(op, 'padding', options.padding ?? 0, 0),
    outputPadding: single(op, 'outputPadding', options.outputPadding ?? 0, 0),
    dilation: single(op, 'dilation', options.dilation ?? 1, 1),
    groups: options.groups ?? 1,
  }
  return batched(op, x, 3, (lines) =>
    asPicture(op, lines, weight, () =>
      transposed(op, lines.unsqueeze(2), weight.unsqueeze(2), bias, geometry).squeeze(2),
    ),
  )
}

/** @internal The op for a geometry that is worked out. */
export function transposed(
  name: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  given: Geometry,
): Tensor {
  const { stride, padding, dilation, groups } = given
  let { outputPadding } = given
  // A dilation above the stride admits an output padding of whole steps: as if zeros followed the input.
  const steps = [0, 1].map((i) => {
    const added = outputPadding[i] as number
    return added < (dilation[i] as number) ? Math.floor(added / (stride[i] as number)) : 0
  })
  if (steps.some((count) => count > 0)) {
    x = followedByZeros(x, steps)
    outputPadding = outputPadding.map((added, i) => added - (steps[i] as number) * (stride[i] as number))
  }
  x = lowered(x)
  const out = call('conv_transpose2d', x, weight, bias, stride, padding, outputPadding, dilation, groups)
  const inputs = [x, weight, bias]
  if (!isTracked(inputs)) return out
  // The adjoint of a convolution's gradient is that convolution, from `out` channels to the input's.
  return record(out, name, inputs, [x, weight], (g, node) => {
    const [input, kernel] = [node.saved(0), node.saved(1)]
    const toInput = node.needs(0) ? call('conv2d', g, kernel, null, stride, padding, dilation, groups) : null
    const toWeight = node.needs(1)
      ? callMany('conv2d_backward_weight', input, g, kernel, false, stride, padding, dilation, groups)[0]
      : null
    return [toInput, toWeight, node.needs(2) ? channelSums(g) : null]
  })
}

function followedByZeros(x: Tensor, counts: readonly number[]): Tensor {
  return counts.reduce((extended, count, i) => {
    if (count === 0) return extended
    const shape = extended.shape.with(2 + i, count)
    return cat([extended, zeros(shape, { dtype: x.dtype, device: x.device })], 2 + i)
  }, x)
}

/**
 * The output padding with which a transposed convolution gives `outputSize`, the last dimensions of the output.
 * @throws ShapeError for a size that no output padding reaches.
 */
export function outputPaddingFor(
  op: string,
  inputSize: readonly number[],
  outputSize: readonly number[],
  kernel: readonly number[],
  { stride, padding, dilation }: Pick<Geometry, 'stride' | 'padding' | 'dilation'>,
): number[] {
  const dims = kernel.length
  const wanted = Array.isArray(outputSize) ? outputSize.slice(-dims) : []
  const smallest = kernel.map(
    (size, i) =>
      ((inputSize.at(i - dims) as number) - 1) * (stride[i] as number) -
      2 * (padding[i] as number) +
      (dilation[i] as number) * (size - 1) +
      1,
  )
  const added = smallest.map((size, i) => (wanted[i] as number) - size)
  if (!added.every((count, i) => Number.isInteger(count) && count >= 0 && count < (stride[i] as number))) {
    const largest = smallest.map((size, i) => size + (stride[i] as number) - 1)
    throw new ShapeError(
      `${op}: an input of [${inputSize.join(', ')}] can give sizes from [${smallest.join(', ')}] to ` +
        `[${largest.join(', ')}], not ${show(outputSize)}`,
    )
  }
  return added
}
