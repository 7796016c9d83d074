import { addon, guarded } from './addon.ts'
import { OutOfMemoryError, ShapeError } from './errors.ts'

/**
 * What the engine does to a picture, in this order: cuts `box` out, resizes it to `target` with Pillow's bilinear filter, cuts
 * `window` out of that, mirrors. All places are given in the upright picture of `width` by `height` pixels.
 */
export interface ResamplePlan {
  width: number
  height: number
  box: { left: number; top: number; width: number; height: number }
  target: { width: number; height: number }
  window: { left: number; top: number; width: number; height: number }
  flipX: boolean
  flipY: boolean
}

/** Sides that are longer are refused. */
export const MAX_SIDE = 2 ** 22

/** Background work of which so much is done at a time: who has a lane may ask for all of it at once. */
export interface Lane {
  /** Whole number above 0 that no other lane has. */
  readonly number: number
  /** Threads. */
  readonly limit: number
}

let lanes = 0

export function newLane(limit: number): Lane {
  lanes = (lanes % 0x7fffffff) + 1
  return { number: lanes, limit }
}

function encode({ width, height, box, target, window, flipX, flipY }: ResamplePlan): Float64Array {
  if (Math.max(width, height, target.width, target.height) > MAX_SIDE) {
    throw new ShapeError(
      `a picture of ${width}x${height} pixels cannot become one of ${target.width}x${target.height}: sides are at most ${MAX_SIDE.toLocaleString('en')}`,
    )
  }
  return Float64Array.of(
    width,
    height,
    box.left,
    box.top,
    box.width,
    box.height,
    target.width,
    target.height,
    window.left,
    window.top,
    window.width,
    window.height,
    flipX ? 1 : 0,
    flipY ? 1 : 0,
  )
}

function room(width: number, height: number): Uint8Array {
  // not filled with zeros, which all bytes would pay for
  return new Uint8Array(Buffer.allocUnsafeSlow(width * height * 3).buffer)
}

const roomFor = ({ window }: ResamplePlan) => room(window.width, window.height)

/** Whether JPEG files can be decoded here: whether libjpeg-turbo was found. */
export function hasJpegDecoder(): boolean {
  found ??= addon.buildInfo().jpegFound
  return found
}

let found: boolean | undefined

/** Name and version of the library that decodes JPEG files here, if there is one. */
export function jpegDecoderName(): string | undefined {
  return hasJpegDecoder() ? addon.buildInfo().jpeg : undefined
}

/**
 * Width and height of an upright JPEG picture, of a file's path or of what a file holds, read in the background. Undefined for
 * what is no JPEG, is damaged, or is of a kind that is not decoded here.
 */
export function jpegSize(
  source: string | Uint8Array,
  lane?: Lane,
): Promise<{ width: number; height: number } | undefined> {
  return new Promise((resolve) => {
    const done = (width: number, height: number) => resolve(width > 0 ? { width, height } : undefined)
    guarded(() => addon.pictureSize(source, done, lane?.number, lane?.limit))
  })
}

/**
 * Decodes a JPEG picture in the background and carries out a plan, whose box is made of whole pixels: RGB bytes. Only what the
 * result is made of is decoded, and shrunk meanwhile if twice the target's size is left at least. They are put into `into`, if
 * given. Undefined for what another decoder must judge.
 */
export function decodeJpeg(
  source: string | Uint8Array,
  plan: ResamplePlan,
  into?: Uint8Array,
  lane?: Lane,
): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const slots = encode(plan)
    const out = into ?? roomFor(plan)
    const done = (good: boolean) => resolve(good ? out : undefined)
    guarded(() => addon.decodePicture(source, slots, out, done, lane?.number, lane?.limit))
  })
}

/** Carries out a plan on RGB bytes. */
export function resamplePixels(pixels: Uint8Array, plan: ResamplePlan): Uint8Array {
  const slots = encode(plan)
  const out = roomFor(plan)
  addon.resamplePicture(pixels, slots, out)
  return out
}

/** The same in the background; nobody else may have the bytes. @throws OutOfMemoryError */
export function resamplePixelsAhead(
  pixels: Uint8Array,
  plan: ResamplePlan,
  into?: Uint8Array,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const slots = encode(plan)
    const out = into ?? roomFor(plan)
    guarded(() =>
      addon.resamplePicture(pixels, slots, out, (good) => {
        if (good) resolve(out)
        else reject(new OutOfMemoryError(`no memory to resize a picture of ${plan.width}x${plan.height}`))
      }),
    )
  })
}

/** A picture, or a part of it, and how a result is sampled from it; see `warpPictures`. */
export interface Sampling {
  /** RGB bytes of the part. */
  pixels: Uint8Array
  part: { left: number; top: number; width: number; height: number }
  whole: { width: number; height: number }
  /** Takes places of the result to those of the whole picture; a 3 × 3 matrix, row by row. */
  matrix: readonly number[]
  /** Of the result. */
  width: number
  height: number
}

/** A row of what `warpPictures` takes. */
export function placementOf({ part, whole, matrix }: Sampling, offset: number): number[] {
  return [offset, part.left, part.top, part.width, part.height, whole.width, whole.height, ...matrix]
}

/** Samples one picture, at once. */
export function warpPixels(sampling: Sampling, nearest = false): Uint8Array {
  const { pixels, width, height } = sampling
  const out = room(width, height)
  addon.warpPicture(pixels, Float64Array.from(placementOf(sampling, 0)), nearest, width, height, out)
  return out
}

/** The same in the background, bilinearly; nobody else may have the bytes. */
export function warpPixelsAhead(sampling: Sampling): Promise<Uint8Array> {
  return new Promise((resolve) => {
    const { pixels, width, height } = sampling
    const out = room(width, height)
    const placement = Float64Array.from(placementOf(sampling, 0))
    guarded(() => addon.warpPicture(pixels, placement, false, width, height, out, () => resolve(out)))
  })
}
