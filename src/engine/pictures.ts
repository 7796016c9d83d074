import { addon } from './addon.ts'
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
const MAX_SIDE = 2 ** 22

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

function room({ window }: ResamplePlan): Uint8Array {
  return Buffer.allocUnsafeSlow(window.width * window.height * 3)
}

/** Whether JPEG files can be decoded here: whether libjpeg-turbo was found. */
export function hasJpegDecoder(): boolean {
  found ??= addon.buildInfo().jpegFound
  return found
}

let found: boolean | undefined

/**
 * Width and height of an upright JPEG picture, of a file's path or of what a file holds, read in the background. Undefined for
 * what is no JPEG, is damaged, or is of a kind that is not decoded here.
 */
export function jpegSize(
  source: string | Uint8Array,
): Promise<{ width: number; height: number } | undefined> {
  return new Promise((resolve) => {
    addon.pictureSize(source, (width, height) => resolve(width > 0 ? { width, height } : undefined))
  })
}

/**
 * Decodes a JPEG picture in the background and carries out a plan, whose box is made of whole pixels: RGB bytes. Only what the
 * result is made of is decoded, and shrunk meanwhile if twice the target's size is left at least. Undefined for what another
 * decoder must judge.
 */
export function decodeJpeg(source: string | Uint8Array, plan: ResamplePlan): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const slots = encode(plan)
    const out = room(plan)
    addon.decodePicture(source, slots, out, (good) => resolve(good ? out : undefined))
  })
}

/** Carries out a plan on RGB bytes. */
export function resamplePixels(pixels: Uint8Array, plan: ResamplePlan): Uint8Array {
  const slots = encode(plan)
  const out = room(plan)
  addon.resamplePicture(pixels, slots, out)
  return out
}

/** The same in the background; nobody else may have the bytes. @throws OutOfMemoryError */
export function resamplePixelsAhead(pixels: Uint8Array, plan: ResamplePlan): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const slots = encode(plan)
    const out = room(plan)
    addon.resamplePicture(pixels, slots, out, (good) => {
      if (good) resolve(out)
      else reject(new OutOfMemoryError(`no memory to resize a picture of ${plan.width}x${plan.height}`))
    })
  })
}
