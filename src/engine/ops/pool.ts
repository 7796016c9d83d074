import { requireOptions } from '../check.ts'
import { isTracked, record } from '../graph.ts'
import { call, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { batched, type Pair, pair } from './spatial.ts'

export interface MaxPoolOptions {
  /** Steps between windows. Default: the kernel's size. */
  stride?: Pair | undefined
  /** Border of values that never win, at most half the kernel. Default 0. */
  padding?: Pair | undefined
  /** Distance between the values of a window. Default 1. */
  dilation?: Pair | undefined
  /** Whether a last window may hang over the edge. Default false. */
  ceilMode?: boolean | undefined
}

export interface AvgPoolOptions {
  /** Steps between windows. Default: the kernel's size. */
  stride?: Pair | undefined
  /** Border of zeros. Default 0. */
  padding?: Pair | undefined
  /** Whether a last window may hang over the edge. Default false. */
  ceilMode?: boolean | undefined
  /** Whether the border's zeros count in the average. Default true. */
  countIncludePad?: boolean | undefined
  /** Divide by this instead of the window's size. */
  divisorOverride?: number | undefined
}

/**
 * The largest value of each window of x [N, C, H, W] or [C, H, W]; NaN if there is one.
 * @throws ShapeError, DTypeError.
 */
export function maxPool2d(x: Tensor, kernelSize: Pair, options: MaxPoolOptions = {}): Tensor {
  requireOptions('maxPool2d', options, ['stride', 'padding', 'dilation', 'ceilMode'])
  return batched('maxPool2d', x, 4, (pictures) => maxPoolBatch(pictures, kernelSize, options))
}

function maxPoolBatch(x: Tensor, kernelSize: Pair, options: MaxPoolOptions): Tensor {
  const kernel = pair(kernelSize)
  const stride = pair(options.stride ?? kernelSize)
  const padding = pair(options.padding ?? 0)
  const dilation = pair(options.dilation ?? 1)
  const tracked = isTracked([x])
  const [out, indices] = callMany(
    'max_pool2d',
    x,
    kernel,
    stride,
    padding,
    dilation,
    options.ceilMode ?? false,
    tracked,
  ) as [Tensor, Tensor]
  if (!tracked) return out
  const { shape } = x
  return record(out, 'maxPool2d', [x], [indices], (g, node) => [
    call('max_pool2d_backward', g, node.saved(0), shape, kernel, stride, padding, dilation),
  ])
}

/**
 * The mean of each window of x [N, C, H, W] or [C, H, W].
 * @throws ShapeError, DTypeError.
 */
export function avgPool2d(x: Tensor, kernelSize: Pair, options: AvgPoolOptions = {}): Tensor {
  requireOptions('avgPool2d', options, [
    'stride',
    'padding',
    'ceilMode',
    'countIncludePad',
    'divisorOverride',
  ])
  return batched('avgPool2d', x, 4, (pictures) => avgPoolBatch(pictures, kernelSize, options))
}

function avgPoolBatch(x: Tensor, kernelSize: Pair, options: AvgPoolOptions): Tensor {
  const kernel = pair(kernelSize)
  const stride = pair(options.stride ?? kernelSize)
  const padding = pair(options.padding ?? 0)
  const { ceilMode = false, countIncludePad = true, divisorOverride } = options
  const out = call('avg_pool2d', x, kernel, stride, padding, ceilMode, countIncludePad, divisorOverride)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'avgPool2d', [x], [], (g) => [
    call('avg_pool2d_backward', g, shape, kernel, stride, padding, countIncludePad, divisorOverride),
  ])
}

/**
 * Means over as many windows as the output has places, whatever the size of x [N, C, H, W] or [C, H, W].
 * @throws ShapeError, DTypeError.
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: Pair): Tensor {
  return batched('adaptiveAvgPool2d', x, 4, (pictures) => adaptiveAvgPoolBatch(pictures, outputSize))
}

function adaptiveAvgPoolBatch(x: Tensor, outputSize: Pair): Tensor {
  const out = call('adaptive_avg_pool2d', x, pair(outputSize))
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'adaptiveAvgPool2d', [x], [], (g) => [call('adaptive_avg_pool2d_backward', g, shape)])
}

/**
 * Maxima over as many windows as the output has places, whatever the size of x [N, C, H, W] or [C, H, W].
 * @throws ShapeError, DTypeError.
 */
export function adaptiveMaxPool2d(x: Tensor, outputSize: Pair): Tensor {
  return batched('adaptiveMaxPool2d', x, 4, (pictures) => adaptiveMaxPoolBatch(pictures, outputSize))
}

function adaptiveMaxPoolBatch(x: Tensor, outputSize: Pair): Tensor {
  const tracked = isTracked([x])
  const [out, indices] = callMany('adaptive_max_pool2d', x, pair(outputSize), tracked) as [Tensor, Tensor]
  if (!tracked) return out
  const { shape } = x
  return record(out, 'adaptiveMaxPool2d', [x], [indices], (g, node) => [
    call('adaptive_max_pool2d_backward', g, node.saved(0), shape),
  ])
}
