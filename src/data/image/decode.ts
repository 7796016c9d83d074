import type { Sharp } from 'sharp'
import { DataError } from '../../engine/errors.ts'
import {
  decodeJpeg,
  hasJpegDecoder,
  jpegDecoderName,
  jpegSize,
  type ResamplePlan,
  resamplePixels,
  resamplePixelsAhead,
} from '../../engine/pictures.ts'
import { versionOf } from '../../packageFolder.ts'
import type { Window } from './bytes.ts'
import { type InkDepth, inksToRgb } from './cmyk.ts'
import { type DecodePlan, emptyPlan, type PixelSize } from './decodePlan.ts'
import { DEFAULT_MAX_PIXELS } from './limits.ts'
import {
  type PictureStage,
  pictureError,
  plainFileSize,
  readableName,
  tooLargeError,
} from './pictureError.ts'
import type { Decoding, RgbImage } from './RgbImage.ts'

/** A picture that is not decoded: the path of its file, or what the file holds, and the name to report it by. */
export interface EncodedPicture {
  readonly source: string | Uint8Array
  /** Default: the path. */
  readonly name?: string | undefined
  /** Of a picture in cyan, magenta, yellow and black, as `readPictureHeader` finds it. */
  readonly inks?: InkDepth | undefined
}

/** What a picture's header tells: the size of the upright picture, and whether it is in printing inks. */
export interface PictureHeader extends PixelSize {
  inks?: InkDepth | undefined
}

/** Tests take libjpeg-turbo away, to see what machines see that lack it. */
export const jpegDecoder = {
  allowed: true,
  get usable(): boolean {
    return this.allowed && hasJpegDecoder()
  },
}

/** What decodes pictures here, with versions: others may come to other bytes. */
export function decoderNames(): string[] {
  sharpVersion ??= versionOf('sharp')
  const jpeg = jpegDecoder.usable ? jpegDecoderName() : undefined
  return [`sharp ${sharpVersion}`, ...(jpeg === undefined ? [] : [jpeg])]
}

let sharpVersion: string | undefined

/**
 * Width and height of the upright picture (EXIF orientation applied), and its inks, if it is in such.
 * @throws DataError that names the file.
 */
export async function readPictureHeader(
  picture: EncodedPicture,
  decoding?: Decoding,
): Promise<PictureHeader> {
  const known = jpegDecoder.usable ? await jpegSize(picture.source, decoding?.lane) : undefined
  if (known) return known
  const open = await opener()
  return await inTurn(decoding, () =>
    withErrors(picture, 'header', async () => {
      const { autoOrient, space, depth } = await open(picture).metadata()
      const { width, height } = autoOrient
      return space === 'cmyk' ? { width, height, inks: depth === 'ushort' ? 16 : 8 } : { width, height }
    }),
  )
}

function inTurn<T>(decoding: Decoding | undefined, work: () => Promise<T>): Promise<T> {
  return decoding ? decoding.pool.run(work) : work()
}

/**
 * Decodes a picture to upright RGB bytes and carries out `plan` in the same pass. Grey, palette, CMYK and 16-bit pictures
 * become 8-bit RGB, transparency is laid on white, of animations and multi-page files comes the first picture. Colour
 * profiles are ignored, as Pillow and torchvision do, and CMYK is converted by Pillow's formula: it is what pretrained
 * weights have seen.
 *
 * JPEG files are decoded by libjpeg-turbo where the engine has found it, all others, and what it declines, by sharp. What is
 * resized is resized by Pillow's bilinear filter (triangle with antialias). Where much is lost, pictures are shrunk before,
 * while they are decoded if that can be, but never below twice the size that is asked for, so that the filter still
 * counts; Pillow calls that a reducing gap of 2.
 *
 * The bytes are put where `room` says, if it has room for them.
 * @throws DataError that names the file.
 */
export async function decodePicture(
  picture: EncodedPicture,
  plan: DecodePlan,
  room?: (bytes: number) => Uint8Array | undefined,
  decoding?: Decoding,
): Promise<RgbImage> {
  const whole = toResamplePlan(plan)
  const { width, height } = whole.window
  if (width * height > DEFAULT_MAX_PIXELS) throw tooLargeError(nameOf(picture), width, height)
  const into = room?.(width * height * 3)
  const tried = jpegDecoder.usable && !picture.inks
  const data = tried ? await decodeJpeg(picture.source, whole, into, decoding?.lane) : undefined
  return data ? { data, width, height } : await inTurn(decoding, () => decodeBySharp(picture, whole, into))
}

/**
 * Decodes a picture whose values are numbers, such as classes: those of files with more than 8 bits as they stand, where
 * `decodePicture` would keep the upper half of each, or cut them off.
 * @throws DataError that names the file, for colours and for values that are not whole numbers from 0 to 255 too
 */
export async function decodeNumbers(picture: EncodedPicture): Promise<RgbImage> {
  const open = await opener()
  const { depth, space } = await withErrors(picture, 'header', () => open(picture).metadata())
  const image = depth === 'uchar' ? await decodeWhole(picture) : await decodeWide(picture, space, depth)
  const { data } = image
  for (let at = 0; at < data.length; at += 3) {
    if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) {
      throw new DataError(
        `${nameOf(picture)}: a mask's grey values are its classes, but this picture has colours: save the classes as 8-bit grey ` +
          '(of a picture with a palette, the indices)',
      )
    }
  }
  return image
}

async function decodeWide(picture: EncodedPicture, space: string, depth: string): Promise<RgbImage> {
  const open = await opener()
  // Of the numbers below 0 that 16 bits can hold sharp makes 0.
  const stats =
    depth === 'short' ? await withErrors(picture, 'decode', () => open(picture).stats()) : undefined
  const negative = stats?.channels.find(({ min }) => min < 0)
  if (negative) throw noClass(picture, negative.min)
  const { data, info } = await withErrors(picture, 'decode', () =>
    open(picture)
      .autoOrient()
      .toColourspace(space)
      .raw({ depth: depth === 'ushort' ? 'ushort' : 'double' })
      .toBuffer({ resolveWithObject: true }),
  )
  const { width, height, channels } = info
  const { buffer, byteOffset, length } = data
  const values =
    depth === 'ushort'
      ? new Uint16Array(buffer, byteOffset, length / 2)
      : new Float64Array(buffer, byteOffset, length / 8)
  const rgb = new Uint8Array(width * height * 3)
  for (let at = 0; at < rgb.length; at++) {
    const value = values[Math.floor(at / 3) * channels + (channels < 3 ? 0 : at % 3)]!
    if (!(Number.isInteger(value) && value >= 0 && value <= 255)) throw noClass(picture, value)
    rgb[at] = value
  }
  return { data: rgb, width, height }
}

function noClass(picture: EncodedPicture, value: number): DataError {
  return new DataError(
    `${nameOf(picture)}: a mask holds the value ${value}, but classes are whole numbers from 0 to 255`,
  )
}

async function decodeWhole(picture: EncodedPicture): Promise<RgbImage> {
  const { inks, ...size } = await readPictureHeader(picture)
  return decodePicture({ ...picture, inks }, emptyPlan(size))
}

/** Carries out a plan on a picture that is decoded already. */
export function applyPlan(image: RgbImage, plan: DecodePlan): RgbImage {
  const { before, resize, after, flipX, flipY } = plan
  if (!resize && !before && !after && !flipX && !flipY) return image
  const whole = toResamplePlan(plan)
  const { width, height } = whole.window
  return { data: resamplePixels(image.data, whole), width, height }
}

function toResamplePlan({ width, height, before, resize, after, flipX, flipY }: DecodePlan): ResamplePlan {
  const box = before ?? { left: 0, top: 0, width, height }
  const target = resize ?? { width: box.width, height: box.height }
  return { width, height, box, target, window: after ?? { left: 0, top: 0, ...target }, flipX, flipY }
}

async function decodeBySharp(
  picture: EncodedPicture,
  plan: ResamplePlan,
  into?: Uint8Array,
): Promise<RgbImage> {
  const { box, window } = plan
  const open = await opener()
  const { data, rest } = await withErrors(picture, 'decode', async () => {
    const pipeline = open(picture).autoOrient()
    // Mixed inks are other colours than mixed lights.
    const rest = picture.inks ? cutBySharp(pipeline, plan) : shrinkBySharp(pipeline, plan)
    const { data, info } = await (picture.inks
      ? rawInks(pipeline, picture.inks)
      : pipeline
          .flatten({ background: '#ffffff' })
          .toColourspace('srgb')
          .raw({ depth: 'uchar' })
          .toBuffer({ resolveWithObject: true }))
    if (info.width === rest.width && info.height === rest.height) return { data, rest }
    throw new Error(`the file has ${plan.width}x${plan.height} pixels at first, and others later`)
  })
  const isDone = window.width === rest.width && window.height === rest.height && !rest.flipX && !rest.flipY
  const { width, height } = window
  if (isDone && box.width === plan.target.width && box.height === plan.target.height)
    return { data, width, height }
  return { data: await resamplePixelsAhead(data, rest, into), width, height }
}

/** Left to itself, sharp would convert CMYK by a press's profile. */
async function rawInks(pipeline: Sharp, inks: InkDepth) {
  const { data, info } = await pipeline
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw({ depth: inks === 16 ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true })
  const values = inks === 16 ? new Uint16Array(data.buffer, data.byteOffset, data.length / 2) : data
  return { data: inksToRgb(values, info.channels), info }
}

/** Has sharp cut. What comes is what is left to do. */
function cutBySharp(pipeline: Sharp, plan: ResamplePlan): ResamplePlan {
  const { width, height, box } = plan
  if (box.width < width || box.height < height) pipeline.extract(area(box))
  const size = { width: box.width, height: box.height }
  return { ...plan, ...size, box: { left: 0, top: 0, ...size } }
}

/** Has sharp cut and shrink as far as that does no harm. What comes is what is left to do. */
function shrinkBySharp(pipeline: Sharp, plan: ResamplePlan): ResamplePlan {
  const { box, target } = plan
  const spare = Math.min(box.width / target.width, box.height / target.height) / 2
  cutBySharp(pipeline, plan)
  const by = Math.max(1, Math.floor(spare))
  const size = { width: Math.ceil(box.width / by), height: Math.ceil(box.height / by) }
  if (by > 1) pipeline.resize(size.width, size.height, { fit: 'fill', kernel: 'linear' })
  return { ...plan, ...size, box: { left: 0, top: 0, ...size } }
}

function area({ left, top, width, height }: Window) {
  return { left, top, width, height }
}

/** Loads sharp with the first picture: programs that read none shall not wait for libvips when they start. */
async function opener(): Promise<(picture: EncodedPicture) => Sharp> {
  const { default: sharp } = await import('sharp')
  return ({ source }) =>
    sharp(source, { failOn: 'error', ignoreIcc: true, limitInputPixels: DEFAULT_MAX_PIXELS, pages: 1 })
}

export function nameOf({ source, name }: EncodedPicture): string {
  return name ?? (typeof source === 'string' ? readableName(source) : 'the picture')
}

async function withErrors<T>(
  { source, name }: EncodedPicture,
  stage: PictureStage,
  work: () => Promise<T>,
): Promise<T> {
  try {
    // The engine's own reader has looked already; sharp would wait. Headers come first, and are read once.
    if (stage === 'header' && typeof source === 'string') await plainFileSize(source)
    return await work()
  } catch (error) {
    throw await pictureError(nameOf({ source, name }), source, stage, error)
  }
}
