import type { Tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import type { ImageStats } from './stats.ts'

export interface ShowImagesOptions {
  /** What the pictures were normalised with. Default: they run from 0 to 1, or are bytes. */
  stats?: ImageStats | undefined
  /** One for each picture. */
  titles?: readonly string[]
  /** One for each title. */
  titleColors?: readonly string[]
  /** Pictures in a row. */
  columns: number
  /** Show no more than this many. */
  count: number
}

/** A grid of the pictures of a batch, `[N, 3, H, W]`, as a figure that saves itself. */
export async function showImages(
  x: Tensor,
  { stats, titles, titleColors, columns, count }: ShowImagesOptions,
): Promise<Figure> {
  const [batch = 0, , height = 0, width = 0] = x.shape
  const shown = Math.min(batch, count)
  const data = await x.index(`0:${shown}`).permute(0, 2, 3, 1).data()
  const bytes = x.dtype === 'uint8' ? (data as Uint8Array) : denormalize(data as ArrayLike<number>, stats)
  const size = width * height * 3
  const images = Array.from({ length: shown }, (_, at) => ({
    data: bytes.subarray(at * size, (at + 1) * size),
    width,
    height,
    title: titles?.[at] ?? '',
    ...(titleColors?.[at] !== undefined && { titleColor: titleColors[at] }),
  }))
  // The drawing library is large: it is only loaded by those who look.
  const { imageGrid } = await import('../plot/index.ts')
  return imageGrid(images, { columns: Math.min(columns, shown) })
}

/** Bytes of interleaved, normalised values. Uint8ClampedArray rounds and keeps to 0 … 255. */
function denormalize(values: ArrayLike<number>, stats: ImageStats | undefined): Uint8Array {
  const { mean, std } = stats ?? { mean: [0, 0, 0], std: [1, 1, 1] }
  const bytes = new Uint8ClampedArray(values.length)
  for (let at = 0; at < values.length; at++) bytes[at] = (values[at]! * std[at % 3]! + mean[at % 3]!) * 255
  return new Uint8Array(bytes.buffer)
}
