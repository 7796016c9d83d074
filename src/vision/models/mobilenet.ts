import type { Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { isDiscreet, letGo, markDiscreet } from '../../nn/passing.ts'
import { architecture, type ModelOptions } from './architecture.ts'
import { convNorm } from './convNorm.ts'
import { FusedSequential } from './normActivation.ts'

/** Options of {@link mobilenetV2}. */
export interface MobileNetV2Options extends ModelOptions {
  /** Factor on all numbers of channels, which are rounded to multiples of 8. Default 1. */
  widthMultiplier?: number
  /** Probability of dropout before the classifier. Default 0.2. */
  dropout?: number
}

/** Expansion, channels, blocks and stride of the first block of each stage. */
const stages = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const

/**
 * A residual block that is wide inside and narrow outside: 1×1 convolution to `expansion` times the channels, a 3×3 one for each
 * channel by itself, and a 1×1 one back without activation. `[N, inChannels, H, W]` to `[N, outChannels, H / stride, W / stride]`.
 */
export class InvertedResidual extends nn.Module {
  conv: FusedSequential
  readonly #residual: boolean

  constructor(inChannels: number, outChannels: number, stride: number, expansion: number) {
    super()
    const width = Math.round(inChannels * expansion)
    const layers: nn.Module[] = []
    if (expansion !== 1) {
      layers.push(convNorm(inChannels, width, { kernelSize: 1, activation: new nn.ReLU6() }))
    }
    layers.push(convNorm(width, width, { stride, groups: width, activation: new nn.ReLU6() }))
    layers.push(new nn.Conv2d(width, outChannels, 1, { bias: false }), new nn.BatchNorm2d(outChannels))
    this.conv = new FusedSequential(...layers)
    this.#residual = stride === 1 && inChannels === outChannels
  }

  override forward(x: Tensor): Tensor {
    const out = this.conv.forward(x)
    if (!this.#residual) return out
    const sum = x.add(out)
    if (isDiscreet(this.conv)) letGo(out, sum)
    return sum
  }
}

markDiscreet(InvertedResidual)

/**
 * MobileNet V2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381) for pictures `[N, 3, H, W]`, giving logits
 * `[N, numClasses]`. Names, shapes, starting values and the order of random draws are torchvision's.
 */
export class MobileNetV2 extends nn.Module {
  features: nn.Sequential
  classifier: nn.Sequential

  constructor({ numClasses = 1000, widthMultiplier = 1, dropout = 0.2 }: MobileNetV2Options = {}) {
    super()
    const scaled = (channels: number) => toMultipleOf8(channels * widthMultiplier)
    let channels = scaled(32)
    const lastChannels = toMultipleOf8(1280 * Math.max(1, widthMultiplier))
    const layers: nn.Module[] = [convNorm(3, channels, { stride: 2, activation: new nn.ReLU6() })]
    for (const [expansion, width, count, stride] of stages) {
      for (let i = 0; i < count; i++) {
        layers.push(new InvertedResidual(channels, scaled(width), i === 0 ? stride : 1, expansion))
        channels = scaled(width)
      }
    }
    layers.push(convNorm(channels, lastChannels, { kernelSize: 1, activation: new nn.ReLU6() }))
    this.features = new nn.Sequential(...layers)
    this.classifier = new nn.Sequential(new nn.Dropout(dropout), new nn.Linear(lastChannels, numClasses))
    for (const module of this.modules()) {
      if (module instanceof nn.Conv2d) {
        nn.init.kaimingNormal_(module.weight, { mode: 'fanOut' })
      } else if (module instanceof nn.Linear) {
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias!)
      }
    }
  }

  override forward(x: Tensor): Tensor {
    return this.classifier.forward(this.features.forward(x).mean([2, 3]))
  }
}

/** The nearest multiple of 8, but at least 8 and never more than a tenth below. */
function toMultipleOf8(value: number): number {
  const nearest = Math.max(8, Math.floor((value + 4) / 8) * 8)
  return nearest < 0.9 * value ? nearest + 8 : nearest
}

/**
 * MobileNet V2: 3,504,872 parameters with 1000 classes. The body ends before the classifier; layer 10 begins a group, as in
 * fastai. See {@link MobileNetV2}.
 */
export const mobilenetV2 = architecture<MobileNetV2Options, MobileNetV2>({
  name: 'mobilenetV2',
  build: (options) => new MobileNetV2(options),
  options: ['widthMultiplier', 'dropout'],
  cut: (model) => model.classifier,
  split: (model) => [model.features[10]!],
})
