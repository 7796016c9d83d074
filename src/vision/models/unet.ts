import { ConfigError } from '../../engine/errors.ts'
import { cat, noGrad, scope, type Tensor, zeros } from '../../engine/index.ts'
import {
  buildModel,
  describeAs,
  type ModelDescription,
  notedDescription,
  registerModelKind,
} from '../../learner/modelDescription.ts'
import { count, listOf } from '../../learner/stateChecks.ts'
import * as nn from '../../nn/index.ts'
import { convLayer, type NormType } from './convLayer.ts'
import { FusedSequential, normActivation } from './normActivation.ts'
import {
  JoinPicture,
  PixelShuffleICNR,
  ResidualBlock,
  ResizeLike,
  resizeLike,
  SigmoidRange,
} from './unetLayers.ts'

/** How a {@link DynamicUnet} is built. */
export interface UnetOptions {
  /** Smooths what each step up gives, against checkerboard patterns (Sugawara et al. 2018). Default false. */
  blur?: boolean
  /** With `blur`, smooths the last step up too. Default true. */
  blurFinal?: boolean
  /** Self-attention in the step up that is third from the last. Default false. */
  selfAttention?: boolean
  /** Range that a sigmoid squeezes the outputs into; for regression of pictures. Default: none. */
  yRange?: readonly [low: number, high: number]
  /** Joins the picture itself to the last feature maps, with a residual block behind. Default true. */
  lastCross?: boolean
  /** Makes that residual block half as wide inside. Default false. */
  bottleneck?: boolean
  /** How the convolutions of the decoder are normalised; null for not at all. Default null. */
  norm?: NormType | null
}

/** Height and width in pixels. */
export type PictureSize = readonly [height: number, width: number]

/** A step of the decoder: twice the size and half the channels, joined to what the body had at that size. */
class UnetBlock extends nn.Module<[up: Tensor, kept: Tensor]> {
  readonly outChannels: number
  shuf: PixelShuffleICNR
  bn: nn.BatchNorm2d
  conv1: nn.Sequential
  conv2: nn.Sequential
  relu: nn.ReLU

  constructor(
    upChannels: number,
    keptChannels: number,
    options: { final: boolean; blur: boolean; selfAttention: boolean; norm: NormType | null },
  ) {
    super()
    const { final, blur, selfAttention, norm } = options
    const half = Math.floor(upChannels / 2)
    const joined = half + keptChannels
    this.outChannels = final ? Math.floor(joined / 2) : joined
    this.shuf = new PixelShuffleICNR(upChannels, half, { norm, blur })
    this.bn = decoderNorm(keptChannels)
    this.conv1 = convLayer(joined, this.outChannels, { norm })
    this.conv2 = convLayer(this.outChannels, this.outChannels, { norm, selfAttention })
    this.relu = new nn.ReLU()
  }

  override forward(up: Tensor, kept: Tensor): Tensor {
    const grown = resizeLike(this.shuf.forward(up), kept)
    const joined = this.relu.forward(cat([grown, this.bn.forward(kept)], 1))
    return this.conv2.forward(this.conv1.forward(joined))
  }
}

/**
 * A U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597) on whatever body: pictures `[N, C, H, W]` to
 * `[N, outputs, H, W]`. Wherever the size of the body's feature maps changes, what it had before is kept and joined to the
 * decoder at the same size; the decoder grows by pixel shuffle. `size` is what pictures will have; others work as well.
 *
 * Source: fastai, `DynamicUnet`, whose names in the state dict it has.
 */
export class DynamicUnet extends nn.Module {
  layers: nn.ModuleList

  /** The body's layers, parted where the size changes. */
  readonly #stages: readonly FusedSequential[]
  readonly #norm: nn.BatchNorm2d
  readonly #relu: nn.ReLU
  readonly #middle: nn.Sequential
  readonly #blocks: readonly UnetBlock[]
  readonly #grow: PixelShuffleICNR | null
  readonly #join: JoinPicture | null
  readonly #tail: readonly nn.Module[]

  /** @throws ConfigError if the body cannot be run on pictures of that size, or an option is wrong */
  constructor(
    body: nn.Sequential,
    outputs: number,
    size: PictureSize,
    options: UnetOptions = {},
    /** @internal Shapes that the body's layers make, one after the other. Default: the body is run to find them. */
    known?: readonly (readonly number[])[],
  ) {
    super()
    checkOptions(options)
    const layerShapes = known ?? shapesOf(body, size)
    const { blur = false, blurFinal = true, selfAttention = false, yRange } = options
    const { lastCross = true, bottleneck = false, norm = null } = options
    const { inChannels } = firstConvolution(body)
    const { stages, shapes, firstSize } = partBody(body, layerShapes)
    this.#stages = stages

    let channels = shapes.at(-1)![1]!
    this.#norm = decoderNorm(channels)
    this.#relu = new nn.ReLU()
    this.#middle = new nn.Sequential(
      convLayer(channels, 2 * channels, { norm }),
      convLayer(2 * channels, channels, { norm }),
    )
    const kept = shapes.slice(0, -1).reverse()
    this.#blocks = kept.map(([, keptChannels], i) => {
      const final = i === kept.length - 1
      const block = new UnetBlock(channels, keptChannels!, {
        final,
        blur: blur && (!final || blurFinal),
        selfAttention: selfAttention && i === kept.length - 3,
        norm,
      })
      channels = block.outChannels
      return block
    })
    this.#grow = sameSize(firstSize, size) ? null : new PixelShuffleICNR(channels, channels, { norm })
    this.#join = lastCross ? new JoinPicture() : null
    if (lastCross) channels += inChannels
    const tail: nn.Module[] = lastCross ? [new ResidualBlock(channels, { bottleneck, norm })] : []
    tail.push(convLayer(channels, outputs, { kernelSize: 1, activation: false, norm }))
    if (yRange) tail.push(new SigmoidRange(...yRange))
    this.#tail = tail

    // fastai has a layer that resizes where doubling the last feature maps does not give the picture's size.
    const [, , height, width] = shapes.at(kept.length > 0 ? 0 : -1)!
    const resizes = !sameSize([2 * height!, 2 * width!], size)
    this.layers = new nn.ModuleList<nn.Module>([
      body,
      this.#norm,
      this.#relu,
      this.#middle,
      ...(this.#blocks as unknown as nn.Module[]),
      ...(this.#grow ? [this.#grow] : []),
      ...(resizes ? [new ResizeLike() as unknown as nn.Module] : []),
      ...(this.#join ? [this.#join as unknown as nn.Module] : []),
      ...tail,
    ])
    const described = notedDescription(body)
    if (described)
      describeAs(this, { kind: 'unet', body: described, outputs, size: [...size], options, layerShapes })
  }

  override forward(x: Tensor): Tensor {
    const kept: Tensor[] = []
    let h = x
    for (const stage of this.#stages) {
      h = stage.forward(h)
      kept.push(h)
    }
    kept.pop()
    h = this.#middle.forward(normActivation(this.#norm, this.#relu, h))
    for (const block of this.#blocks) h = block.forward(h, kept.pop()!)
    if (this.#grow) h = this.#grow.forward(h)
    h = resizeLike(h, x)
    if (this.#join) h = this.#join.forward(h, x)
    for (const layer of this.#tail) h = layer.forward(h)
    return h
  }
}

registerModelKind<
  ModelDescription & {
    body: ModelDescription
    outputs: number
    size: PictureSize
    options: UnetOptions
    layerShapes: number[][]
  }
>('unet', ({ body, outputs, size, options, layerShapes }) => {
  // Running the body to find them takes time and memory by the size that a file claims.
  listOf(listOf(count(), 4))(layerShapes, 'layerShapes')
  return new DynamicUnet(buildModel(body) as nn.Sequential, outputs, size, options, layerShapes)
})

/** Batch norm as fastai starts it in decoders. */
function decoderNorm(channels: number): nn.BatchNorm2d {
  const norm = new nn.BatchNorm2d(channels)
  nn.init.constant_(norm.bias!, 1e-3)
  return norm
}

const sameSize = (a: readonly (number | undefined)[], b: readonly (number | undefined)[]) =>
  a.at(-2) === b.at(-2) && a.at(-1) === b.at(-1)

/** The layers of a body in a row: bodies that are one Sequential inside another (VGG, DenseNet, …) are looked into. */
function layersInRow(body: nn.Sequential): nn.Module[] {
  const layers = [...body]
  const [only] = layers
  const plain = only && (only.forward === nn.Sequential.prototype.forward || only instanceof FusedSequential)
  return layers.length === 1 && plain ? layersInRow(only as nn.Sequential) : layers
}

/** Runs the body on an empty picture. */
function shapesOf(body: nn.Sequential, size: PictureSize): number[][] {
  const { inChannels } = firstConvolution(body)
  const modes = body.modules().map((module) => [module, module.training] as const)
  const device = body.parameters()[0]?.device
  try {
    body.eval()
    return noGrad(() =>
      scope(() => {
        let x = zeros([1, inChannels, ...size], { device })
        return layersInRow(body).map((layer) => {
          x = layer.forward(x)
          return [...x.shape]
        })
      }),
    )
  } finally {
    for (const [module, training] of modes) module.training = training
  }
}

/** Parts the body behind each layer that the next one changes the size of. */
function partBody(
  body: nn.Sequential,
  outputs: readonly (readonly number[])[],
): { stages: FusedSequential[]; shapes: readonly (readonly number[])[]; firstSize: readonly number[] } {
  const layers = layersInRow(body)
  if (outputs.length !== layers.length) {
    throw new ConfigError(`a body of ${layers.length} layers makes as many shapes, got ${outputs.length}`)
  }
  const flat = outputs.find((shape) => shape.length !== 4)
  if (flat) {
    throw new ConfigError(
      `a U-Net needs a body that makes feature maps [N, C, H, W]; this one makes [${flat.join(', ')}]. Cut it earlier`,
    )
  }
  const ends = [...outputs.keys()].filter((i) => !outputs[i + 1] || !sameSize(outputs[i]!, outputs[i + 1]!))
  const stages = ends.map((end, i) => new FusedSequential(...layers.slice((ends[i - 1] ?? -1) + 1, end + 1)))
  return { stages, shapes: ends.map((end) => outputs[end]!), firstSize: outputs[0]!.slice(-2) }
}

function firstConvolution(body: nn.Module): nn.Conv2d {
  const found = body.modules().find((module) => module instanceof nn.Conv2d)
  if (found) return found
  throw new ConfigError('a U-Net needs a body with convolutions, and this one has none')
}

const optionNames = [
  'blur',
  'blurFinal',
  'selfAttention',
  'yRange',
  'lastCross',
  'bottleneck',
  'norm',
] as const satisfies readonly (keyof UnetOptions)[]

function checkOptions(options: UnetOptions): void {
  const unknown = Object.keys(options).filter((key) => !(optionNames as readonly string[]).includes(key))
  if (unknown.length > 0) {
    throw new ConfigError(
      `DynamicUnet: unknown option ${unknown.join(', ')}; the options are ${optionNames.join(', ')}`,
    )
  }
}
