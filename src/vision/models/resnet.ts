import type { Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { isDiscreet, letGo, markDiscreet, passThrough } from '../../nn/passing.ts'
import { architecture, type ModelOptions } from './architecture.ts'
import { convNormActivation, FusedSequential } from './normActivation.ts'

/** Options of the ResNet models. */
export interface ResNetOptions extends ModelOptions {
  /** Starts the last batch norm of every block at zero, so that blocks begin as identities (Goyal et al. 2017). Default false. */
  zeroInitResidual?: boolean
}

/** What tells one ResNet from another. */
export interface ResNetDesign {
  block: typeof BasicBlock | typeof Bottleneck
  /** Blocks in each of the four layers. */
  layers: readonly [number, number, number, number]
  /** Groups of the 3×3 convolution in a bottleneck (ResNeXt). Default 1. */
  groups?: number
  /** Width of a group in a bottleneck, in 64ths of the block's channels (wide ResNet, ResNeXt). Default 64. */
  widthPerGroup?: number
}

/** How a block is placed in the network. */
interface BlockPlace {
  stride: number
  downsample: nn.Sequential | null
  groups: number
  widthPerGroup: number
}

const conv3x3 = (inChannels: number, outChannels: number, stride = 1, groups = 1) =>
  new nn.Conv2d(inChannels, outChannels, 3, { stride, padding: 1, groups, bias: false })

const conv1x1 = (inChannels: number, outChannels: number, stride = 1) =>
  new nn.Conv2d(inChannels, outChannels, 1, { stride, bias: false })

/** Two 3×3 convolutions with a shortcut: `[N, inChannels, H, W]` to `[N, channels, H / stride, W / stride]`. */
export class BasicBlock extends nn.Module {
  static readonly expansion = 1
  conv1: nn.Conv2d
  bn1: nn.BatchNorm2d
  relu: nn.ReLU
  conv2: nn.Conv2d
  bn2: nn.BatchNorm2d
  downsample: nn.Sequential | null

  constructor(inChannels: number, channels: number, { stride, downsample }: BlockPlace) {
    super()
    this.conv1 = conv3x3(inChannels, channels, stride)
    this.bn1 = new nn.BatchNorm2d(channels)
    this.relu = new nn.ReLU()
    this.conv2 = conv3x3(channels, channels)
    this.bn2 = new nn.BatchNorm2d(channels)
    this.downsample = downsample
  }

  /** The batch norm before the shortcut is added. */
  get lastNorm(): nn.BatchNorm2d {
    return this.bn2
  }

  override forward(x: Tensor): Tensor {
    const inner = convNormActivation(this.conv1, this.bn1, this.relu, x)
    const shortcut = this.downsample ? this.downsample.forward(x) : x
    const out = convNormActivation(this.conv2, this.bn2, this.relu, inner, shortcut)
    if (this.children().every(isDiscreet)) {
      letGo(inner, out)
      if (shortcut !== x) letGo(shortcut, out)
    }
    return out
  }
}

/**
 * 1×1, 3×3 and 1×1 convolutions with a shortcut: `[N, inChannels, H, W]` to `[N, 4 · channels, H / stride, W / stride]`. The
 * stride is in the 3×3 convolution, as in torchvision ("ResNet v1.5"), not in the first as in the paper.
 */
export class Bottleneck extends nn.Module {
  static readonly expansion = 4
  conv1: nn.Conv2d
  bn1: nn.BatchNorm2d
  conv2: nn.Conv2d
  bn2: nn.BatchNorm2d
  conv3: nn.Conv2d
  bn3: nn.BatchNorm2d
  relu: nn.ReLU
  downsample: nn.Sequential | null

  constructor(
    inChannels: number,
    channels: number,
    { stride, downsample, groups, widthPerGroup }: BlockPlace,
  ) {
    super()
    const width = Math.floor((channels * widthPerGroup) / 64) * groups
    this.conv1 = conv1x1(inChannels, width)
    this.bn1 = new nn.BatchNorm2d(width)
    this.conv2 = conv3x3(width, width, stride, groups)
    this.bn2 = new nn.BatchNorm2d(width)
    this.conv3 = conv1x1(width, channels * Bottleneck.expansion)
    this.bn3 = new nn.BatchNorm2d(channels * Bottleneck.expansion)
    this.relu = new nn.ReLU()
    this.downsample = downsample
  }

  /** The batch norm before the shortcut is added. */
  get lastNorm(): nn.BatchNorm2d {
    return this.bn3
  }

  override forward(x: Tensor): Tensor {
    const narrow = convNormActivation(this.conv1, this.bn1, this.relu, x)
    const inner = convNormActivation(this.conv2, this.bn2, this.relu, narrow)
    const shortcut = this.downsample ? this.downsample.forward(x) : x
    const out = convNormActivation(this.conv3, this.bn3, this.relu, inner, shortcut)
    if (this.children().every(isDiscreet)) {
      letGo(narrow, inner)
      letGo(inner, out)
      if (shortcut !== x) letGo(shortcut, out)
    }
    return out
  }
}

/**
 * Deep residual network (He et al. 2015, https://arxiv.org/abs/1512.03385) for pictures `[N, 3, H, W]`, giving logits
 * `[N, numClasses]`. Names, shapes, starting values and the order of random draws are torchvision's: the same seed
 * gives the same weights.
 */
export class ResNet extends nn.Module {
  conv1: nn.Conv2d
  bn1: nn.BatchNorm2d
  relu: nn.ReLU
  maxpool: nn.MaxPool2d
  layer1: nn.Sequential
  layer2: nn.Sequential
  layer3: nn.Sequential
  layer4: nn.Sequential
  avgpool: nn.AdaptiveAvgPool2d
  fc: nn.Linear

  constructor(design: ResNetDesign, { numClasses = 1000, zeroInitResidual = false }: ResNetOptions = {}) {
    super()
    const { block, layers } = design
    const layer = (index: number, inChannels: number, stride: number) =>
      makeLayer(design, inChannels, 64 * 2 ** index, layers[index]!, stride)
    this.conv1 = new nn.Conv2d(3, 64, 7, { stride: 2, padding: 3, bias: false })
    this.bn1 = new nn.BatchNorm2d(64)
    this.relu = new nn.ReLU()
    this.maxpool = new nn.MaxPool2d(3, { stride: 2, padding: 1 })
    this.layer1 = layer(0, 64, 1)
    this.layer2 = layer(1, 64 * block.expansion, 2)
    this.layer3 = layer(2, 128 * block.expansion, 2)
    this.layer4 = layer(3, 256 * block.expansion, 2)
    this.avgpool = new nn.AdaptiveAvgPool2d(1)
    this.fc = new nn.Linear(512 * block.expansion, numClasses)

    for (const module of this.modules()) {
      if (module instanceof nn.Conv2d) {
        nn.init.kaimingNormal_(module.weight, { mode: 'fanOut', nonlinearity: 'relu' })
      } else if (zeroInitResidual && (module instanceof BasicBlock || module instanceof Bottleneck)) {
        nn.init.zeros_(module.lastNorm.weight!)
      }
    }
  }

  override forward(x: Tensor): Tensor {
    const { conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4, avgpool } = this
    const own = [conv1, bn1, relu].every(isDiscreet)
    x = convNormActivation(conv1, bn1, relu, x)
    x = passThrough([maxpool, layer1, layer2, layer3, layer4, avgpool], x, own)
    return this.fc.forward(x.flatten(1))
  }
}

markDiscreet(BasicBlock, Bottleneck, ResNet)

function makeLayer(
  { block: Block, groups = 1, widthPerGroup = 64 }: ResNetDesign,
  inChannels: number,
  channels: number,
  count: number,
  stride: number,
): nn.Sequential {
  const outChannels = channels * Block.expansion
  // Made before its block, as torchvision does: random draws come in this order.
  const downsample =
    stride !== 1 || inChannels !== outChannels
      ? new FusedSequential(conv1x1(inChannels, outChannels, stride), new nn.BatchNorm2d(outChannels))
      : null
  const blocks: nn.Module[] = [new Block(inChannels, channels, { stride, downsample, groups, widthPerGroup })]
  while (blocks.length < count) {
    blocks.push(new Block(outChannels, channels, { stride: 1, downsample: null, groups, widthPerGroup }))
  }
  return new nn.Sequential(...blocks)
}

/** The body ends before avgpool and fc; layers 3 and 4 form a group of their own, as in fastai. */
const resnet = (name: string, design: ResNetDesign) =>
  architecture<ResNetOptions, ResNet>({
    name,
    build: (options) => new ResNet(design, options),
    options: ['zeroInitResidual'],
    cut: (model) => model.avgpool,
    split: (model) => [model.layer3],
  })

/** ResNet-18: 11,689,512 parameters with 1000 classes. See {@link ResNet}. */
export const resnet18 = resnet('resnet18', { block: BasicBlock, layers: [2, 2, 2, 2] })

/** ResNet-34: 21,797,672 parameters with 1000 classes. */
export const resnet34 = resnet('resnet34', { block: BasicBlock, layers: [3, 4, 6, 3] })

/** ResNet-50: 25,557,032 parameters with 1000 classes. */
export const resnet50 = resnet('resnet50', { block: Bottleneck, layers: [3, 4, 6, 3] })

/** ResNet-101: 44,549,160 parameters with 1000 classes. */
export const resnet101 = resnet('resnet101', { block: Bottleneck, layers: [3, 4, 23, 3] })

/** ResNet-152: 60,192,808 parameters with 1000 classes. */
export const resnet152 = resnet('resnet152', { block: Bottleneck, layers: [3, 8, 36, 3] })

/** Wide ResNet-50-2 (Zagoruyko and Komodakis 2016): bottlenecks twice as wide inside; 68,883,240 parameters with 1000 classes. */
export const wideResnet50_2 = resnet('wideResnet50_2', {
  block: Bottleneck,
  layers: [3, 4, 6, 3],
  widthPerGroup: 128,
})

/** Wide ResNet-101-2: 126,886,696 parameters with 1000 classes. */
export const wideResnet101_2 = resnet('wideResnet101_2', {
  block: Bottleneck,
  layers: [3, 4, 23, 3],
  widthPerGroup: 128,
})

/** ResNeXt-50 32x4d (Xie et al. 2016): 3×3 convolutions in 32 groups; 25,028,904 parameters with 1000 classes. */
export const resnext50_32x4d = resnet('resnext50_32x4d', {
  block: Bottleneck,
  layers: [3, 4, 6, 3],
  groups: 32,
  widthPerGroup: 4,
})

/** ResNeXt-101 32x8d: 88,791,336 parameters with 1000 classes. */
export const resnext101_32x8d = resnet('resnext101_32x8d', {
  block: Bottleneck,
  layers: [3, 4, 23, 3],
  groups: 32,
  widthPerGroup: 8,
})
