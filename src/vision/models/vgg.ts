import type { Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { passThrough } from '../../nn/passing.ts'
import { architecture, type ModelOptions } from './architecture.ts'
import { FusedSequential } from './normActivation.ts'

/** Options of the VGG models. */
export interface VGGOptions extends ModelOptions {
  /** Probability of dropout behind each of the two hidden layers of the classifier. Default 0.5. */
  dropout?: number
}

/** What tells one VGG from another. */
export interface VGGDesign {
  /** Number of 3×3 convolutions in each of the five stages; each stage ends in max pooling. */
  stages: readonly [number, number, number, number, number]
  /** Batch norm behind each convolution. */
  batchNorm: boolean
}

const stageChannels = [64, 128, 256, 512, 512] as const

/**
 * VGG (Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556) for pictures `[N, 3, H, W]` of at least 32 × 32, giving
 * logits `[N, numClasses]`. Names, shapes, starting values and the order of random draws are torchvision's.
 */
export class VGG extends nn.Module {
  features: FusedSequential
  avgpool: nn.AdaptiveAvgPool2d
  classifier: nn.Sequential

  constructor({ stages, batchNorm }: VGGDesign, { numClasses = 1000, dropout = 0.5 }: VGGOptions = {}) {
    super()
    const layers: nn.Module[] = []
    let inChannels = 3
    for (const [stage, count] of stages.entries()) {
      const channels = stageChannels[stage]!
      for (let i = 0; i < count; i++) {
        layers.push(new nn.Conv2d(inChannels, channels, 3, { padding: 1 }))
        if (batchNorm) layers.push(new nn.BatchNorm2d(channels))
        layers.push(new nn.ReLU())
        inChannels = channels
      }
      layers.push(new nn.MaxPool2d(2))
    }
    this.features = new FusedSequential(...layers)
    this.avgpool = new nn.AdaptiveAvgPool2d(7)
    this.classifier = new nn.Sequential(
      new nn.Linear(512 * 7 * 7, 4096),
      new nn.ReLU(),
      new nn.Dropout(dropout),
      new nn.Linear(4096, 4096),
      new nn.ReLU(),
      new nn.Dropout(dropout),
      new nn.Linear(4096, numClasses),
    )
    for (const module of this.modules()) {
      if (module instanceof nn.Conv2d) {
        nn.init.kaimingNormal_(module.weight, { mode: 'fanOut', nonlinearity: 'relu' })
        nn.init.zeros_(module.bias!)
      } else if (module instanceof nn.Linear) {
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias!)
      }
    }
  }

  override forward(x: Tensor): Tensor {
    x = passThrough([this.features, this.avgpool], x)
    return this.classifier.forward(x.flatten(1))
  }
}

/**
 * The body ends before the classifier. The last two stages and the end of the third form a group of their own: from layer 22
 * of the features in vgg16Bn and vgg19Bn, as in fastai, and at the same place (the last ReLU of the third stage) in the rest.
 */
const vgg = (name: string, design: VGGDesign) =>
  architecture<VGGOptions, VGG>({
    name,
    build: (options) => new VGG(design, options),
    options: ['dropout'],
    cut: (model) => model.classifier,
    split: (model) => [name === 'vgg19Bn' ? model.features[22]! : endOfThirdStage(model.features)],
  })

function endOfThirdStage(features: nn.Sequential): nn.Module {
  const layers = [...features]
  const [, , third] = [...layers.keys()].filter((index) => layers[index] instanceof nn.MaxPool2d)
  return layers[third! - 1]!
}

const stages = {
  11: [1, 1, 2, 2, 2],
  13: [2, 2, 2, 2, 2],
  16: [2, 2, 3, 3, 3],
  19: [2, 2, 4, 4, 4],
} as const

/** VGG with 11 layers: 132,863,336 parameters with 1000 classes. See {@link VGG}. */
export const vgg11 = vgg('vgg11', { stages: stages[11], batchNorm: false })

/** VGG with 11 layers and batch norm: 132,868,840 parameters. */
export const vgg11Bn = vgg('vgg11Bn', { stages: stages[11], batchNorm: true })

/** VGG with 13 layers: 133,047,848 parameters. */
export const vgg13 = vgg('vgg13', { stages: stages[13], batchNorm: false })

/** VGG with 13 layers and batch norm: 133,053,736 parameters. */
export const vgg13Bn = vgg('vgg13Bn', { stages: stages[13], batchNorm: true })

/** VGG with 16 layers: 138,357,544 parameters. */
export const vgg16 = vgg('vgg16', { stages: stages[16], batchNorm: false })

/** VGG with 16 layers and batch norm: 138,365,992 parameters. */
export const vgg16Bn = vgg('vgg16Bn', { stages: stages[16], batchNorm: true })

/** VGG with 19 layers: 143,667,240 parameters. */
export const vgg19 = vgg('vgg19', { stages: stages[19], batchNorm: false })

/** VGG with 19 layers and batch norm: 143,678,248 parameters. */
export const vgg19Bn = vgg('vgg19Bn', { stages: stages[19], batchNorm: true })
