import type { Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { isDiscreet, letGo, markDiscreet, passThrough } from '../../nn/passing.ts'
import { architecture, type ModelOptions } from './architecture.ts'
import { convNormActivation, FusedSequential } from './normActivation.ts'

/** A convolution and batch norm, whose scale starts at `scale`, and ReLU if wanted. */
function convNormReLU(
  inChannels: number,
  outChannels: number,
  kernelSize: number,
  { stride = 1, scale = 1, activation = true } = {},
): FusedSequential {
  const norm = new nn.BatchNorm2d(outChannels)
  nn.init.constant_(norm.weight!, scale)
  const padding = Math.floor(kernelSize / 2)
  const convolution = new nn.Conv2d(inChannels, outChannels, kernelSize, { stride, padding, bias: false })
  return activation
    ? new FusedSequential(convolution, norm, new nn.ReLU())
    : new FusedSequential(convolution, norm)
}

/** What tells one xResNet from another. */
interface XResNetDesign {
  /** Channels that come out of a block, in multiples of those inside. */
  expansion: 1 | 4
  layers: readonly [number, number, number, number]
}

/**
 * A residual block whose shortcut averages before it convolves, so that a stride drops no pixel, and whose last batch norm starts
 * at zero: `[N, expansion · inChannels, H, W]` to `[N, expansion · channels, H / stride, W / stride]`.
 */
export class XResBlock extends nn.Module {
  convs: FusedSequential
  idconv: FusedSequential | null
  pool: nn.AvgPool2d | null
  relu: nn.ReLU

  constructor(expansion: number, inChannels: number, channels: number, stride = 1) {
    super()
    const [before, after] = [inChannels * expansion, channels * expansion]
    const last = { scale: 0, activation: false }
    const layers =
      expansion === 1
        ? [convNormReLU(before, channels, 3, { stride }), convNormReLU(channels, after, 3, last)]
        : [
            convNormReLU(before, channels, 1),
            convNormReLU(channels, channels, 3, { stride }),
            convNormReLU(channels, after, 1, last),
          ]
    this.convs = new FusedSequential(...layers)
    this.idconv = before === after ? null : convNormReLU(before, after, 1, { activation: false })
    this.pool = stride === 1 ? null : new nn.AvgPool2d(stride, { ceilMode: true })
    this.relu = new nn.ReLU()
  }

  override forward(x: Tensor): Tensor {
    const ways = [this.pool, this.idconv].filter((module) => module !== null)
    const shortcut = passThrough(ways, x)
    const layers = [...this.convs] as FusedSequential[]
    const inner = passThrough(layers.slice(0, -1), x)
    const [convolution, norm] = layers.at(-1)!
    const out = convNormActivation(convolution!, norm!, this.relu, inner, shortcut)
    if (this.children().every(isDiscreet)) {
      letGo(inner, out)
      if (shortcut !== x) letGo(shortcut, out)
    }
    return out
  }
}

markDiscreet(XResBlock)

/** The modules in a row of {@link XResNet}, by their names in the state dict. */
function xresnetLayers({ expansion, layers }: XResNetDesign, numClasses: number): nn.Module[] {
  const inputs = [64 / expansion, 64, 128, 256]
  const blocks = layers.map((count, index) => {
    const channels = 64 * 2 ** index
    return new nn.Sequential(
      ...Array.from({ length: count }, (_, i) =>
        i === 0
          ? new XResBlock(expansion, inputs[index]!, channels, index === 0 ? 1 : 2)
          : new XResBlock(expansion, channels, channels),
      ),
    )
  })
  return [
    ...blocks,
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
    new nn.Linear(512 * expansion, numClasses),
  ]
}

/**
 * ResNet with the tricks of He et al. 2018 (https://arxiv.org/abs/1812.01187) for pictures `[N, 3, H, W]`, giving logits
 * `[N, numClasses]`: three small convolutions in the place of the first large one, averaging shortcuts, blocks that start as
 * identities. Names, starting values and the order of random draws are fastai's `xresnet`.
 */
export class XResNet extends nn.Sequential {
  constructor(design: XResNetDesign, { numClasses = 1000 }: ModelOptions = {}) {
    super(
      convNormReLU(3, 32, 3, { stride: 2 }),
      convNormReLU(32, 32, 3),
      convNormReLU(32, 64, 3),
      new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
      ...xresnetLayers(design, numClasses),
    )
    for (const module of this.modules()) {
      if (!(module instanceof nn.Conv2d || module instanceof nn.Linear)) continue
      if (module.bias) nn.init.zeros_(module.bias)
      nn.init.kaimingNormal_(module.weight)
    }
  }
}

/** The body ends before the average pooling; the last two layers form a group of their own. */
const xresnet = (name: string, design: XResNetDesign) =>
  architecture<ModelOptions, XResNet>({
    name,
    build: (options) => new XResNet(design, options),
    cut: (model) => model.at(8)!,
    split: (model) => [model.at(6)!],
  })

/** xResNet-18: 11,708,744 parameters with 1000 classes. See {@link XResNet}. */
export const xresnet18 = xresnet('xresnet18', { expansion: 1, layers: [2, 2, 2, 2] })

/** xResNet-34: 21,816,904 parameters with 1000 classes. */
export const xresnet34 = xresnet('xresnet34', { expansion: 1, layers: [3, 4, 6, 3] })

/** xResNet-50: 25,576,264 parameters with 1000 classes. */
export const xresnet50 = xresnet('xresnet50', { expansion: 4, layers: [3, 4, 6, 3] })

/** xResNet-101: 44,568,392 parameters with 1000 classes. */
export const xresnet101 = xresnet('xresnet101', { expansion: 4, layers: [3, 4, 23, 3] })

/** xResNet-152: 60,212,040 parameters with 1000 classes. */
export const xresnet152 = xresnet('xresnet152', { expansion: 4, layers: [3, 8, 36, 3] })
