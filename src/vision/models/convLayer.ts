import { ConfigError } from '../../engine/errors.ts'
import * as nn from '../../nn/index.ts'
import { SelfAttention, SpectralNormConv2d, WeightNormConv2d } from './normedConv.ts'

/**
 * What keeps activations in bounds: batch norm; batch norm whose scale starts at zero, so that a residual branch does; or the
 * weight of the convolution divided by its length or by its largest singular value.
 */
export type NormType = 'batch' | 'batchZero' | 'weight' | 'spectral'

/** Options of {@link convLayer}. */
export interface ConvLayerOptions {
  /** Default 3. */
  kernelSize?: number
  /** Default 1. */
  stride?: number
  /** Default: where there is no batch norm. */
  bias?: boolean
  /** Default 'batch'; null for none. */
  norm?: NormType | null
  /** ReLU behind the convolution. Default true. */
  activation?: boolean
  /** Slope of a leaky ReLU in the place of ReLU. */
  leaky?: number | undefined
  /** {@link SelfAttention} behind all. Default false. */
  selfAttention?: boolean
}

const norms: readonly unknown[] = ['batch', 'batchZero', 'weight', 'spectral', null]

/**
 * A convolution that keeps the size (but for its stride), ReLU, and batch norm, in this order. The weight starts from Kaiming's
 * normal distribution, the bias at zero.
 *
 * Source: fastai, `conv_layer`.
 */
export function convLayer(
  inChannels: number,
  outChannels: number,
  options: ConvLayerOptions = {},
): nn.Sequential {
  const { kernelSize = 3, stride = 1, norm = 'batch', activation = true, leaky, selfAttention } = options
  if (!norms.includes(norm)) {
    throw new ConfigError(
      `convLayer: norm must be 'batch', 'batchZero', 'weight', 'spectral' or null, got ${String(norm)}`,
    )
  }
  const hasBatchNorm = norm === 'batch' || norm === 'batchZero'
  const sizes = { kernelSize, stride, bias: options.bias ?? !hasBatchNorm }
  const layers: nn.Module[] = [
    norm === 'weight'
      ? new WeightNormConv2d(inChannels, outChannels, sizes)
      : norm === 'spectral'
        ? new SpectralNormConv2d(inChannels, outChannels, sizes)
        : plainConv(inChannels, outChannels, sizes),
  ]
  if (activation) layers.push(relu(leaky))
  if (hasBatchNorm) layers.push(new nn.BatchNorm2d(outChannels))
  if (selfAttention) layers.push(new SelfAttention(outChannels))
  return new nn.Sequential(...layers)
}

/** ReLU, or with a slope leaky ReLU. */
export const relu = (leaky?: number): nn.Module =>
  leaky === undefined ? new nn.ReLU() : new nn.LeakyReLU(leaky)

function plainConv(
  inChannels: number,
  outChannels: number,
  { kernelSize, stride, bias }: { kernelSize: number; stride: number; bias: boolean },
): nn.Conv2d {
  const padding = Math.floor((kernelSize - 1) / 2)
  const convolution = new nn.Conv2d(inChannels, outChannels, kernelSize, { stride, padding, bias })
  nn.init.kaimingNormal_(convolution.weight)
  if (convolution.bias) nn.init.zeros_(convolution.bias)
  return convolution
}
