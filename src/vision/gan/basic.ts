import { ConfigError } from '../../engine/errors.ts'
import type { Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { positiveInteger, rejectUnknownOptions } from '../../nn/options.ts'
import { halvingsTo4 } from './pictureSize.ts'

/** What stands after each convolution of a critic but the first and the last. */
export type CriticNorm = 'batch' | 'layer' | 'none'

export interface BasicNetworkOptions {
  /** Channels of the layer next to the pictures; each layer further in has twice as many. Default 64. */
  features?: number
  /** Layers of 3 by 3 at the largest size but the pictures' own. Default 0. */
  extraLayers?: number
}

export interface BasicGeneratorOptions extends BasicNetworkOptions {
  /** Numbers of noise that a picture is made of. Default 100. */
  latent?: number
}

export interface BasicCriticOptions extends BasicNetworkOptions {
  /**
   * Default 'batch', as in fastai. With a gradient penalty, which is each picture's own, take 'layer' (over channels and
   * places of each picture; Gulrajani et al. 2017) or 'none'.
   */
  norm?: CriticNorm
}

/** The sizes at which the pictures come out, and their channels. */
interface Pictures {
  size: number
  channels: number
}

type WithPictures<Options> = Options & Partial<Pictures>

// f(64, 3, options), as fastai has it, or f({ size: 64, channels: 3, …options }).
function given<Options extends object>(
  size: number | WithPictures<Options>,
  channels: number,
  options: Options,
): Pictures & Options {
  if (typeof size === 'number') return { ...options, size, channels }
  return { size: 64, channels: 3, ...(size as Options) }
}

const kaiming = <Layer extends nn.Conv2d | nn.ConvTranspose2d>(layer: Layer): Layer => {
  nn.init.kaimingNormal_(layer.weight)
  if (layer.bias) nn.init.zeros_(layer.bias)
  return layer
}

/** Generator of noise `[N, latent, 1, 1]` to pictures `[N, channels, size, size]` in [-1, 1]. */
export class BasicGenerator extends nn.Sequential {
  /** Numbers of noise that a picture is made of; not a field that is searched for modules. */
  readonly latent: number

  constructor(latent: number, layers: readonly nn.Module[]) {
    super(...layers)
    this.latent = latent
  }
}

/**
 * fastai's `basic_generator`: transposed convolutions from 4 by 4 on, each doubling the size at half the channels, a ReLU and
 * then batch norm behind each; tanh at the end. A size between powers of two is rounded up to the next (28 gives pictures of 32).
 *
 * @example basicGenerator(64, 3, { extraLayers: 1 })
 * @throws ShapeError, ConfigError
 */
export function basicGenerator(
  size: number | WithPictures<BasicGeneratorOptions> = 64,
  channels = 3,
  options: BasicGeneratorOptions = {},
): BasicGenerator {
  const owner = 'basicGenerator'
  const all = given(size, channels, options)
  rejectUnknownOptions(owner, all, ['size', 'channels', 'latent', 'features', 'extraLayers'])
  const { latent = 100, features = 64, extraLayers = 0 } = all
  checkCounts(owner, { latent, features, channels: all.channels }, extraLayers)
  const rounded = all.size > 8 ? 2 ** Math.ceil(Math.log2(all.size)) : all.size
  const halvings = halvingsTo4(owner, rounded)
  const block = (from: number, to: number, kernelSize: number, stride: number, padding: number) => [
    kaiming(new nn.ConvTranspose2d(from, to, { kernelSize, stride, padding, bias: false })),
    new nn.ReLU(),
    new nn.BatchNorm2d(to),
  ]
  let width = (features / 2) * 2 ** halvings
  const layers: nn.Module[] = block(latent, width, 4, 1, 0)
  for (let i = 1; i < halvings; i++) {
    layers.push(...block(width, width / 2, 4, 2, 1))
    width /= 2
  }
  for (let i = 0; i < extraLayers; i++) layers.push(...block(width, width, 3, 1, 1))
  layers.push(
    new nn.ConvTranspose2d(width, all.channels, { kernelSize: 4, stride: 2, padding: 1, bias: false }),
    new nn.Tanh(),
  )
  return new BasicGenerator(latent, layers)
}

/** The mean over everything, as one score `[1]`. */
class MeanScore extends nn.Module {
  override forward(x: Tensor): Tensor {
    return x.mean().reshape([1])
  }
}

function normOf(norm: CriticNorm, channels: number): nn.Module[] {
  if (norm === 'batch') return [new nn.BatchNorm2d(channels)]
  return norm === 'layer' ? [new nn.GroupNorm(1, channels)] : []
}

/**
 * fastai's `basic_critic`: convolutions that halve the pictures down to 4 by 4 at ever twice the channels, leaky ReLUs, and one score
 * for the whole batch, `[1]`.
 *
 * @example basicCritic(64, 3, { extraLayers: 1 })
 * @throws ShapeError for a size that is not 4 times a power of two, ConfigError
 */
export function basicCritic(
  size: number | WithPictures<BasicCriticOptions> = 64,
  channels = 3,
  options: BasicCriticOptions = {},
): nn.Sequential {
  const owner = 'basicCritic'
  const all = given(size, channels, options)
  rejectUnknownOptions(owner, all, ['size', 'channels', 'features', 'extraLayers', 'norm'])
  const { features = 64, extraLayers = 0, norm = 'batch' } = all
  if (!['batch', 'layer', 'none'].includes(norm)) {
    throw new ConfigError(`${owner}: norm must be 'batch', 'layer' or 'none', got ${String(norm)}`)
  }
  checkCounts(owner, { features, channels: all.channels }, extraLayers)
  const halvings = halvingsTo4(owner, all.size)
  const block = (from: number, to: number, kernelSize: number, stride: number) => [
    kaiming(new nn.Conv2d(from, to, { kernelSize, stride, padding: 1, bias: norm === 'none' })),
    new nn.LeakyReLU(0.2),
    ...normOf(norm, to),
  ]
  const layers: nn.Module[] = [
    kaiming(new nn.Conv2d(all.channels, features, { kernelSize: 4, stride: 2, padding: 1 })),
    new nn.LeakyReLU(0.2),
  ]
  for (let i = 0; i < extraLayers; i++) layers.push(...block(features, features, 3, 1))
  let width = features
  for (let i = 1; i < halvings; i++) {
    layers.push(...block(width, 2 * width, 4, 2))
    width *= 2
  }
  const score = kaiming(new nn.Conv2d(width, 1, { kernelSize: 4, stride: 1, padding: 0, bias: false }))
  layers.push(score, new MeanScore())
  return new nn.Sequential(...layers)
}

function checkCounts(owner: string, counts: Record<string, number>, extraLayers: number): void {
  for (const [name, count] of Object.entries(counts)) positiveInteger(count, owner, name)
  if (extraLayers !== 0) positiveInteger(extraLayers, owner, 'extraLayers')
  if (counts.features! % 2 !== 0) {
    throw new ConfigError(`${owner}: features must be even, got ${counts.features}`)
  }
}
