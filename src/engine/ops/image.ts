import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'

/**
 * Bytes of pictures [N, C, H, W] (uint8) to floats: (byte / 255 - mean[c]) / std[c], in one pass, channels-last in
 * memory. Not differentiable.
 */
export function normalizeImages(bytes: Tensor, mean: readonly number[], std: readonly number[]): Tensor {
  return call('normalize_images', bytes, mean, std)
}

/**
 * Samples pictures of any sizes, which lie one after the other in `bytes` [B] (uint8, interleaved RGB), into a batch
 * [N, 3, height, width] (uint8, channels-last in memory): bilinearly, mirrored at the borders. Each row of `placements` [N, 16]
 * (float64) says where a picture's bytes begin; left, top, width and height of the part that is at hand; width and height of the
 * whole picture; and the homography, row by row, that takes places of the result to those of the whole picture, both counted
 * from the centre of the first pixel. Rows of `tables` [N, 256] (uint8) replace the values that bytes can have. Not
 * differentiable.
 */
export function warpPictures(
  bytes: Tensor,
  placements: Tensor,
  tables: Tensor | undefined,
  height: number,
  width: number,
): Tensor {
  return call('warp_pictures', bytes, placements, tables, height, width)
}
