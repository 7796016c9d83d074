// Networks that have no recipe yet, written from layers; networks.py holds their twins.
import { nn } from '../../src/index.ts'

/** 80 - 10 - 5 - 1. */
export const mlp = () =>
  new nn.Sequential(
    new nn.Linear(80, 10),
    new nn.ReLU(),
    new nn.Linear(10, 5),
    new nn.ReLU(),
    new nn.Linear(5, 1),
  )

/** Radford et al. (2016), for 64 x 64 pixels, 64 features. */
export function dcganGenerator(latent = 100, features = 64) {
  const layers: nn.Module[] = []
  let channels = latent
  for (const [i, width] of [8, 4, 2, 1].entries()) {
    const padding = i === 0 ? 0 : 1
    const stride = i === 0 ? 1 : 2
    layers.push(
      new nn.ConvTranspose2d(channels, width * features, { kernelSize: 4, stride, padding, bias: false }),
      new nn.BatchNorm2d(width * features),
      new nn.ReLU(),
    )
    channels = width * features
  }
  layers.push(
    new nn.ConvTranspose2d(channels, 3, { kernelSize: 4, stride: 2, padding: 1, bias: false }),
    new nn.Tanh(),
  )
  return new nn.Sequential(...layers)
}

export function dcganDiscriminator(features = 64) {
  const layers: nn.Module[] = []
  let channels = 3
  for (const [i, width] of [1, 2, 4, 8].entries()) {
    layers.push(
      new nn.Conv2d(channels, width * features, { kernelSize: 4, stride: 2, padding: 1, bias: false }),
    )
    if (i > 0) layers.push(new nn.BatchNorm2d(width * features))
    layers.push(new nn.LeakyReLU(0.2))
    channels = width * features
  }
  layers.push(
    new nn.Conv2d(channels, 1, { kernelSize: 4, stride: 1, padding: 0, bias: false }),
    new nn.Flatten(),
  )
  return new nn.Sequential(...layers)
}
