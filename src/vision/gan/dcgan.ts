import type { Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'
import { positiveInteger, rejectUnknownOptions } from '../../nn/options.ts'
import { FusedSequential } from '../models/normActivation.ts'
import { halvingsTo4 } from './pictureSize.ts'

export interface DcganDiscriminatorOptions {
  /** Height and width of the pictures: 4 times a power of two. Default 64. */
  size?: number
  /** Channels of the pictures. Default 3. */
  channels?: number
  /** Channels of the layer next to the pictures; each layer further in has twice as many. Default 64. */
  features?: number
}

export interface DcganGeneratorOptions extends DcganDiscriminatorOptions {
  /** Numbers of noise that a picture is made of. Default 100. */
  latent?: number
}

/**
 * Generator of a DCGAN (Radford et al. 2016): noise `[N, latent, 1, 1]` to pictures `[N, channels, size, size]` in [-1, 1].
 * Layers and names in the state dict are those of PyTorch's DCGAN tutorial, whose weights it loads.
 */
export class DcganGenerator extends nn.Module {
  readonly latent: number
  readonly size: number
  readonly channels: number
  main: nn.Sequential

  constructor(options: DcganGeneratorOptions = {}) {
    super()
    const owner = 'dcganGenerator'
    rejectUnknownOptions(owner, options, ['size', 'channels', 'features', 'latent'])
    const { size = 64, channels = 3, features = 64, latent = 100 } = options
    positiveInteger(features, owner, 'features')
    this.latent = positiveInteger(latent, owner, 'latent')
    this.channels = positiveInteger(channels, owner, 'channels')
    this.size = size
    const halvings = halvingsTo4(owner, size)
    const layers: nn.Module[] = []
    let width = latent
    for (let i = 0; i < halvings; i++) {
      const next = features * 2 ** (halvings - 1 - i)
      const doubling = i === 0 ? { stride: 1, padding: 0 } : { stride: 2, padding: 1 }
      layers.push(
        new nn.ConvTranspose2d(width, next, { kernelSize: 4, ...doubling, bias: false }),
        new nn.BatchNorm2d(next),
        new nn.ReLU(),
      )
      width = next
    }
    layers.push(
      new nn.ConvTranspose2d(width, channels, { kernelSize: 4, stride: 2, padding: 1, bias: false }),
      new nn.Tanh(),
    )
    this.main = new FusedSequential(...layers)
  }

  override forward(noise: Tensor): Tensor {
    return this.main.forward(noise)
  }
}

/**
 * Discriminator of a DCGAN (Radford et al. 2016): pictures `[N, channels, size, size]` to the probability that each is real,
 * `[N, 1, 1, 1]`. Layers and names are those of PyTorch's DCGAN tutorial.
 */
export class DcganDiscriminator extends nn.Module {
  readonly size: number
  readonly channels: number
  main: nn.Sequential

  constructor(options: DcganDiscriminatorOptions = {}) {
    super()
    const owner = 'dcganDiscriminator'
    rejectUnknownOptions(owner, options, ['size', 'channels', 'features'])
    const { size = 64, channels = 3, features = 64 } = options
    positiveInteger(features, owner, 'features')
    this.channels = positiveInteger(channels, owner, 'channels')
    this.size = size
    const halvings = halvingsTo4(owner, size)
    const layers: nn.Module[] = []
    let width = channels
    for (let i = 0; i < halvings; i++) {
      const next = features * 2 ** i
      layers.push(new nn.Conv2d(width, next, { kernelSize: 4, stride: 2, padding: 1, bias: false }))
      if (i > 0) layers.push(new nn.BatchNorm2d(next))
      layers.push(new nn.LeakyReLU(0.2))
      width = next
    }
    layers.push(
      new nn.Conv2d(width, 1, { kernelSize: 4, stride: 1, padding: 0, bias: false }),
      new nn.Sigmoid(),
    )
    this.main = new nn.Sequential(...layers)
  }

  override forward(pictures: Tensor): Tensor {
    return this.main.forward(pictures)
  }
}

const convolutions = [nn.Conv2d, nn.ConvTranspose2d] as const

/**
 * Draws a DCGAN's starting weights: N(0, 0.02) for convolutions; N(1, 0.02) and 0 for batch norm, layer by layer in the
 * order of the network. Returns the network.
 */
export function initialiseDcgan<Network extends nn.Module>(network: Network): Network {
  return network.apply((layer) => {
    if (convolutions.some((type) => layer instanceof type)) {
      nn.init.normal_((layer as nn.Conv2d).weight, 0, 0.02)
    } else if (layer instanceof nn.BatchNorm2d && layer.weight && layer.bias) {
      nn.init.normal_(layer.weight, 1, 0.02)
      nn.init.zeros_(layer.bias)
    }
  })
}

/**
 * A {@link DcganGenerator} with a DCGAN's starting weights. Draws as PyTorch's tutorial does: each layer's ordinary weights
 * when it is made, then all anew by {@link initialiseDcgan}.
 * @throws ShapeError for a size that is not 4 times a power of two, ConfigError
 */
export function dcganGenerator(options: DcganGeneratorOptions = {}): DcganGenerator {
  return initialiseDcgan(new DcganGenerator(options))
}

/** A {@link DcganDiscriminator} with a DCGAN's starting weights, drawn as {@link dcganGenerator}'s. */
export function dcganDiscriminator(options: DcganDiscriminatorOptions = {}): DcganDiscriminator {
  return initialiseDcgan(new DcganDiscriminator(options))
}
