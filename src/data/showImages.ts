import { ShapeError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import type { ImageStats } from './stats.ts'

/** Colours to lay over a picture of the same size. */
export interface PictureOverlay {
  /** Interleaved RGBA bytes; A says how much of the picture is hidden, up to 255. */
  data: Uint8Array | Uint8ClampedArray
  width: number
  height: number
}

export interface ShowImagesOptions {
  /** What the pictures were normalised with. Default: they run from 0 to 1, or are bytes. */
  stats?: ImageStats | undefined
  /** Stands above all. */
  title?: string
  /** One for each picture. */
  titles?: readonly string[]
  /** One for each title. */
  titleColors?: readonly string[]
  /** One for each picture. */
  overlays?: readonly (PictureOverlay | undefined)[]
  /** Pictures in a row. */
  columns: number
  /** Show no more than this many. */
  count: number
}

/**
 * A grid of the pictures of a batch, `[N, 3, H, W]` or grey ones `[N, 1, H, W]`, as a figure that saves itself.
 * @throws ShapeError for other numbers of channels
 */
export async function showImages(
  x: Tensor,
  { stats, title, titles, titleColors, overlays, columns, count }: ShowImagesOptions,
): Promise<Figure> {
  const [batch = 0, channels, height = 0, width = 0] = x.shape
  if (x.ndim !== 4 || (channels !== 3 && channels !== 1)) {
    throw new ShapeError(
      `pictures are [N, 3, H, W], or [N, 1, H, W] for grey ones; got a batch of shape [${x.shape.join(', ')}]`,
    )
  }
  const shown = Math.min(batch, count)
  const rgb = x.index(`0:${shown}`).expand(shown, 3, height, width)
  const data = await rgb.permute(0, 2, 3, 1).data()
  const bytes = x.dtype === 'uint8' ? (data as Uint8Array) : denormalize(data as ArrayLike<number>, stats)
  const size = width * height * 3
  const images = Array.from({ length: shown }, (_, at) => ({
    data: overlaid(bytes.subarray(at * size, (at + 1) * size), overlays?.[at]),
    width,
    height,
    title: titles?.[at] ?? '',
    ...(titleColors?.[at] !== undefined && { titleColor: titleColors[at] }),
  }))
  // The drawing library is large: it is only loaded by those who look.
  const { imageGrid } = await import('../plot/index.ts')
  return imageGrid(images, { columns: Math.min(columns, shown), ...(title !== undefined && { title }) })
}

/** @throws ShapeError if the overlay is of another size */
function overlaid(picture: Uint8Array, overlay: PictureOverlay | undefined): Uint8Array {
  if (!overlay) return picture
  const { data, width, height } = overlay
  if (4 * picture.length !== 3 * data.length || data.length !== 4 * width * height) {
    throw new ShapeError(
      `an overlay of ${width} by ${height} pixels and ${data.length} bytes does not fit a picture of ${picture.length / 3} pixels`,
    )
  }
  return picture.map((value, at) => {
    const pixel = 4 * Math.floor(at / 3)
    const share = data[pixel + 3]! / 255
    return Math.round(value * (1 - share) + data[pixel + (at % 3)]! * share)
  })
}

/** Bytes of interleaved, normalised values. Uint8ClampedArray rounds and keeps to 0 … 255. */
function denormalize(values: ArrayLike<number>, stats: ImageStats | undefined): Uint8Array {
  const { mean, std } = stats ?? { mean: [0, 0, 0], std: [1, 1, 1] }
  const bytes = new Uint8ClampedArray(values.length)
  for (let at = 0; at < values.length; at++) bytes[at] = (values[at]! * std[at % 3]! + mean[at % 3]!) * 255
  return new Uint8Array(bytes.buffer)
}
