import type { Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { isDiscreet, letGo, markDiscreet, passThrough } from '../../nn/passing.ts'
import { architecture, type ModelOptions } from './architecture.ts'
import { convNorm } from './convNorm.ts'
import { StochasticDepth } from './stochasticDepth.ts'

/** Options of {@link efficientnetB0}. */
export interface EfficientNetOptions extends ModelOptions {
  /** Probability of dropout before the classifier. Default 0.2. */
  dropout?: number
  /** Probability that the last block is skipped in training; earlier ones less, in proportion. Default 0.2. */
  stochasticDepth?: number
}

/** How the blocks of one stage are built. */
interface Stage {
  /** Width inside a block, in multiples of its input channels. */
  expansion: number
  kernelSize: number
  /** Of the first block. */
  stride: number
  inChannels: number
  outChannels: number
  blocks: number
}

const stage = (
  expansion: number,
  kernelSize: number,
  stride: number,
  inChannels: number,
  outChannels: number,
  blocks: number,
): Stage => ({ expansion, kernelSize, stride, inChannels, outChannels, blocks })

const b0Stages = [
  stage(1, 3, 1, 32, 16, 1),
  stage(6, 3, 2, 16, 24, 2),
  stage(6, 5, 2, 24, 40, 2),
  stage(6, 3, 2, 40, 80, 3),
  stage(6, 5, 1, 80, 112, 3),
  stage(6, 5, 2, 112, 192, 4),
  stage(6, 3, 1, 192, 320, 1),
]

/** Scales each channel of `[N, C, H, W]` by a number between 0 and 1 that is worked out from the means of all (Hu et al. 2017). */
export class SqueezeExcitation extends nn.Module {
  avgpool: nn.AdaptiveAvgPool2d
  fc1: nn.Conv2d
  fc2: nn.Conv2d
  activation: nn.SiLU
  scaleActivation: nn.Sigmoid

  constructor(channels: number, squeezed: number) {
    super()
    this.avgpool = new nn.AdaptiveAvgPool2d(1)
    this.fc1 = new nn.Conv2d(channels, squeezed, 1)
    this.fc2 = new nn.Conv2d(squeezed, channels, 1)
    this.activation = new nn.SiLU()
    this.scaleActivation = new nn.Sigmoid()
  }

  override forward(x: Tensor): Tensor {
    const { avgpool, fc1, activation, fc2, scaleActivation } = this
    return passThrough([avgpool, fc1, activation, fc2, scaleActivation], x).mul(x)
  }
}

/** An inverted residual block with squeeze and excitation: `[N, inChannels, H, W]` to `[N, outChannels, H / stride, W / stride]`. */
export class MBConv extends nn.Module {
  block: nn.Sequential
  stochasticDepth: StochasticDepth
  readonly #residual: boolean

  constructor({ expansion, kernelSize, stride, inChannels, outChannels }: Stage, skipped: number) {
    super()
    const width = inChannels * expansion
    const layers: nn.Module[] = []
    if (expansion !== 1) {
      layers.push(convNorm(inChannels, width, { kernelSize: 1, activation: new nn.SiLU() }))
    }
    layers.push(convNorm(width, width, { kernelSize, stride, groups: width, activation: new nn.SiLU() }))
    layers.push(new SqueezeExcitation(width, Math.max(1, Math.floor(inChannels / 4))))
    layers.push(convNorm(width, outChannels, { kernelSize: 1, activation: null }))
    this.block = new nn.Sequential(...layers)
    this.stochasticDepth = new StochasticDepth(skipped)
    this.#residual = stride === 1 && inChannels === outChannels
  }

  override forward(x: Tensor): Tensor {
    const out = this.block.forward(x)
    if (!this.#residual) return out
    const kept = this.stochasticDepth.forward(out)
    const sum = kept.add(x)
    if (this.children().every(isDiscreet)) {
      letGo(kept, sum)
      if (kept !== out) letGo(out, sum)
    }
    return sum
  }
}

markDiscreet(SqueezeExcitation, MBConv, StochasticDepth)

/**
 * EfficientNet (Tan and Le 2019, https://arxiv.org/abs/1905.11946) for pictures `[N, 3, H, W]`, giving logits
 * `[N, numClasses]`. Names, shapes, starting values and the order of random draws are torchvision's.
 */
export class EfficientNet extends nn.Module {
  features: nn.Sequential
  avgpool: nn.AdaptiveAvgPool2d
  classifier: nn.Sequential

  constructor(
    stages: readonly Stage[],
    { numClasses = 1000, dropout = 0.2, stochasticDepth = 0.2 }: EfficientNetOptions = {},
  ) {
    super()
    const total = stages.reduce((sum, { blocks }) => sum + blocks, 0)
    const first = stages[0]!.inChannels
    const last = stages.at(-1)!.outChannels
    const layers: nn.Module[] = [convNorm(3, first, { stride: 2, activation: new nn.SiLU() })]
    let done = 0
    for (const design of stages) {
      const blocks = Array.from({ length: design.blocks }, (_, i) => {
        const later = { ...design, stride: 1, inChannels: design.outChannels }
        return new MBConv(i === 0 ? design : later, (stochasticDepth * done++) / total)
      })
      layers.push(new nn.Sequential(...blocks))
    }
    layers.push(convNorm(last, 4 * last, { kernelSize: 1, activation: new nn.SiLU() }))
    this.features = new nn.Sequential(...layers)
    this.avgpool = new nn.AdaptiveAvgPool2d(1)
    this.classifier = new nn.Sequential(new nn.Dropout(dropout), new nn.Linear(4 * last, numClasses))
    for (const module of this.modules()) {
      if (module instanceof nn.Conv2d) {
        nn.init.kaimingNormal_(module.weight, { mode: 'fanOut' })
        if (module.bias) nn.init.zeros_(module.bias)
      } else if (module instanceof nn.Linear) {
        const bound = 1 / Math.sqrt(module.outFeatures)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias!)
      }
    }
  }

  override forward(x: Tensor): Tensor {
    return this.classifier.forward(this.avgpool.forward(this.features.forward(x)).flatten(1))
  }
}

/**
 * EfficientNet-B0: 5,288,548 parameters with 1000 classes. The body ends before the average pooling; what works at a sixteenth
 * of the picture's size and below forms a group of its own. See {@link EfficientNet}. Its published weights have seen pictures that were
 * resized by the bicubic filter, `transforms.resize(256, { interpolation: 'bicubic' })`.
 */
export const efficientnetB0 = architecture<EfficientNetOptions, EfficientNet>({
  name: 'efficientnetB0',
  build: (options) => new EfficientNet(b0Stages, options),
  options: ['dropout', 'stochasticDepth'],
  cut: (model) => model.avgpool,
  split: (model) => [model.features[4]!],
})
