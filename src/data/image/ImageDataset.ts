import { readFile } from 'node:fs/promises'
import { show } from '../../engine/check.ts'
import { ConfigError, DataError } from '../../engine/errors.ts'
import { Tensor } from '../../engine/index.ts'
import type { BatchedItems, BatchFinisher, Dataset, Sample } from '../Dataset.ts'
import type { RandomStream } from '../random.ts'
import { toPipeline } from '../transforms/compose.ts'
import { isKnownTransform } from '../transforms/describe.ts'
import { identityOf } from '../transforms/known.ts'
import type { PictureTransform, Pipeline, Transform } from '../transforms/Transform.ts'
import type { InkDepth } from './cmyk.ts'
import { readPictureHeader } from './decode.ts'
import type { PicturePath } from './listPictures.ts'
import { Picture } from './Picture.ts'
import type { PictureStore } from './PictureCache.ts'
import { pictureError, plainFileSize, readableName } from './pictureError.ts'
import { type ClassMask, checkRgbImage, type Decoding, type PictureRoom, type RgbImage } from './RgbImage.ts'

/** Pictures and what they show. */
export interface ImageDatasetParts {
  files: readonly PicturePath[]
  /** One class index for each file, from 0 (all 0 where there are no classes); or, for pictures that show several things at once, a list of them for each. */
  labels: ArrayLike<number> | readonly (readonly number[])[]
  classes: readonly string[]
  /** The pictures themselves, if they are decoded already; `files` are then only their names. */
  images?: readonly RgbImage[] | undefined
  /** For each file where it was named, 'labels.csv, line 3' for example: for error messages. */
  notes?: readonly string[] | undefined
  /** For each file its mask, a grey picture whose values are class indices: the target, in the place of `labels`. */
  masks?: readonly PicturePath[] | undefined
  /** Default none: pictures come as they are. */
  transform?: Transform | readonly Transform[] | undefined
  /** Where decoded pictures are kept for later epochs. Default nowhere. */
  cache?: PictureStore | undefined
}

/** A picture with its target: the index of its class, a row of zeros and ones, or a mask. */
export type ImageSample = Sample<RgbImage, number | Float32Array | ClassMask>

/**
 * Pictures in files, each with its target. An item is `{ x, y }`: upright RGB bytes, transformed, and the index of its class;
 * where each has a list of classes, a row of zeros and ones; where it has a mask, that mask, transformed like the picture.
 * What the transforms do to batches (`toTensor`, `normalize`) happens after collation.
 */
export class ImageDataset implements Dataset<ImageSample>, BatchedItems<ImageSample>, BatchFinisher {
  readonly files: readonly PicturePath[]
  /** One class index for each file; empty where each file has several, or a mask. */
  readonly labels: Int32Array
  /** The class indices of each file, where it may have several. */
  readonly labelSets: readonly (readonly number[])[] | undefined
  readonly masks: readonly PicturePath[] | undefined
  readonly classes: readonly string[]
  readonly transform: Pipeline
  // Width, height and bits of its inks (0 for none) of each picture, width 0 until it is known: headers are read once, not once an
  // epoch.
  readonly #headers: Uint32Array
  readonly #cache: PictureStore | undefined
  readonly #images: readonly RgbImage[] | undefined
  readonly #notes: readonly string[] | undefined
  // The steps before anything is drawn: what they make can be kept.
  readonly #fixed: readonly PictureTransform[]
  readonly #fixedName: string

  constructor(parts: ImageDatasetParts, headers?: Uint32Array) {
    const { files, labels, classes, transform, cache, images, notes, masks } = parts
    for (const [what, list] of Object.entries({ labels: masks ? undefined : labels, images, notes, masks })) {
      if (list === undefined || list.length === files.length) continue
      throw new DataError(
        `there are ${files.length} files, but ${list.length} ${what}: each file has one${what === 'labels' ? ' label' : ''}`,
      )
    }
    this.files = files
    this.masks = masks
    this.labelSets = isLabelSets(labels) ? labels : undefined
    this.labels = isLabelSets(labels)
      ? new Int32Array(0)
      : labels instanceof Int32Array
        ? labels
        : Int32Array.from(labels)
    this.#images = images
    this.#notes = notes
    for (const [at, image] of (images ?? []).entries()) checkRgbImage(image, () => this.describe(at))
    this.classes = classes
    if (!masks) this.#checkLabels(labels)
    this.transform = toPipeline(transform)
    this.#headers = headers ?? new Uint32Array(files.length * 3)
    this.#cache = cache
    const { pictureSteps } = this.transform
    const drawing = pictureSteps.findIndex(
      (step) => !step.deterministic || (cache?.lasting && !isKnownTransform(step)),
    )
    this.#fixed = drawing < 0 ? pictureSteps : pictureSteps.slice(0, drawing)
    this.#fixedName = JSON.stringify(this.#fixed.map(identityOf))
  }

  // Numbers of other classes would end up as rows of zeros, and fractions as the class below.
  #checkLabels(labels: ImageDatasetParts['labels']): void {
    const several = isLabelSets(labels)
    // Pictures without classes are all of number 0.
    const count = Math.max(1, this.classes.length)
    const isClass = (label: unknown) =>
      Number.isInteger(label) && (label as number) >= 0 && (label as number) < count
    for (let at = 0; at < labels.length; at++) {
      const given: unknown = labels[at]
      const list = several ? given : [given]
      if (Array.isArray(list) && list.every(isClass)) continue
      throw new DataError(
        `${this.describe(at)}: the label is ${show(given)}, but it must be ${several ? 'a list of numbers of classes' : 'the number of a class'}, and there are ${this.classes.length} classes, numbered from 0`,
      )
    }
  }

  get length(): number {
    return this.files.length
  }

  async get(index: number, random: RandomStream): Promise<ImageSample> {
    return this.#sample(index, random, (picture) => picture.bytes())
  }

  /** The same, for a batch: what warps a picture is left to be done to all of them on the device. */
  async getForBatch(index: number, random: RandomStream, room: PictureRoom): Promise<ImageSample> {
    // The batch makes pictures of them.
    const finish = (picture: Picture) => picture.forBatch(room) as Promise<RgbImage>
    return this.#sample(index, random, finish, room.decoding)
  }

  async #sample(
    index: number,
    random: RandomStream,
    finish: (picture: Picture) => Promise<RgbImage>,
    decoding?: Decoding,
  ): Promise<ImageSample> {
    const mask = this.masks && (await this.#mask(index, random.copy()))
    const { pictureSteps } = this.transform
    const picture = this.#cache
      ? await this.#kept(index, random, this.#cache, decoding)
      : await this.picture(index, decoding)
    const steps = this.#cache ? pictureSteps.slice(this.#fixed.length) : pictureSteps
    for (const step of steps) step.apply(picture, random)
    const x = await finish(picture)
    if (mask) return { x, y: mask }
    return { x, y: this.labelSets ? this.#oneHot(this.labelSets[index]!) : this.labels[index]! }
  }

  /** The mask, after the same steps as its picture: the same numbers are drawn. */
  async #mask(index: number, random: RandomStream): Promise<ClassMask> {
    const picture = await this.picture(index)
    const mask = await Picture.openMask(
      await this.#source(this.masks![index]!),
      readableName(this.masks![index]!),
    )
    if (mask.width !== picture.width || mask.height !== picture.height) {
      throw new DataError(
        `${readableName(this.masks![index]!)}: the mask is ${mask.width}x${mask.height}, but its picture ${this.describe(index)} is ${picture.width}x${picture.height}`,
      )
    }
    for (const step of this.transform.pictureSteps) step.apply(mask, random)
    const { data, width, height } = await mask.bytes()
    const classes = Uint8Array.from({ length: width * height }, (_, at) => data[at * 3]!)
    const unknown = classes.find((value) => value >= this.classes.length)
    if (unknown === undefined) return { classes, width, height }
    throw new DataError(
      `${readableName(this.masks![index]!)}: the mask holds the value ${unknown}, but there are ${this.classes.length} classes, numbered from 0`,
    )
  }

  #oneHot(labels: readonly number[]): Float32Array {
    const row = new Float32Array(this.classes.length)
    for (const label of labels) row[label] = 1
    return row
  }

  /** The picture after the steps that draw nothing, from the cache if it is there. */
  async #kept(
    index: number,
    random: RandomStream,
    cache: PictureStore,
    decoding?: Decoding,
  ): Promise<Picture> {
    const file = this.files[index]!
    const found = await cache.get(this.#fixedName, index, file)
    if (found) return Picture.of(found, this.describe(index))
    const picture = await this.picture(index, decoding)
    for (const step of this.#fixed) step.apply(picture, random)
    const image = await picture.bytes()
    await cache.add(this.#fixedName, index, file, image)
    return Picture.of(image, this.describe(index))
  }

  /** The picture at `index`, before any transform, not decoded yet. @throws DataError that names the file. */
  async picture(index: number, decoding?: Decoding): Promise<Picture> {
    const file = this.files[index]
    if (file === undefined) {
      throw new DataError(`there is no picture ${index}: the dataset has ${this.length}`)
    }
    if (this.#images) return Picture.of(this.#images[index]!, this.describe(index))
    const name = this.describe(index)
    const source = await this.#source(file)
    const known = this.#headers.subarray(index * 3, index * 3 + 3)
    if (known[0] === 0) {
      const { width, height, inks = 0 } = await readPictureHeader({ source, name }, decoding)
      known.set([width, height, inks])
    }
    const [width, height, inks] = known as unknown as [number, number, InkDepth | 0]
    return new Picture({ source, name, inks: inks || undefined }, { width, height })
  }

  #source(file: PicturePath): string | Promise<Buffer> {
    return typeof file === 'string' ? file : readOddlyNamed(file)
  }

  describe(index: number): string {
    const name = readableName(this.files[index] ?? '')
    const note = this.#notes?.[index]
    return note === undefined ? name : `${name} (${note})`
  }

  finishBatch<B>(batch: B, random: RandomStream): B {
    const { batchSteps } = this.transform
    if (batchSteps.length === 0) return batch
    const { x, ...rest } = { ...batch } as { x?: unknown }
    if (!(x instanceof Tensor)) {
      throw new ConfigError(
        `the batch has no tensor x for ${batchSteps.map(({ name }) => name).join(', ')}: let collate return { x, … } with the pictures as a tensor [N, 3, H, W], or leave these transforms out`,
      )
    }
    return { ...rest, x: batchSteps.reduce((value, step) => step.apply(value, random), x) } as B
  }

  /** The same pictures with other transforms; `cache` takes the place of the one they had. */
  withTransform(transform: Transform | readonly Transform[], cache = this.#cache): ImageDataset {
    return new ImageDataset({ ...this.parts(), transform, cache }, this.#headers)
  }

  /** Some of the pictures, in the given order. */
  subset(indices: ArrayLike<number>): ImageDataset {
    const { labels, ...parts } = this.parts()
    const chosen = Array.from(indices)
    const pick = <T>(list: readonly T[]) => chosen.map((index) => list[index]!)
    return new ImageDataset({
      classes: parts.classes,
      transform: this.transform,
      files: pick(parts.files),
      labels: isLabelSets(labels)
        ? pick(labels)
        : Int32Array.from(parts.masks ? [] : chosen, (index) => labels[index]!),
      images: parts.images && pick(parts.images),
      notes: parts.notes && pick(parts.notes),
      masks: parts.masks && pick(parts.masks),
    })
  }

  /** What it was made of, without transforms. */
  protected parts(): ImageDatasetParts {
    const { files, labels, labelSets, classes, masks } = this
    return { files, labels: labelSets ?? labels, classes, masks, images: this.#images, notes: this.#notes }
  }
}

function isLabelSets(labels: ImageDatasetParts['labels']): labels is readonly (readonly number[])[] {
  return Array.isArray(labels) && Array.isArray(labels[0])
}

/** sharp takes paths as text only, so a file whose name is none is read here. */
async function readOddlyNamed(file: Buffer): Promise<Buffer> {
  try {
    await plainFileSize(file)
    return await readFile(file)
  } catch (error) {
    throw await pictureError(readableName(file), file, 'header', error)
  }
}
