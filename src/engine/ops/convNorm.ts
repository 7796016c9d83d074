import { lowered } from '../autocast.ts'
import { isTracked } from '../graph.ts'
import { call, isListenedTo } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { type ConvOptions, geometryOf } from './conv.ts'

/** A convolution's parameters and geometry, as `nn.Conv2d` has them. */
interface Convolution extends ConvOptions {
  weight: Tensor
  bias: Tensor | null
}

/** Batch norm by running statistics, as `nn.BatchNorm2d` has them in evaluation. */
interface Normalisation {
  weight: Tensor | null
  bias: Tensor | null
  runningMean: Tensor
  runningVar: Tensor
  eps: number
}

/**
 * relu(norm(conv(x)) + residual), or without either, in one pass over memory: the scale and shift of batch norm are the
 * convolution's. For inference: null where a gradient is to be recorded or the ops are listened to, and for what is no batch of
 * pictures.
 * @internal
 */
export function convNorm(
  x: Tensor,
  conv: Convolution,
  norm: Normalisation,
  { relu = false, residual = null }: { relu?: boolean; residual?: Tensor | null } = {},
): Tensor | null {
  const inputs = [x, conv.weight, conv.bias, norm.weight, norm.bias, residual]
  if (x.ndim !== 4 || isListenedTo() || isTracked(inputs)) return null
  const { stride, padding, dilation, groups } = geometryOf('conv2d', conv.weight, conv)
  return call(
    'conv2d_norm',
    lowered(x),
    conv.weight,
    conv.bias,
    norm.weight,
    norm.bias,
    norm.runningMean,
    norm.runningVar,
    residual,
    stride,
    padding,
    dilation,
    groups,
    norm.eps,
    relu,
  )
}
