import { readFile } from 'node:fs/promises'
import { DataError } from '../../engine/errors.ts'
import type { Tensor } from '../../engine/index.ts'
import type { BatchFinisher, Dataset, Sample } from '../Dataset.ts'
import type { RandomStream } from '../random.ts'
import { toPipeline } from '../transforms/compose.ts'
import type { PictureTransform, Pipeline, Transform } from '../transforms/Transform.ts'
import type { PicturePath } from './listPictures.ts'
import { Picture } from './Picture.ts'
import type { PictureCache } from './PictureCache.ts'
import { pictureError, readableName } from './pictureError.ts'
import type { RgbImage } from './RgbImage.ts'

/** Pictures and what they show. */
export interface ImageDatasetParts {
  files: readonly PicturePath[]
  /** One class index for each file. */
  labels: ArrayLike<number>
  classes: readonly string[]
  /** Default none: pictures come as they are. */
  transform?: Transform | readonly Transform[] | undefined
  /** Where decoded pictures are kept for later epochs. Default nowhere. */
  cache?: PictureCache | undefined
}

/**
 * Pictures in files, each with the index of its class. An item is `{ x, y }`: upright RGB bytes, transformed, and the index.
 * What the transforms do to batches (`toTensor`, `normalize`) happens after collation.
 */
export class ImageDataset implements Dataset<Sample<RgbImage, number>>, BatchFinisher {
  readonly files: readonly PicturePath[]
  /** One class index for each file. */
  readonly labels: Int32Array
  readonly classes: readonly string[]
  readonly transform: Pipeline
  // Width and height of each picture, 0 until it is known: headers are read once, not once an epoch.
  readonly #sizes: Uint32Array
  readonly #cache: PictureCache | undefined
  // The steps before anything is drawn: what they make can be kept.
  readonly #fixed: readonly PictureTransform[]
  readonly #fixedName: string

  constructor({ files, labels, classes, transform, cache }: ImageDatasetParts, sizes?: Uint32Array) {
    if (files.length !== labels.length) {
      throw new DataError(
        `there are ${files.length} files, but ${labels.length} labels: each file has one label`,
      )
    }
    this.files = files
    this.labels = labels instanceof Int32Array ? labels : Int32Array.from(labels)
    this.classes = classes
    this.transform = toPipeline(transform)
    this.#sizes = sizes ?? new Uint32Array(files.length * 2)
    this.#cache = cache
    const { pictureSteps } = this.transform
    const drawing = pictureSteps.findIndex(({ deterministic }) => !deterministic)
    this.#fixed = drawing < 0 ? pictureSteps : pictureSteps.slice(0, drawing)
    this.#fixedName = JSON.stringify(this.#fixed.map(({ name, parameters }) => [name, parameters]))
  }

  get length(): number {
    return this.files.length
  }

  async get(index: number, random: RandomStream): Promise<Sample<RgbImage, number>> {
    const { pictureSteps } = this.transform
    const picture = this.#cache ? await this.#kept(index, random, this.#cache) : await this.picture(index)
    const steps = this.#cache ? pictureSteps.slice(this.#fixed.length) : pictureSteps
    for (const step of steps) step.apply(picture, random)
    return { x: await picture.bytes(), y: this.labels[index]! }
  }

  /** The picture after the steps that draw nothing, from the cache if it is there. */
  async #kept(index: number, random: RandomStream, cache: PictureCache): Promise<Picture> {
    const found = cache.get(this.#fixedName, index)
    if (found) return Picture.of(found)
    const picture = await this.picture(index)
    for (const step of this.#fixed) step.apply(picture, random)
    const image = await picture.bytes()
    cache.add(this.#fixedName, index, image)
    return Picture.of(image)
  }

  /** The picture at `index`, before any transform, not decoded yet. @throws DataError that names the file. */
  async picture(index: number): Promise<Picture> {
    const file = this.files[index]
    if (file === undefined) {
      throw new DataError(`there is no picture ${index}: the dataset has ${this.length}`)
    }
    const name = readableName(file)
    const source = typeof file === 'string' ? file : await readOddlyNamed(file)
    const width = this.#sizes[index * 2]!
    if (width > 0) return new Picture({ source, name }, { width, height: this.#sizes[index * 2 + 1]! })
    const picture = await Picture.open(source, name)
    this.#sizes[index * 2] = picture.width
    this.#sizes[index * 2 + 1] = picture.height
    return picture
  }

  describe(index: number): string {
    return readableName(this.files[index] ?? '')
  }

  finishBatch<B>(batch: B, random: RandomStream): B {
    const { x, ...rest } = batch as { x: Tensor }
    return {
      ...rest,
      x: this.transform.batchSteps.reduce((value, step) => step.apply(value, random), x),
    } as B
  }

  /** The same pictures with other transforms; `cache` takes the place of the one they had. */
  withTransform(transform: Transform | readonly Transform[], cache = this.#cache): ImageDataset {
    const { files, labels, classes } = this
    return new ImageDataset({ files, labels, classes, transform, cache }, this.#sizes)
  }

  /** Some of the pictures, in the given order. */
  subset(indices: ArrayLike<number>): ImageDataset {
    const chosen = Array.from(indices)
    return new ImageDataset({
      files: chosen.map((index) => this.files[index]!),
      labels: Int32Array.from(chosen, (index) => this.labels[index]!),
      classes: this.classes,
      transform: this.transform,
    })
  }
}

/** sharp takes paths as text only, so a file whose name is none is read here. */
async function readOddlyNamed(file: Buffer): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw await pictureError(readableName(file), file, 'header', error)
  }
}
