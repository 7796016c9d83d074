import { ConfigError } from '../../engine/errors.ts'
import * as nn from '../../nn/index.ts'
import { convLayer } from './convLayer.ts'

/** Options of {@link simpleCnn}. */
export interface SimpleCnnOptions {
  /** Of each convolution. Default 3 for all. */
  kernelSizes?: readonly number[]
  /** Of each convolution. Default 2 for all. */
  strides?: readonly number[]
  /** Batch norm behind all convolutions but the last. Default false. */
  batchNorm?: boolean
}

/**
 * A small network of convolutions in a row, `channels` giving the number of channels before and after each, and average pooling:
 * `[N, channels[0], H, W]` to logits `[N, channels.at(-1)]`. Good for trying things out.
 *
 * Source: fastai, `simple_cnn`; but without the ReLU that stands there between the last convolution and the pooling, which
 * keeps logits from being negative.
 *
 * @throws ConfigError for fewer than two numbers of channels, or lists that do not fit each other
 *
 * @example const model = models.simpleCnn([3, 16, 16, 10], { batchNorm: true })
 */
export function simpleCnn(channels: readonly number[], options: SimpleCnnOptions = {}): nn.Sequential {
  const count = channels.length - 1
  if (count < 1) throw new ConfigError(`simpleCnn needs at least two numbers of channels, got ${count + 1}`)
  const known = ['kernelSizes', 'strides', 'batchNorm']
  const unknown = Object.keys(options).filter((key) => !known.includes(key))
  if (unknown.length > 0) {
    throw new ConfigError(
      `simpleCnn: unknown option ${unknown.join(', ')}; the options are ${known.join(', ')}`,
    )
  }
  const each = (value: number) => Array.from({ length: count }, () => value)
  const { kernelSizes = each(3), strides = each(2), batchNorm = false } = options
  for (const [name, list] of Object.entries({ kernelSizes, strides })) {
    if (list.length !== count) {
      throw new ConfigError(
        `simpleCnn: ${channels.length} numbers of channels make ${count} convolutions, but there are ${list.length} ${name}`,
      )
    }
  }
  const layers = kernelSizes.map((kernelSize, i) => {
    const last = i === count - 1
    return convLayer(channels[i]!, channels[i + 1]!, {
      kernelSize,
      stride: strides[i]!,
      norm: batchNorm && !last ? 'batch' : null,
      activation: !last,
    })
  })
  return new nn.Sequential(...layers, new nn.Sequential(new nn.AdaptiveAvgPool2d(1), new nn.Flatten()))
}
