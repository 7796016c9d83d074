import { DataError } from '../engine/errors.ts'
import { type Tensor, tensor } from '../engine/index.ts'
import { warpPictures } from '../engine/ops/image.ts'
import { placementOf } from '../engine/pictures.ts'
import type { PixelSize } from './image/decodePlan.ts'
import {
  checkRgbImage,
  isRgbImage,
  isSampledPicture,
  type RgbImage,
  type SampledPicture,
} from './image/RgbImage.ts'
import { identityMatrix } from './image/warp.ts'

/** The pictures of a batch, before there are tensors. */
export type AssembledPictures =
  | { kind: 'images'; data: Uint8Array; shape: number[] }
  | {
      kind: 'sampled'
      data: Uint8Array
      placements: Float64Array
      tables: Uint8Array | undefined
      size: PixelSize
    }

/** How a picture of the batch is called in errors. */
type Describe = (position: number) => string

const PLACEMENT_SLOTS = 16

export const isPicture = (item: unknown): item is RgbImage | SampledPicture =>
  isRgbImage(item) || isSampledPicture(item)

/** Puts pictures together. @throws DataError unless they have one size, and as many bytes as it takes */
export function assemblePictures(
  pictures: readonly (RgbImage | SampledPicture)[],
  describe: Describe,
): AssembledPictures {
  for (const [at, picture] of pictures.entries())
    if (!isSampledPicture(picture)) checkRgbImage(picture, () => describe(at))
  if (pictures.some(isSampledPicture)) return assembleSampled(pictures.map(asSampled), describe)
  return assembleImages(pictures as readonly RgbImage[], describe)
}

/** `[N, 3, H, W]` bytes, channels-last in memory. */
export function toPictureTensor(batch: AssembledPictures, device?: string): Tensor {
  const on = device === undefined ? {} : { device }
  if (batch.kind === 'images') {
    // Interleaved bytes are channels-last already: only the order of the dimensions' names changes.
    return tensor(batch.data, { shape: batch.shape, dtype: 'uint8', ...on }).permute(0, 3, 1, 2)
  }
  const { data, placements, tables, size } = batch
  const bytes = tensor(data, { shape: [data.length], dtype: 'uint8', ...on })
  const count = placements.length / PLACEMENT_SLOTS
  const places = tensor(placements, { shape: [count, PLACEMENT_SLOTS], dtype: 'float64', ...on })
  const values = tables && tensor(tables, { shape: [count, 256], dtype: 'uint8', ...on })
  const sampled = warpPictures(bytes, places, values, size.height, size.width)
  for (const used of [bytes, places, values]) used?.dispose()
  return sampled
}

function assembleImages(images: readonly RgbImage[], describe: Describe): AssembledPictures {
  checkOneSize(images, describe)
  const { width, height, data: first } = images[0]!
  const shape = [images.length, height, width, 3]
  const size = width * height * 3
  // Pictures that were decoded into one place lie there side by side.
  const inPlace = images.every(
    ({ data }, at) => data.buffer === first.buffer && data.byteOffset === first.byteOffset + at * size,
  )
  if (inPlace) {
    return {
      kind: 'images',
      data: new Uint8Array(first.buffer, first.byteOffset, images.length * size),
      shape,
    }
  }
  const data = Buffer.allocUnsafeSlow(images.length * size)
  for (const [at, image] of images.entries()) data.set(image.data, at * size)
  return { kind: 'images', data, shape }
}

function checkOneSize(sizes: readonly PixelSize[], describe: Describe): void {
  const { width, height } = sizes[0]!
  const odd = sizes.findIndex((size) => size.width !== width || size.height !== height)
  if (odd < 0) return
  throw new DataError(
    `the pictures of a batch must have one size, but ${describe(0)} is ${width}x${height} and ${describe(odd)} is ${sizes[odd]!.width}x${sizes[odd]!.height}. Pass size, or a transform that fixes it, such as transforms.randomResizedCrop(224)`,
  )
}

/** A picture of which nothing is left to do, as one that is sampled at its own pixels. */
function asSampled(picture: RgbImage | SampledPicture): SampledPicture {
  if (isSampledPicture(picture)) return picture
  const { data: pixels, width, height } = picture
  const whole = { width, height }
  const part = { left: 0, top: 0, ...whole }
  return { sampling: { pixels, part, whole, matrix: identityMatrix, ...whole }, table: undefined }
}

/** Pictures of any sizes, with how each is sampled. */
function assembleSampled(pictures: readonly SampledPicture[], describe: Describe): AssembledPictures {
  const samplings = pictures.map(({ sampling }) => sampling)
  checkOneSize(samplings, describe)
  const { buffer } = samplings[0]!.pixels
  const inPlace = samplings.every(({ pixels }) => pixels.buffer === buffer)
  const lengths = samplings.map(({ pixels }) => pixels.length)
  const total = inPlace
    ? Math.max(...samplings.map(({ pixels }) => pixels.byteOffset + pixels.length))
    : lengths.reduce((sum, length) => sum + length, 0)
  const data = inPlace ? new Uint8Array(buffer, 0, total) : Buffer.allocUnsafeSlow(total)
  const placements = new Float64Array(pictures.length * PLACEMENT_SLOTS)
  let end = 0
  for (const [at, sampling] of samplings.entries()) {
    const offset = inPlace ? sampling.pixels.byteOffset : end
    placements.set(placementOf(sampling, offset), at * PLACEMENT_SLOTS)
    if (!inPlace) data.set(sampling.pixels, end)
    end += sampling.pixels.length
  }
  const changed = pictures.some(({ table }) => table)
  const tables = changed ? new Uint8Array(pictures.length * 256) : undefined
  for (const [at, { table }] of pictures.entries()) tables?.set(table ?? everyByte, at * 256)
  const { width, height } = samplings[0]!
  return { kind: 'sampled', data, placements, tables, size: { width, height } }
}

const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte)
