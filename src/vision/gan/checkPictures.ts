import { ShapeError } from '../../engine/errors.ts'
import type { Tensor } from '../../engine/index.ts'
import type { GANModule } from './GANModule.ts'

/** What a network says of the pictures that it is made for, as those of `dcganGenerator` do. */
interface MadeFor {
  readonly size?: unknown
  readonly channels?: unknown
}

/** @throws ShapeError if networks that know their pictures' size and channels are given others */
export function checkPictures(model: GANModule, pictures: Tensor): void {
  for (const network of [model.critic, model.generator] as MadeFor[]) {
    const { size, channels } = network
    if (typeof size !== 'number' || typeof channels !== 'number') continue
    const [, given, height, width] = pictures.shape
    if (given !== channels) {
      throw new ShapeError(
        `the pictures have ${given} channel(s) and the networks were made for ${channels}: make them with { channels: ${given} }, ` +
          `or bring pictures of ${channels}`,
      )
    }
    if (height !== size || width !== size) {
      throw new ShapeError(
        `the pictures are ${height} by ${width} and the networks were made for ${size} by ${size}: make them with ` +
          `{ size: ${Math.max(height ?? 0, width ?? 0)} }, or let the data resize to ${size}`,
      )
    }
  }
}
