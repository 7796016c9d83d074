import { isTracked, record } from '../graph.ts'
import { call, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'

export interface ConvOptions {
  /** Steps between neighbouring outputs: one number, or [height, width]. Default 1. */
  stride?: number | readonly number[] | undefined
  /** Zeros added on every side. Default 0. */
  padding?: number | readonly number[] | undefined
  /** Distance between kernel taps. Default 1. */
  dilation?: number | readonly number[] | undefined
  /** Independent blocks of channels. Default 1. */
  groups?: number | undefined
}

/** One number for both directions, or two. */
export function pair(value: number | readonly number[]): readonly number[] {
  return typeof value === 'number' ? [value, value] : value
}

/** 2-D convolution of x [N, C, H, W] with weight [out, C / groups, h, w] and bias [out]. Channels-last inside. */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvOptions = {},
): Tensor {
  const stride = pair(options.stride ?? 1)
  const padding = pair(options.padding ?? 0)
  const dilation = pair(options.dilation ?? 1)
  const groups = options.groups ?? 1
  const out = call('conv2d', x, weight, bias, stride, padding, dilation, groups)
  const inputs = [x, weight, bias]
  if (!isTracked(inputs)) return out
  return record(out, 'conv2d', inputs, [x, weight], (g, node) => {
    const [input, kernel] = [node.saved(0), node.saved(1)]
    const toInput = node.needs(0)
      ? call('conv2d_backward_input', g, kernel, input.shape, stride, padding, dilation, groups)
      : null
    const withBias = node.needs(2)
    const [toWeight = null, toBias = null] =
      node.needs(1) || withBias
        ? callMany(
            'conv2d_backward_weight',
            g,
            input,
            kernel.shape,
            withBias,
            stride,
            padding,
            dilation,
            groups,
          )
        : []
    return [toInput, toWeight, toBias]
  })
}
