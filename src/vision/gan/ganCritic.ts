import { cat, softmax, type Tensor, zeros } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { positiveInteger, probability, rejectUnknownOptions } from '../../nn/options.ts'
import { SpectralConv2d } from './spectralNorm.ts'

const slope = 0.2

// Kaiming's weights before the norm is laid over them; no bias at first.
function spectral(
  from: number,
  to: number,
  kernelSize: number,
  stride: number,
  padding: number,
  bias = true,
) {
  const layer = new SpectralConv2d(from, to, { kernelSize, stride, padding, bias })
  nn.init.kaimingNormal_(layer.weight)
  if (layer.bias) nn.init.zeros_(layer.bias)
  return layer
}

/**
 * Self-attention over the places of feature maps `[N, C, H, W]` (Zhang et al. 2019, "Self-attention generative adversarial
 * networks"): every place adds a mixture of all, at first with weight 0.
 */
export class SelfAttention extends nn.Module {
  readonly query: SpectralConv2d
  readonly key: SpectralConv2d
  readonly value: SpectralConv2d
  readonly gamma: nn.Parameter

  constructor(channels: number) {
    super()
    const narrow = Math.max(1, Math.floor(channels / 8))
    this.query = spectral(channels, narrow, 1, 1, 0, false)
    this.key = spectral(channels, narrow, 1, 1, 0, false)
    this.value = spectral(channels, channels, 1, 1, 0, false)
    this.gamma = new nn.Parameter(zeros([1]))
  }

  override forward(x: Tensor): Tensor {
    const [query, key, value] = [this.query, this.key, this.value].map((layer) =>
      layer.forward(x).flatten(2),
    ) as [Tensor, Tensor, Tensor]
    const weights = softmax(query.transpose(1, 2).matmul(key), 1)
    return value.matmul(weights).reshape(x.shape).mul(this.gamma).add(x)
  }
}

/** Two convolutions whose result is laid beside their input: twice the channels. */
class DenseBlock extends nn.Module {
  readonly layers: nn.Sequential

  constructor(channels: number) {
    super()
    const layer = () => [spectral(channels, channels, 3, 1, 1), new nn.LeakyReLU(slope)]
    this.layers = new nn.Sequential(...layer(), ...layer())
  }

  override forward(x: Tensor): Tensor {
    return cat([this.layers.forward(x), x], 1)
  }
}

export interface GanCriticOptions {
  /** Channels of the first layer. Default 128. */
  features?: number
  /** Layers that halve the size and double the channels, behind the first. Default 3. */
  blocks?: number
  /** Probability with which channels are dropped before each of them; half of it behind the first layer. Default 0.15. */
  dropout?: number
}

/**
 * fastai's `gan_critic`, for pretrained critics and picture-to-picture GANs: spectral norm, leaky ReLUs, a dense block, self-attention
 * after the first halving. Pictures `[N, channels, H, W]` to scores `[N, k]`: one for 64 pixels, 9 for 96, 25 for 128.
 * @throws ConfigError
 */
export function ganCritic(channels = 3, options: GanCriticOptions = {}): nn.Sequential {
  const owner = 'ganCritic'
  rejectUnknownOptions(owner, options, ['features', 'blocks', 'dropout'])
  const { features = 128, blocks = 3, dropout = 0.15 } = options
  for (const [name, count] of Object.entries({ channels, features, blocks }))
    positiveInteger(count, owner, name)
  probability(dropout, owner, 'dropout')
  const halving = (from: number, to: number) => [spectral(from, to, 4, 2, 1), new nn.LeakyReLU(slope)]
  const layers: nn.Module[] = [
    ...halving(channels, features),
    new nn.Dropout2d(dropout / 2),
    new DenseBlock(features),
  ]
  let width = 2 * features
  for (let i = 0; i < blocks; i++) {
    layers.push(new nn.Dropout2d(dropout), ...halving(width, 2 * width))
    width *= 2
    if (i === 0) layers.push(new SelfAttention(width))
  }
  layers.push(spectral(width, 1, 4, 1, 0, false), new nn.Flatten())
  return new nn.Sequential(...layers)
}
