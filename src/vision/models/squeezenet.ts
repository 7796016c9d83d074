import { cat, type Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { isDiscreet, letGo, markDiscreet, passThrough } from '../../nn/passing.ts'
import { architecture, type ModelOptions } from './architecture.ts'

/** Options of the SqueezeNet models. */
export interface SqueezeNetOptions extends ModelOptions {
  /** Probability of dropout before the last convolution. Default 0.5. */
  dropout?: number
}

/** A 1×1 convolution to few channels, then 1×1 and 3×3 convolutions side by side: `[N, inChannels, H, W]` to `[N, 2 · expand, H, W]`. */
export class Fire extends nn.Module {
  squeeze: nn.Conv2d
  squeezeActivation: nn.ReLU
  expand1x1: nn.Conv2d
  expand1x1Activation: nn.ReLU
  expand3x3: nn.Conv2d
  expand3x3Activation: nn.ReLU

  constructor(inChannels: number, squeeze: number, expand: number) {
    super()
    this.squeeze = new nn.Conv2d(inChannels, squeeze, 1)
    this.squeezeActivation = new nn.ReLU()
    this.expand1x1 = new nn.Conv2d(squeeze, expand, 1)
    this.expand1x1Activation = new nn.ReLU()
    this.expand3x3 = new nn.Conv2d(squeeze, expand, 3, { padding: 1 })
    this.expand3x3Activation = new nn.ReLU()
  }

  override forward(x: Tensor): Tensor {
    const { squeeze, squeezeActivation, expand1x1, expand3x3 } = this
    const discreet = this.children().every(isDiscreet)
    const narrow = passThrough([squeeze, squeezeActivation], x)
    const parts = [
      passThrough([expand1x1, this.expand1x1Activation], narrow),
      passThrough([expand3x3, this.expand3x3Activation], narrow),
    ]
    const out = cat(parts, 1)
    if (discreet) for (const made of [narrow, ...parts]) letGo(made, out)
    return out
  }
}

markDiscreet(Fire)

const pool = () => new nn.MaxPool2d(3, { stride: 2, ceilMode: true })

/** Fire modules and pooling behind the first convolution. Version 1.1 pools earlier, which takes 2.4 times fewer operations. */
const featureLayers = {
  '1.0': () => [
    new nn.Conv2d(3, 96, 7, { stride: 2 }),
    new nn.ReLU(),
    pool(),
    new Fire(96, 16, 64),
    new Fire(128, 16, 64),
    new Fire(128, 32, 128),
    pool(),
    new Fire(256, 32, 128),
    new Fire(256, 48, 192),
    new Fire(384, 48, 192),
    new Fire(384, 64, 256),
    pool(),
    new Fire(512, 64, 256),
  ],
  '1.1': () => [
    new nn.Conv2d(3, 64, 3, { stride: 2 }),
    new nn.ReLU(),
    pool(),
    new Fire(64, 16, 64),
    new Fire(128, 16, 64),
    pool(),
    new Fire(128, 32, 128),
    new Fire(256, 32, 128),
    pool(),
    new Fire(256, 48, 192),
    new Fire(384, 48, 192),
    new Fire(384, 64, 256),
    new Fire(512, 64, 256),
  ],
} as const

/**
 * SqueezeNet (Iandola et al. 2016, https://arxiv.org/abs/1602.07360) for pictures `[N, 3, H, W]`, giving logits
 * `[N, numClasses]`. Names, shapes, starting values and the order of random draws are torchvision's.
 */
export class SqueezeNet extends nn.Module {
  features: nn.Sequential
  classifier: nn.Sequential

  constructor(version: '1.0' | '1.1', { numClasses = 1000, dropout = 0.5 }: SqueezeNetOptions = {}) {
    super()
    this.features = new nn.Sequential(...featureLayers[version]())
    const last = new nn.Conv2d(512, numClasses, 1)
    this.classifier = new nn.Sequential(
      new nn.Dropout(dropout),
      last,
      new nn.ReLU(),
      new nn.AdaptiveAvgPool2d(1),
    )
    for (const module of this.modules()) {
      if (!(module instanceof nn.Conv2d)) continue
      if (module === last) nn.init.normal_(module.weight, 0, 0.01)
      else nn.init.kaimingUniform_(module.weight)
      nn.init.zeros_(module.bias!)
    }
  }

  override forward(x: Tensor): Tensor {
    return this.classifier.forward(this.features.forward(x)).flatten(1)
  }
}

/** The body ends before the classifier; layers 5 and 8 begin groups of their own, as in fastai. */
const squeezenet = (name: string, version: '1.0' | '1.1') =>
  architecture<SqueezeNetOptions, SqueezeNet>({
    name,
    build: (options) => new SqueezeNet(version, options),
    options: ['dropout'],
    cut: (model) => model.classifier,
    split: (model) => [model.features[5]!, model.features[8]!],
  })

/** SqueezeNet 1.0: 1,248,424 parameters with 1000 classes. See {@link SqueezeNet}. */
export const squeezenet1_0 = squeezenet('squeezenet1_0', '1.0')

/** SqueezeNet 1.1: 1,235,496 parameters with 1000 classes, and 2.4 times fewer operations than 1.0. */
export const squeezenet1_1 = squeezenet('squeezenet1_1', '1.1')
