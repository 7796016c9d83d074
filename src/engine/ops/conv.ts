import { lowered } from '../autocast.ts'
import { requireOptions, requireTensor, show } from '../check.ts'
import { ConfigError, ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { call, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { asPicture, batched, type Pair, pair, single } from './spatial.ts'

const OPTION_NAMES = ['stride', 'padding', 'dilation', 'groups']

export interface ConvOptions {
  /** Steps between neighbouring outputs: one number, or [height, width]. Default 1. */
  stride?: Pair | undefined
  /**
   * Zeros added on every side; 'same' for as many as keep the size (with a stride of 1; an odd one goes to the right and
   * the bottom), 'valid' for none. Default 0.
   */
  padding?: Pair | 'same' | 'valid' | undefined
  /** Distance between kernel taps. Default 1. */
  dilation?: Pair | undefined
  /** Independent blocks of channels. Default 1. */
  groups?: number | undefined
}

/** What the native op takes: pairs, and [top, left, bottom, right] where the sides differ. */
export interface Geometry {
  stride: readonly number[]
  padding: readonly number[]
  dilation: readonly number[]
  groups: number
}

function isText(padding: ConvOptions['padding']): padding is 'same' | 'valid' {
  return typeof padding === 'string'
}

function paddingInWords(
  op: string,
  padding: 'same' | 'valid',
  kernel: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
): readonly number[] {
  if (padding === 'valid') return [0, 0]
  if (padding !== 'same') {
    throw new ConfigError(`${op}: padding must be numbers, 'same' or 'valid', got ${show(padding)}`)
  }
  if (stride.some((step) => step !== 1)) {
    throw new ConfigError(`${op}: padding 'same' needs a stride of 1, got [${stride.join(', ')}]`)
  }
  const total = kernel.map((size, i) => (dilation[i] ?? 1) * (size - 1))
  const before = total.map((zeros) => Math.floor(zeros / 2))
  return [...before, ...total.map((zeros, i) => zeros - (before[i] as number))]
}

/** @internal Options in numbers. */
export function geometryOf(op: string, weight: Tensor, options: ConvOptions): Geometry {
  const stride = pair(options.stride ?? 1)
  const dilation = pair(options.dilation ?? 1)
  const given = options.padding ?? 0
  const padding = isText(given)
    ? paddingInWords(op, given, weight.shape.slice(2), stride, dilation)
    : pair(given)
  return { stride, padding, dilation, groups: options.groups ?? 1 }
}

/**
 * 2-D convolution (cross-correlation) of x [N, C, H, W] or [C, H, W] with weight [out, C / groups, h, w] and bias [out].
 * Channels-last inside.
 * @throws ShapeError, DTypeError, ConfigError.
 */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvOptions = {},
): Tensor {
  requireTensor('conv2d', 'weight', weight)
  requireOptions('conv2d', options, OPTION_NAMES)
  const geometry = geometryOf('conv2d', weight, options)
  return batched('conv2d', x, 4, (pictures) => convolve('conv2d', pictures, weight, bias, geometry))
}

/**
 * 1-D convolution (cross-correlation) of x [N, C, L] or [C, L] with weight [out, C / groups, l] and bias [out].
 * @throws ShapeError, DTypeError, ConfigError.
 */
export function conv1d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvOptions = {},
): Tensor {
  checkLineWeight('conv1d', weight, '[out, in / groups, length]')
  requireOptions('conv1d', options, OPTION_NAMES)
  const stride = single('conv1d', 'stride', options.stride ?? 1, 1)
  const dilation = single('conv1d', 'dilation', options.dilation ?? 1, 1)
  const given = options.padding ?? 0
  const padding = isText(given)
    ? paddingInWords('conv1d', given, [1, ...weight.shape.slice(2)], stride, dilation)
    : single('conv1d', 'padding', given, 0)
  const geometry = { stride, padding, dilation, groups: options.groups ?? 1 }
  return batched('conv1d', x, 3, (lines) =>
    asPicture('conv1d', lines, weight, () =>
      convolve('conv1d', lines.unsqueeze(2), weight.unsqueeze(2), bias, geometry).squeeze(2),
    ),
  )
}

export function checkLineWeight(op: string, weight: Tensor, layout: string): void {
  requireTensor(op, 'weight', weight)
  if (weight.ndim !== 3) {
    throw new ShapeError(`${op}: expected a weight of ${layout}, got [${weight.shape.join(', ')}]`)
  }
}

/** @internal The op for a geometry that is worked out. */
export function convolve(
  name: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  { stride, padding, dilation, groups }: Geometry,
): Tensor {
  // The weights stay as they are: the engine rounds them on the way in and sums their gradient in float32.
  x = lowered(x)
  const out = call('conv2d', x, weight, bias, stride, padding, dilation, groups)
  const inputs = [x, weight, bias]
  if (!isTracked(inputs)) return out
  return record(out, name, inputs, [x, weight], (g, node) => {
    const [input, kernel] = [node.saved(0), node.saved(1)]
    const toInput = node.needs(0)
      ? call('conv2d_backward_input', g, kernel, input.shape, stride, padding, dilation, groups)
      : null
    const withBias = node.needs(2)
    if (!node.needs(1)) return [toInput, null, withBias ? channelSums(g) : null]
    const [toWeight, toBias = null] = callMany(
      'conv2d_backward_weight',
      g,
      input,
      kernel,
      withBias,
      stride,
      padding,
      dilation,
      groups,
    )
    return [toInput, toWeight, toBias]
  })
}

/** What a bias receives from the gradient [N, C, H, W] of a sum that it is part of. */
export function channelSums(gradient: Tensor): Tensor {
  return call('sum', gradient, [0, 2, 3], false)
}
