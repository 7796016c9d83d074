import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'

/**
 * Bytes of pictures [N, C, H, W] (uint8) to floats: (byte / 255 - mean[c]) / std[c], in one pass, channels-last in
 * memory. Not differentiable.
 */
export function normalizeImages(bytes: Tensor, mean: readonly number[], std: readonly number[]): Tensor {
  return call('normalize_images', bytes, mean, std)
}
