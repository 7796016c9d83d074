import { ConfigError } from '../../engine/errors.ts'
import { cat, interpolate, noGrad, type Tensor, zeros } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { convLayer, type NormType, relu } from './convLayer.ts'
import { SpectralNormConv2d, WeightNormConv2d } from './normedConv.ts'

/** Options of {@link PixelShuffleICNR}. */
export interface PixelShuffleOptions {
  /** Default 'weight'. */
  norm?: NormType | null
  /** Averages each pixel with its neighbours above and to the left. Default false. */
  blur?: boolean
  /** Slope of a leaky ReLU in the place of ReLU. */
  leaky?: number
}

/**
 * Twice the size: a 1×1 convolution to four times as many channels, ReLU, and pixel shuffle. The four pixels that come of one
 * start out equal ("ICNR", Aitken et al. 2017, https://arxiv.org/abs/1707.02937), so that there is no checkerboard to unlearn.
 * `[N, inChannels, H, W]` to `[N, outChannels, 2H, 2W]`.
 *
 * Source: fastai, `PixelShuffle_ICNR`; but there weight and spectral norm make the equal start be forgotten.
 */
export class PixelShuffleICNR extends nn.Module {
  conv: nn.Sequential
  shuf: nn.PixelShuffle
  pad: nn.ReplicationPad2d
  blur: nn.AvgPool2d
  relu: nn.Module
  readonly #blurs: boolean

  constructor(inChannels: number, outChannels: number, options: PixelShuffleOptions = {}) {
    super()
    const { norm = 'weight', blur = false, leaky } = options
    this.conv = convLayer(inChannels, 4 * outChannels, { kernelSize: 1, norm, activation: false })
    setWeight(this.conv.at(0)!, icnr(inChannels, outChannels))
    this.shuf = new nn.PixelShuffle(2)
    this.pad = new nn.ReplicationPad2d([1, 0, 1, 0])
    this.blur = new nn.AvgPool2d(2, { stride: 1 })
    this.relu = relu(leaky)
    this.#blurs = blur
  }

  override forward(x: Tensor): Tensor {
    const grown = this.shuf.forward(this.relu.forward(this.conv.forward(x)))
    return this.#blurs ? this.blur.forward(this.pad.forward(grown)) : grown
  }
}

/** A weight `[4 · outChannels, inChannels, 1, 1]` whose rows are equal in fours. */
function icnr(inChannels: number, outChannels: number): Tensor {
  const kernel = nn.init.kaimingNormal_(zeros([outChannels, inChannels, 1, 1]))
  return kernel
    .unsqueeze(1)
    .expand(outChannels, 4, inChannels, 1, 1)
    .reshape([4 * outChannels, inChannels, 1, 1])
}

function setWeight(convolution: nn.Module, weight: Tensor): void {
  if (convolution instanceof WeightNormConv2d) convolution.setWeight(weight)
  else if (convolution instanceof SpectralNormConv2d) noGrad(() => convolution.weightOrig.copy_(weight))
  else noGrad(() => (convolution as nn.Conv2d).weight.copy_(weight))
}

/** Two convolutions whose result is added to their input (and between them, if wanted, half the channels). */
export class ResidualBlock extends nn.Module {
  layers: nn.ModuleList

  constructor(channels: number, options: { bottleneck: boolean; norm: NormType | null }) {
    super()
    const { bottleneck, norm } = options
    const inner = bottleneck ? Math.floor(channels / 2) : channels
    this.layers = new nn.ModuleList([
      convLayer(channels, inner, { norm }),
      convLayer(inner, channels, { norm: norm === 'batch' ? 'batchZero' : norm }),
    ])
  }

  override forward(x: Tensor): Tensor {
    let out = x
    for (const layer of this.layers) out = layer.forward(out)
    return x.add(out)
  }
}

/** `x` at the size of `like`, by the nearest pixels. */
export function resizeLike(x: Tensor, like: Tensor): Tensor {
  const [height, width] = like.shape.slice(-2) as [number, number]
  if (x.shape.at(-2) === height && x.shape.at(-1) === width) return x
  return interpolate(x, { size: [height, width], mode: 'nearest' })
}

/** {@link resizeLike} as a layer. */
export class ResizeLike extends nn.Module<[x: Tensor, like: Tensor]> {
  override forward(x: Tensor, like: Tensor): Tensor {
    return resizeLike(x, like)
  }
}

/** Feature maps and the picture that they were made of, one behind the other. */
export class JoinPicture extends nn.Module<[x: Tensor, picture: Tensor]> {
  override forward(x: Tensor, picture: Tensor): Tensor {
    return cat([x, picture], 1)
  }
}

/** A sigmoid stretched to a range. */
export class SigmoidRange extends nn.Module {
  readonly low: number
  readonly high: number

  constructor(low: number, high: number) {
    super()
    if (!(Number.isFinite(low) && Number.isFinite(high) && low < high)) {
      throw new ConfigError(`a range of outputs needs two numbers, the lower first, got [${low}, ${high}]`)
    }
    this.low = low
    this.high = high
  }

  override forward(x: Tensor): Tensor {
    return x
      .sigmoid()
      .mul(this.high - this.low)
      .add(this.low)
  }

  override extraRepr(): string {
    return `low=${this.low}, high=${this.high}`
  }
}
