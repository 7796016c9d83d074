import { ShapeError } from '../../engine/errors.ts'
import { MAX_SIDE, warpPixels, warpPixelsAhead } from '../../engine/pictures.ts'
import { bicubicBytes } from './bicubic.ts'
import {
  checkTable,
  cropBytes,
  lookupBytes,
  type Padding,
  type PaddingMode,
  padBytes,
  transposeBytes,
  type Window,
} from './bytes.ts'
import {
  applyPlan,
  decodeNumbers,
  decodePicture,
  type EncodedPicture,
  nameOf,
  readPictureHeader,
} from './decode.ts'
import { addCrop, addResize, emptyPlan, type PixelSize, planSize } from './decodePlan.ts'
import { DEFAULT_MAX_PIXELS } from './limits.ts'
import { nearestBytes } from './nearest.ts'
import { tooLargeError } from './pictureError.ts'
import {
  checkRgbImage,
  type Decoding,
  isRgbImage,
  isSampledPicture,
  type PictureRoom,
  type RgbImage,
  type SampledPicture,
} from './RgbImage.ts'
import {
  cutWarp,
  flipWarp,
  lookupWarp,
  type Matrix,
  multiplyMatrices,
  partOf,
  transposeWarp,
  type Warp,
  warpOf,
} from './warp.ts'

/** How pixels are mixed when a picture changes its size; both are antialiased. */
export type Interpolation = 'bilinear' | 'bicubic'

type Step =
  | { kind: 'crop'; window: Window }
  | { kind: 'resize'; size: PixelSize; interpolation: Interpolation }
  | { kind: 'flip'; horizontal: boolean }
  | { kind: 'transpose' }
  | { kind: 'pad'; padding: Padding; mode: PaddingMode; fill: readonly [number, number, number] }
  | { kind: 'warp'; matrix: Matrix }
  | { kind: 'lookup'; table: Uint8Array }
  | { kind: 'map'; change: (image: RgbImage) => RgbImage | Promise<RgbImage> }

/**
 * A picture that is not decoded yet. Transforms say what shall become of it, knowing its size as it will be at that point;
 * `bytes()` then decodes, cuts, resizes and mirrors in one pass, and does the rest on bytes.
 */
export class Picture {
  readonly #source: EncodedPicture | RgbImage
  readonly #steps: Step[] = []
  readonly #original: PixelSize
  // Of masks every pixel keeps its value: nothing is mixed, and colours are let alone.
  readonly #mask: boolean
  readonly #name: string | undefined
  #width: number
  #height: number

  constructor(source: EncodedPicture | RgbImage, size: PixelSize, mask = false, name?: string) {
    this.#name = isRgbImage(source) ? name : nameOf(source)
    this.#mask = mask
    this.#source = source
    this.#original = { width: size.width, height: size.height }
    this.#width = size.width
    this.#height = size.height
  }

  /**
   * Reads the header of a file, or of what a file holds (JPEG, PNG … bytes). `name` is for error messages.
   * @throws DataError that names the file.
   */
  static async open(source: string | Uint8Array, name?: string, decoding?: Decoding): Promise<Picture> {
    const { inks, ...size } = await readPictureHeader({ source, name }, decoding)
    return new Picture({ source, name, inks }, size)
  }

  /**
   * A picture that is decoded already. `name` is for error messages.
   * @throws DataError unless its bytes are as many as its size says
   */
  static of(image: RgbImage, name?: string): Picture {
    checkRgbImage(image, () => name ?? 'the picture')
    return new Picture(image, image, false, name)
  }

  /**
   * A mask, whose grey values are class indices: resizing and warping take the nearest pixel, changes of colour are left out, what
   * padding adds in the mode 'constant' is class 0.
   * @throws DataError that names the file, for colours and for values that are not whole numbers from 0 to 255 too
   */
  static async openMask(source: string | Uint8Array | RgbImage, name?: string): Promise<Picture> {
    const encoded = typeof source === 'string' || source instanceof Uint8Array
    const image = encoded ? await decodeNumbers({ source, name }) : source
    checkRgbImage(image, () => name ?? 'the mask')
    return new Picture(image, image, true, name)
  }

  /** Width in pixels, after all that has been asked for so far. */
  get width(): number {
    return this.#width
  }

  /** Height in pixels, after all that has been asked for so far. */
  get height(): number {
    return this.#height
  }

  /** Cuts out a window, which must lie inside. */
  crop(left: number, top: number, width: number, height: number): this {
    const whole = [left, top, width, height].every(Number.isInteger)
    const inside = left >= 0 && top >= 0 && left + width <= this.width && top + height <= this.height
    if (!whole || !inside || width < 1 || height < 1) {
      throw new ShapeError(
        `cannot cut ${width}x${height} pixels at (${left}, ${top}) out of a picture of ${this.width}x${this.height}: the window must hold at least one whole pixel and lie inside`,
      )
    }
    if (width === this.width && height === this.height) return this
    return this.#add({ kind: 'crop', window: { left, top, width, height } }, width, height)
  }

  /**
   * Resizes with the bilinear filter, antialiased, or with Pillow's bicubic one, which takes longer: it is no part of the decoding.
   * Masks keep their values either way.
   */
  resize(width: number, height: number, interpolation: Interpolation = 'bilinear'): this {
    if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
      throw new ShapeError(
        `cannot resize to ${width}x${height}: width and height are whole numbers of at least 1`,
      )
    }
    if (width === this.width && height === this.height) return this
    // The first of its passes changes the width alone.
    const rows = Math.max(height, this.height)
    if (interpolation === 'bicubic' && width * rows > DEFAULT_MAX_PIXELS) {
      throw tooLargeError(this.#name ?? 'the picture', width, rows)
    }
    return this.#add({ kind: 'resize', size: { width, height }, interpolation }, width, height)
  }

  /** Mirrors left and right. */
  flipHorizontal(): this {
    return this.#add({ kind: 'flip', horizontal: true }, this.width, this.height)
  }

  /** Mirrors top and bottom. */
  flipVertical(): this {
    return this.#add({ kind: 'flip', horizontal: false }, this.width, this.height)
  }

  /** Exchanges rows and columns. */
  transpose(): this {
    return this.#add({ kind: 'transpose' }, this.height, this.width)
  }

  /** Adds rows and columns; `fill` is the colour for the mode 'constant'. */
  pad(
    padding: Padding,
    mode: PaddingMode = 'constant',
    fill: readonly [number, number, number] = [0, 0, 0],
  ): this {
    const { left, top, right, bottom } = padding
    if ([left, top, right, bottom].some((count) => !Number.isInteger(count) || count < 0)) {
      throw new ShapeError(
        `cannot pad by ${left}, ${top}, ${right}, ${bottom} (left, top, right, bottom): these are whole numbers of at least 0`,
      )
    }
    return this.#add(
      { kind: 'pad', padding, mode, fill: this.#mask ? [0, 0, 0] : fill },
      this.width + left + right,
      this.height + top + bottom,
    )
  }

  /**
   * Each place p of the result comes from `matrix · p`: a homography in coordinates from −1 to 1 between the centres of the
   * outer pixels, bilinear, reflected at the borders. Warps that follow one another are multiplied and sampled once.
   */
  warp(matrix: Matrix): this {
    const last = this.#steps.at(-1)
    // A later warp looks up its points in the result of the earlier one.
    if (last?.kind === 'warp') last.matrix = multiplyMatrices(last.matrix, matrix)
    else this.#steps.push({ kind: 'warp', matrix })
    return this
  }

  /** Replaces every byte by its entry in a table. @throws ConfigError unless it has 256 */
  lookup(table: Uint8Array): this {
    checkTable(table)
    if (this.#mask) return this
    return this.#add({ kind: 'lookup', table }, this.width, this.height)
  }

  /** Changes the decoded bytes in any other way; the result must have the same size. */
  map(change: (image: RgbImage) => RgbImage | Promise<RgbImage>): this {
    if (this.#mask) return this
    return this.#add({ kind: 'map', change }, this.width, this.height)
  }

  /** Decodes the picture and does all that was asked for. @throws DataError that names the file. */
  async bytes(): Promise<RgbImage> {
    const made = await this.#carryOut()
    if (!isSampledPicture(made)) return made
    const given = isRgbImage(this.#source) ? this.#source.data : undefined
    const mapped = this.#steps.some(({ kind }) => kind === 'map') // by who may have kept them
    return sampleNow(made, made.sampling.pixels !== given && !mapped)
  }

  /**
   * The same, for a batch: where the steps end with a warp and what can be done in one with it, that is left to do. Bytes are put
   * where `room` says.
   */
  forBatch(room?: PictureRoom): Promise<RgbImage | SampledPicture> {
    return this.#carryOut(room)
  }

  async #carryOut(room?: PictureRoom): Promise<RgbImage | SampledPicture> {
    if (this.#mask) return this.#maskBytes()
    let next = 0
    const plan = emptyPlan(this.#original)
    // As many steps as fit into one pass, beginning with the decoding.
    const plannable = () => {
      const step = this.#steps[next]
      if (step?.kind === 'crop') addCrop(plan, step.window)
      else if (step?.kind === 'flip' && step.horizontal) plan.flipX = !plan.flipX
      else if (step?.kind === 'flip') plan.flipY = !plan.flipY
      else return step?.kind === 'resize' && step.interpolation === 'bilinear' && addResize(plan, step.size)
      return true
    }
    while (plannable()) next++
    const whole = planSize(plan)
    const [warp, after] = this.#warpAt(next, whole)
    next = after
    const part = warp ? partOf(warp, whole) : { left: 0, top: 0, ...whole }
    if (part.width < whole.width || part.height < whole.height) addCrop(plan, part)

    const source = this.#source
    // Bytes that others may have: nobody reads them in the background, where they could be taken away.
    let given = isRgbImage(source) ? source.data : undefined
    const last = next === this.#steps.length
    const place = last
      ? room && ((bytes: number) => (warp ? room.loose(bytes) : room.fixed(bytes)))
      : undefined
    const decoded = isRgbImage(source)
      ? applyPlan(source, plan)
      : await decodePicture(source, plan, place, room?.decoding)
    let made: RgbImage | SampledPicture = warp ? samplingOf(decoded, part, whole, warp) : decoded
    while (next < this.#steps.length) {
      const image: RgbImage = isSampledPicture(made)
        ? await sampleNow(made, made.sampling.pixels !== given, room?.decoding)
        : made
      const [later, end] = this.#warpAt(next, image)
      if (later) {
        made = samplingOf(image, { left: 0, top: 0, width: image.width, height: image.height }, image, later)
        next = end
      } else {
        const step = this.#steps[next++] as Exclude<Step, { kind: 'warp' }>
        const done: RgbImage = await carryOut(step, image, image.data !== given)
        if (step.kind === 'map') given = done.data
        made = done
      }
    }
    return made
  }

  /** The warp that begins with step `at` of a picture of this size, if one does, with all that can be done in one with it. */
  #warpAt(at: number, size: PixelSize): readonly [warp: Warp | undefined, next: number] {
    const step = this.#steps[at]
    if (step?.kind !== 'warp') return [undefined, at]
    let warp = warpOf(step.matrix, size)
    let next = at + 1
    for (; next < this.#steps.length; next++) {
      const after = this.#steps[next]!
      if (after.kind === 'crop') warp = cutWarp(warp, after.window)
      else if (after.kind === 'flip') warp = flipWarp(warp, after.horizontal)
      else if (after.kind === 'transpose') warp = transposeWarp(warp)
      else if (after.kind === 'lookup') warp = lookupWarp(warp, after.table)
      else break
    }
    return [warp, next]
  }

  /** Step by step, without mixing pixels. */
  async #maskBytes(): Promise<RgbImage> {
    let image = this.#source as RgbImage
    for (const step of this.#steps) {
      if (step.kind === 'warp') {
        const { width, height } = image
        const { sampling } = samplingOf(
          image,
          { left: 0, top: 0, width, height },
          image,
          warpOf(step.matrix, image),
        )
        image = { data: warpPixels(sampling, true), width, height }
      } else if (step.kind === 'resize') image = nearestBytes(image, step.size.width, step.size.height)
      else image = await carryOut(step, image, false)
    }
    return image
  }

  #add(step: Step, width: number, height: number): this {
    // Of a mask each step is done in full; of a picture only what comes out in the end.
    const tooLarge = this.#mask ? width * height > DEFAULT_MAX_PIXELS : Math.max(width, height) > MAX_SIDE
    if (tooLarge && this.#name !== undefined) throw tooLargeError(this.#name, width, height)
    this.#steps.push(step)
    this.#width = width
    this.#height = height
    return this
  }
}

function samplingOf({ data: pixels }: RgbImage, part: Window, whole: PixelSize, warp: Warp): SampledPicture {
  const { matrix, width, height, table } = warp
  return { sampling: { pixels, part, whole, matrix, width, height }, table }
}

/** Samples a picture; in the background if nobody else has its bytes. */
async function sampleNow(
  { sampling, table }: SampledPicture,
  ours: boolean,
  decoding?: Decoding,
): Promise<RgbImage> {
  const ahead = () => warpPixelsAhead(sampling)
  const data = ours ? await (decoding ? decoding.pool.run(ahead) : ahead()) : warpPixels(sampling)
  const image = { data, width: sampling.width, height: sampling.height }
  return table ? lookupBytes(image, table, data) : image
}

/** Does one step on bytes; those of an image that is `ours` may be overwritten. */
async function carryOut(
  step: Exclude<Step, { kind: 'warp' }>,
  image: RgbImage,
  ours: boolean,
): Promise<RgbImage> {
  const whole = { left: 0, top: 0, width: image.width, height: image.height }
  if (step.kind === 'crop') return cropBytes(image, step.window)
  if (step.kind === 'flip') return cropBytes(image, { ...whole, [step.horizontal ? 'flipX' : 'flipY']: true })
  if (step.kind === 'resize') {
    const { width, height } = step.size
    if (step.interpolation === 'bicubic') return bicubicBytes(image, width, height)
    return applyPlan(image, { ...emptyPlan(image), resize: step.size })
  }
  if (step.kind === 'transpose') return transposeBytes(image)
  if (step.kind === 'pad') return padBytes(image, step.padding, step.mode, step.fill)
  if (step.kind === 'lookup') return lookupBytes(image, step.table, ours ? image.data : undefined)
  const changed = await step.change(ours ? image : { ...image, data: image.data.slice() })
  const { width, height } = image
  if (changed?.width !== width || changed.height !== height) {
    throw new ShapeError(
      `a picture of ${width}x${height} came back from map() as ${changed?.width}x${changed?.height}: map() must keep the size`,
    )
  }
  if (isRgbImage(changed) && changed.data.length === width * height * 3) return changed
  throw new ShapeError(
    `map() must give back a Uint8Array of ${width * height * 3} bytes for a picture of ${width}x${height}: red, green and blue of each pixel`,
  )
}
