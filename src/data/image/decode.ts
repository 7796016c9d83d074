import type { Sharp } from 'sharp'
import { cropBytes, type Window } from './bytes.ts'
import { type DecodePlan, mirrorWindow, type PixelSize, resizeBeforeCut } from './decodePlan.ts'
import { DEFAULT_MAX_PIXELS } from './limits.ts'
import { type PictureStage, pictureError, readableName } from './pictureError.ts'
import type { RgbImage } from './RgbImage.ts'
import { resizeBytes } from './resample.ts'

/** A picture that is not decoded: the path of its file, or what the file holds, and the name to report it by. */
export interface EncodedPicture {
  readonly source: string | Uint8Array
  /** Default: the path. */
  readonly name?: string | undefined
}

/**
 * Width and height of the upright picture (EXIF orientation applied), read from its header.
 * @throws DataError that names the file.
 */
export async function readPictureSize(picture: EncodedPicture): Promise<PixelSize> {
  const open = await opener()
  return await withErrors(picture, 'header', async () => {
    const { autoOrient } = await open(picture).metadata()
    return { width: autoOrient.width, height: autoOrient.height }
  })
}

/**
 * Decodes a picture to upright RGB bytes and carries out `plan` in the same pass of libvips. Grey, palette, CMYK and 16-bit
 * pictures become 8-bit RGB, transparency is laid on white, of animations and multi-page files comes the first picture.
 * Colour profiles are ignored, as Pillow and torchvision do: it is what pretrained weights have seen.
 *
 * Reductions use libvips' linear kernel (triangle filter with antialias, as Pillow's BILINEAR); JPEG files are shrunk while
 * they are decoded if that leaves them at least twice as large as asked for, so that the filter still counts. Enlargements
 * use Pillow's bilinear filter.
 *
 * @throws DataError that names the file.
 */
export async function decodePicture(picture: EncodedPicture, plan: DecodePlan): Promise<RgbImage> {
  const { width, height, before, resize, after, flipX, flipY } = isJpeg(picture)
    ? resizeBeforeCut(plan)
    : plan
  const cut: PixelSize = before ?? { width, height }
  const size: PixelSize = resize ?? cut
  // libvips reduces well, but enlarges half a pixel off: each axis is resized where it fares better.
  const reduced = { width: Math.min(size.width, cut.width), height: Math.min(size.height, cut.height) }
  const enlarge = reduced.width !== size.width || reduced.height !== size.height
  const open = await opener()
  const decoded = await withErrors(picture, 'decode', async () => {
    const pipeline = open(picture).autoOrient().flatten({ background: '#ffffff' }).toColourspace('srgb')
    if (before) pipeline.extract(area(before))
    if (reduced.width !== cut.width || reduced.height !== cut.height) {
      pipeline.resize(reduced.width, reduced.height, {
        fit: 'fill',
        kernel: 'linear',
        fastShrinkOnLoad: false,
      })
    }
    if (!enlarge) {
      if (flipX) pipeline.flop()
      if (flipY) pipeline.flip()
      // sharp mirrors before it cuts for the second time.
      if (after) pipeline.extract(area(mirrorWindow(after, size, flipX, flipY)))
    }
    const { data, info } = await pipeline.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true })
    return { data, width: info.width, height: info.height }
  })
  return enlarge ? cutAndMirror(resizeBytes(decoded, size.width, size.height), after, flipX, flipY) : decoded
}

/** Carries out a plan on a picture that is decoded already. */
export function applyPlan(image: RgbImage, plan: DecodePlan): RgbImage {
  const { before, resize, after, flipX, flipY } = plan
  if (!resize) return cutAndMirror(image, before, flipX, flipY)
  const cut = before ? cropBytes(image, before) : image
  return cutAndMirror(resizeBytes(cut, resize.width, resize.height), after, flipX, flipY)
}

function cutAndMirror(image: RgbImage, window: Window | undefined, flipX: boolean, flipY: boolean): RgbImage {
  if (!window && !flipX && !flipY) return image
  const { left, top, width, height } = window ?? { left: 0, top: 0, width: image.width, height: image.height }
  return cropBytes(image, { left, top, width, height, flipX, flipY })
}

function area({ left, top, width, height }: Window) {
  return { left, top, width, height }
}

function isJpeg({ source }: EncodedPicture): boolean {
  return typeof source === 'string'
    ? /\.(jpe?g|jfif)$/i.test(source)
    : source[0] === 0xff && source[1] === 0xd8
}

/** Loads sharp with the first picture: programs that read none shall not wait for libvips when they start. */
async function opener(): Promise<(picture: EncodedPicture) => Sharp> {
  const { default: sharp } = await import('sharp')
  return ({ source }) =>
    sharp(source, { failOn: 'error', ignoreIcc: true, limitInputPixels: DEFAULT_MAX_PIXELS, pages: 1 })
}

async function withErrors<T>(
  { source, name }: EncodedPicture,
  stage: PictureStage,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const known = name ?? (typeof source === 'string' ? readableName(source) : 'the picture')
    throw await pictureError(known, source, stage, error)
  }
}
