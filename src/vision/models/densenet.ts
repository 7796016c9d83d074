import { cat, dropout, type Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { isDiscreet, letGo, markDiscreet } from '../../nn/passing.ts'
import { architecture, type ModelOptions } from './architecture.ts'
import { FusedSequential, fusedThrough } from './normActivation.ts'

/** Options of the DenseNet models. */
export interface DenseNetOptions extends ModelOptions {
  /** Probability of dropout behind every layer of the dense blocks. Default 0. */
  dropout?: number
}

/** What tells one DenseNet from another. */
export interface DenseNetDesign {
  /** Channels that each layer adds. */
  growthRate: number
  /** Layers in each of the four blocks. */
  blocks: readonly [number, number, number, number]
  /** Channels behind the first convolution. */
  initialChannels: number
}

/** Channels inside a layer, in multiples of the growth rate. */
const BOTTLENECK = 4

/** Batch norm, ReLU and a 1×1 convolution, then the same with 3×3: `[N, inChannels, H, W]` to `[N, growthRate, H, W]`. */
export class DenseLayer extends nn.Module {
  norm1: nn.BatchNorm2d
  relu1: nn.ReLU
  conv1: nn.Conv2d
  norm2: nn.BatchNorm2d
  relu2: nn.ReLU
  conv2: nn.Conv2d
  readonly #dropout: number

  constructor(inChannels: number, growthRate: number, dropoutRate: number) {
    super()
    const width = BOTTLENECK * growthRate
    this.norm1 = new nn.BatchNorm2d(inChannels)
    this.relu1 = new nn.ReLU()
    this.conv1 = new nn.Conv2d(inChannels, width, 1, { bias: false })
    this.norm2 = new nn.BatchNorm2d(width)
    this.relu2 = new nn.ReLU()
    this.conv2 = new nn.Conv2d(width, growthRate, 3, { padding: 1, bias: false })
    this.#dropout = dropoutRate
  }

  override forward(x: Tensor): Tensor {
    const { norm1, relu1, conv1, norm2, relu2, conv2 } = this
    const out = fusedThrough([norm1, relu1, conv1, norm2, relu2, conv2], x)
    return dropout(out, this.#dropout, this.training)
  }
}

/** Layers each of which sees the feature maps of all before it: `[N, C, H, W]` to `[N, C + layers · growthRate, H, W]`. */
export class DenseBlock extends nn.Sequential {
  constructor(count: number, inChannels: number, growthRate: number, dropoutRate: number) {
    const layers = Array.from({ length: count }, (_, i) => {
      const layer = new DenseLayer(inChannels + i * growthRate, growthRate, dropoutRate)
      return [`denselayer${i + 1}`, layer] as const
    })
    super(Object.fromEntries(layers))
  }

  override forward(x: Tensor): Tensor {
    const features = [x]
    for (const layer of this) {
      const joined = cat(features, 1)
      const added = layer.forward(joined)
      if (isDiscreet(layer)) letGo(joined, added)
      features.push(added)
    }
    const out = cat(features, 1)
    if ([...this].every(isDiscreet)) for (const added of features.slice(1)) letGo(added, out)
    return out
  }
}

markDiscreet(DenseLayer, DenseBlock)

/** Half the channels and half the size: what stands between two dense blocks. */
const transition = (inChannels: number) =>
  new FusedSequential({
    norm: new nn.BatchNorm2d(inChannels),
    relu: new nn.ReLU(),
    conv: new nn.Conv2d(inChannels, inChannels / 2, 1, { bias: false }),
    pool: new nn.AvgPool2d(2),
  })

/**
 * DenseNet (Huang et al. 2016, https://arxiv.org/abs/1608.06993) for pictures `[N, 3, H, W]`, giving logits `[N, numClasses]`.
 * Names, shapes, starting values and the order of random draws are torchvision's.
 */
export class DenseNet extends nn.Module {
  features: FusedSequential
  classifier: nn.Linear

  constructor(
    { growthRate, blocks, initialChannels }: DenseNetDesign,
    { numClasses = 1000, dropout: dropoutRate = 0 }: DenseNetOptions = {},
  ) {
    super()
    // Refuses what is no probability.
    const { p } = new nn.Dropout(dropoutRate)
    const layers: Record<string, nn.Module> = {
      conv0: new nn.Conv2d(3, initialChannels, 7, { stride: 2, padding: 3, bias: false }),
      norm0: new nn.BatchNorm2d(initialChannels),
      relu0: new nn.ReLU(),
      pool0: new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
    }
    let channels = initialChannels
    for (const [i, count] of blocks.entries()) {
      layers[`denseblock${i + 1}`] = new DenseBlock(count, channels, growthRate, p)
      channels += count * growthRate
      if (i < blocks.length - 1) {
        layers[`transition${i + 1}`] = transition(channels)
        channels /= 2
      }
    }
    layers.norm5 = new nn.BatchNorm2d(channels)
    this.features = new FusedSequential(layers)
    this.classifier = new nn.Linear(channels, numClasses)
    for (const module of this.modules()) {
      if (module instanceof nn.Conv2d) nn.init.kaimingNormal_(module.weight)
      else if (module instanceof nn.Linear) nn.init.zeros_(module.bias!)
    }
  }

  override forward(x: Tensor): Tensor {
    const features = this.features.forward(x).relu()
    return this.classifier.forward(features.mean([2, 3]))
  }
}

/** The body ends before the classifier (and before its ReLU); from the second transition on it is a group, as in fastai. */
const densenet = (name: string, design: DenseNetDesign) =>
  architecture<DenseNetOptions, DenseNet>({
    name,
    build: (options) => new DenseNet(design, options),
    options: ['dropout'],
    cut: (model) => model.classifier,
    split: (model) => [model.features.at(7)!],
  })

/** DenseNet-121: 7,978,856 parameters with 1000 classes. See {@link DenseNet}. */
export const densenet121 = densenet('densenet121', {
  growthRate: 32,
  blocks: [6, 12, 24, 16],
  initialChannels: 64,
})

/** DenseNet-161: 28,681,000 parameters with 1000 classes. */
export const densenet161 = densenet('densenet161', {
  growthRate: 48,
  blocks: [6, 12, 36, 24],
  initialChannels: 96,
})

/** DenseNet-169: 14,149,480 parameters with 1000 classes. */
export const densenet169 = densenet('densenet169', {
  growthRate: 32,
  blocks: [6, 12, 32, 32],
  initialChannels: 64,
})

/** DenseNet-201: 20,013,928 parameters with 1000 classes. */
export const densenet201 = densenet('densenet201', {
  growthRate: 32,
  blocks: [6, 12, 48, 32],
  initialChannels: 64,
})
