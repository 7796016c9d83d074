import * as nn from '../../nn/index.ts'
import { FusedSequential } from './normActivation.ts'

/** Options of {@link convNorm}. */
export interface ConvNormOptions {
  kernelSize?: number
  stride?: number
  groups?: number
  /** What stands behind batch norm; null for nothing. Default ReLU. */
  activation?: nn.Module | null
}

/** A convolution that keeps the size (but for its stride), batch norm and an activation: what mobile networks are built of. */
export function convNorm(
  inChannels: number,
  outChannels: number,
  { kernelSize = 3, stride = 1, groups = 1, activation = new nn.ReLU() }: ConvNormOptions = {},
): FusedSequential {
  const padding = Math.floor((kernelSize - 1) / 2)
  const convolution = new nn.Conv2d(inChannels, outChannels, kernelSize, {
    stride,
    padding,
    groups,
    bias: false,
  })
  const layers: nn.Module[] = [convolution, new nn.BatchNorm2d(outChannels)]
  if (activation) layers.push(activation)
  return new FusedSequential(...layers)
}
