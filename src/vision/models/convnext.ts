import { full, type Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { architecture, type ModelOptions } from './architecture.ts'
import { StochasticDepth } from './stochasticDepth.ts'

/** Options of {@link convnextTiny}. */
export interface ConvNeXtOptions extends ModelOptions {
  /** Probability that the last block is skipped in training; earlier ones less, in proportion. Default 0.1. */
  stochasticDepth?: number
  /** Starting value of the factor on each channel of a block's output. Default 1e-6. */
  layerScale?: number
}

/** Channels and blocks of the four stages. */
interface ConvNeXtDesign {
  channels: readonly [number, number, number, number]
  blocks: readonly [number, number, number, number]
}

const EPSILON = 1e-6

/** Moves dimensions: `new Permute(0, 2, 3, 1)` puts the channels last. */
class Permute extends nn.Module {
  readonly #dims: readonly number[]

  constructor(...dims: number[]) {
    super()
    this.#dims = dims
  }

  override forward(x: Tensor): Tensor {
    return x.permute(this.#dims)
  }

  override extraRepr(): string {
    return `dims=[${this.#dims.join(', ')}]`
  }
}

/** Layer norm over the channels of `[N, C, H, W]`, for each pixel by itself. */
export class LayerNorm2d extends nn.LayerNorm {
  override forward(x: Tensor): Tensor {
    return super.forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
  }
}

/** A 7×7 convolution of each channel by itself, layer norm, and two linear layers on each pixel: `[N, C, H, W]` to the same. */
export class ConvNeXtBlock extends nn.Module {
  static override readonly stateNames = { layerScale: 'layer_scale' }

  layerScale: nn.Parameter
  block: nn.Sequential
  stochasticDepth: StochasticDepth

  constructor(channels: number, layerScale: number, skipped: number) {
    super()
    this.block = new nn.Sequential(
      new nn.Conv2d(channels, channels, 7, { padding: 3, groups: channels }),
      new Permute(0, 2, 3, 1),
      new nn.LayerNorm(channels, { eps: EPSILON }),
      new nn.Linear(channels, 4 * channels),
      new nn.GELU(),
      new nn.Linear(4 * channels, channels),
      new Permute(0, 3, 1, 2),
    )
    this.layerScale = new nn.Parameter(full([channels, 1, 1], layerScale))
    this.stochasticDepth = new StochasticDepth(skipped)
  }

  override forward(x: Tensor): Tensor {
    return this.stochasticDepth.forward(this.block.forward(x).mul(this.layerScale)).add(x)
  }
}

/**
 * ConvNeXt (Liu et al. 2022, https://arxiv.org/abs/2201.03545) for pictures `[N, 3, H, W]`, giving logits `[N, numClasses]`.
 * Names, shapes, starting values and the order of random draws are torchvision's.
 */
export class ConvNeXt extends nn.Module {
  features: nn.Sequential
  avgpool: nn.AdaptiveAvgPool2d
  classifier: nn.Sequential

  constructor(
    { channels, blocks }: ConvNeXtDesign,
    { numClasses = 1000, stochasticDepth = 0.1, layerScale = 1e-6 }: ConvNeXtOptions = {},
  ) {
    super()
    const total = blocks.reduce((sum, count) => sum + count, 0)
    const layers: nn.Module[] = [
      new nn.Sequential(
        new nn.Conv2d(3, channels[0], 4, { stride: 4 }),
        new LayerNorm2d(channels[0], { eps: EPSILON }),
      ),
    ]
    let done = 0
    for (const [stage, count] of blocks.entries()) {
      const width = channels[stage]!
      layers.push(
        new nn.Sequential(
          ...Array.from(
            { length: count },
            () => new ConvNeXtBlock(width, layerScale, (stochasticDepth * done++) / (total - 1)),
          ),
        ),
      )
      const next = channels[stage + 1]
      if (next === undefined) continue
      layers.push(
        new nn.Sequential(
          new LayerNorm2d(width, { eps: EPSILON }),
          new nn.Conv2d(width, next, 2, { stride: 2 }),
        ),
      )
    }
    this.features = new nn.Sequential(...layers)
    this.avgpool = new nn.AdaptiveAvgPool2d(1)
    this.classifier = new nn.Sequential(
      new LayerNorm2d(channels[3], { eps: EPSILON }),
      new nn.Flatten(),
      new nn.Linear(channels[3], numClasses),
    )
    for (const module of this.modules()) {
      if (!(module instanceof nn.Conv2d || module instanceof nn.Linear)) continue
      nn.init.truncNormal_(module.weight, { std: 0.02 })
      if (module.bias) nn.init.zeros_(module.bias)
    }
  }

  override forward(x: Tensor): Tensor {
    return this.classifier.forward(this.avgpool.forward(this.features.forward(x)))
  }
}

/**
 * ConvNeXt-Tiny: 28,589,128 parameters with 1000 classes. The body ends before the average pooling; the last two stages and the
 * step down to them form a group of their own. See {@link ConvNeXt}.
 */
export const convnextTiny = architecture<ConvNeXtOptions, ConvNeXt>({
  name: 'convnextTiny',
  build: (options) => new ConvNeXt({ channels: [96, 192, 384, 768], blocks: [3, 3, 9, 3] }, options),
  options: ['stochasticDepth', 'layerScale'],
  cut: (model) => model.avgpool,
  split: (model) => [model.features[4]!],
})
