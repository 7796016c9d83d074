import type { Tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import { DataBunch, type DataBunchOptions, defined, type LoaderKind } from './DataBunch.ts'
import { DataLoader } from './DataLoader.ts'
import type { Sample, TensorBatch } from './Dataset.ts'
import { drawSeed } from './drawSeed.ts'
import type { ImageDataset } from './image/ImageDataset.ts'
import type { SkippedInFolder } from './image/ImageFolder.ts'
import { noneSkipped } from './image/listPictures.ts'
import { CacheBudget, type CacheOption, PictureCache } from './image/PictureCache.ts'
import type { RgbImage } from './image/RgbImage.ts'
import { type ImagePipelineOptions, imagePipelines } from './imagePipelines.ts'
import { imageSources } from './imageSources.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'
import { type ItemDescription, type PictureSource, pictureItem } from './pictureItem.ts'
import { type ShowImagesOptions, showImages } from './showImages.ts'
import type { ImageStats } from './stats.ts'
import { augmentedPipelines } from './testTimeAugmentation.ts'
import { describePipeline } from './transforms/describe.ts'
import type { TransformPair } from './transforms/getTransforms.ts'
import type { Pipeline, Size } from './transforms/Transform.ts'

type LoaderOptions = Pick<
  DataBunchOptions<Sample<RgbImage, number>, TensorBatch>,
  | 'batchSize'
  | 'validBatchSize'
  | 'shuffle'
  | 'sampler'
  | 'dropLast'
  | 'workers'
  | 'prefetch'
  | 'seed'
  | 'onError'
  | 'device'
>

export interface ImageDataBunchOptions extends LoaderOptions {
  /**
   * Height and width that all pictures come to, before the transforms; one number for both. Default: the pictures keep
   * their size, or get that of a transform such as `randomResizedCrop(224)`.
   */
  size?: Size
  /** How they come to it; see `ResizeMethod`. Default 'crop', or 'squish' for a size [height, width]. */
  resizeMethod?: 'crop' | 'pad' | 'squish'
  /** `getTransforms()`, or `{ train, valid }` with transforms of your own. Default: none besides `size`. */
  transforms?: TransformPair
  /** Mean and standard deviation to normalise with, such as `imagenetStats`. Default: pictures from 0 to 1. */
  stats?: ImageStats
  /**
   * Keep decoded pictures in memory for later epochs: after `size` and whatever transforms draw nothing. 'memory' uses up to
   * a quarter of it, a number that many bytes. Default: decode anew each epoch.
   */
  cache?: CacheOption
}

export interface FromFolderOptions extends ImageDataBunchOptions {
  /** Folder of the training pictures, in `dir`. Default 'train'. */
  train?: string
  /** Folder of the validation pictures, in `dir`. Default: 'valid' or 'val', whichever is there. */
  valid?: string
  /** Folder of test pictures, in `dir`; with class folders, or without (all of class 0 then). Default none. */
  test?: string
  /** Instead of a validation folder: pool all pictures and keep this part of them for validation, at random. */
  validPct?: number
  /** Endings of picture files. Default `imageExtensions`. */
  extensions?: readonly string[]
}

const LOADER_NAMES = [
  'batchSize',
  'validBatchSize',
  'shuffle',
  'sampler',
  'dropLast',
  'workers',
  'prefetch',
  'seed',
  'onError',
  'device',
] as const
const PICTURE_NAMES = ['size', 'resizeMethod', 'transforms', 'stats', 'cache'] as const
const FOLDER_NAMES = ['train', 'valid', 'test', 'validPct', 'extensions']

export interface ShowBatchOptions {
  /** Rows, and columns, of pictures; no more than the batch has. Default 3. */
  rows?: number
  /** Default 'train': augmented pictures. */
  kind?: LoaderKind
}

/** Pictures for a classifier. Batches are `x` `[N, 3, H, W]` float32, normalised, and `y` `[N]` int64. */
export class ImageDataBunch extends DataBunch<Sample<RgbImage, number>, TensorBatch> {
  declare readonly classes: readonly string[]
  declare readonly c: number
  /** What pictures were normalised with; undefined if they run from 0 to 1. */
  readonly stats: ImageStats | undefined
  /** What lay in the folders and is not used. */
  readonly skippedFiles: SkippedInFolder
  readonly #valid: Pipeline

  /** Completes the pipelines and makes the loaders; `fromFolder` and its kin call it. */
  constructor(
    sources: { train: ImageDataset; valid: ImageDataset | null; test?: ImageDataset | undefined },
    options: ImageDataBunchOptions & { path?: string; skippedFiles?: SkippedInFolder } = {},
  ) {
    const { path, skippedFiles, ...rest } = options
    rejectUnknownOptions('ImageDataBunch', rest, [...LOADER_NAMES, ...PICTURE_NAMES])
    const { train, valid, stats } = imagePipelines(rest satisfies ImagePipelineOptions)
    const budget = rest.cache === undefined ? undefined : new CacheBudget(rest.cache)
    const cacheOf = () => budget && new PictureCache(budget)
    const trainDs = sources.train.withTransform(train, cacheOf())
    super(trainDs, sources.valid?.withTransform(valid, cacheOf()), {
      ...defined(pick(rest, LOADER_NAMES)),
      ...defined({ path, testDataset: sources.test?.withTransform(valid, cacheOf()) }),
      fixDataset: trainDs.withTransform(valid),
      numberDtype: 'int64',
    })
    this.stats = stats
    this.skippedFiles = skippedFiles ?? { ...noneSkipped(), unknownClasses: {} }
    this.#valid = valid
  }

  /**
   * Pictures in `dir/train/<class>` and `dir/valid/<class>` (or `val`). Classes are those of the training folder, sorted.
   * @throws DataError for folders that are missing or empty, for one class only, for more pictures in a batch than there
   * are, and, unless `onError` is 'skip', for classes that only validation knows. ConfigError for options that cannot be.
   */
  static async fromFolder(dir: string, options: FromFolderOptions = {}): Promise<ImageDataBunch> {
    rejectUnknownOptions('ImageDataBunch.fromFolder', options, [
      ...FOLDER_NAMES,
      ...LOADER_NAMES,
      ...PICTURE_NAMES,
    ])
    const { train = 'train', valid, test, validPct, extensions, ...rest } = options
    const { skippedFiles, ...sources } = imageSources(dir, {
      train,
      valid,
      test,
      validPct,
      extensions,
      seed: () => rest.seed ?? drawSeed(),
      onError: rest.onError ?? 'throw',
    })
    return new ImageDataBunch(sources, { ...rest, path: dir, skippedFiles })
  }

  /**
   * One picture as a batch of one, `[1, 3, H, W]`, transformed as for validation. `source` is a file, what a file holds
   * (JPEG, PNG … bytes), or decoded bytes.
   * @throws DataError for what is no picture.
   */
  async oneItem(source: PictureSource): Promise<{ x: Tensor }> {
    return pictureItem(this.#valid, source, this.trainDl.device)
  }

  /** What `oneItem` does, as data. Undefined if transforms of the validation pictures draw at random or are one's own. */
  describeItem(): ItemDescription | undefined {
    const steps = describePipeline(this.#valid)
    return steps && { kind: 'picture', steps }
  }

  /**
   * Loaders for test-time augmentation, fastai's eight: the pictures of `kind` in order, magnified by `scale` into each corner, plain
   * and mirrored, with what else training does at random.
   */
  augmentedLoaders(
    kind: LoaderKind = 'valid',
    scale = 1.35,
  ): DataLoader<Sample<RgbImage, number>, TensorBatch>[] {
    const loader = this.loader(kind === 'train' ? 'fix' : kind)
    const dataset = loader.dataset as ImageDataset
    const pipelines = augmentedPipelines((this.trainDs as ImageDataset).transform, this.#valid, scale)
    const { batchSize, workers, prefetch, onError, device } = loader
    return pipelines.map(
      (pipeline, seed) =>
        new DataLoader(dataset.withTransform(pipeline), {
          ...defined({ device }),
          batchSize,
          workers,
          prefetch,
          onError,
          seed,
          numberDtype: 'int64',
        }),
    )
  }

  /** Pictures of `kind` by their index, as the model sees them, but before normalising. */
  async showItems(
    kind: LoaderKind,
    indices: readonly number[],
    options: Omit<ShowImagesOptions, 'stats' | 'count'>,
  ): Promise<Figure> {
    const { dataset } = this.loader(kind === 'train' ? 'fix' : kind)
    const chosen = (dataset as ImageDataset).subset(indices)
    const { x } = await new DataLoader(chosen, { batchSize: indices.length, seed: 0 }).first()
    return showImages(x as Tensor, { ...options, count: indices.length, stats: this.stats })
  }

  /** The first pictures of a batch with their classes, as a figure that saves itself. */
  async showBatch(options: ShowBatchOptions = {}): Promise<Figure> {
    rejectUnknownOptions('showBatch', options, ['rows', 'kind'])
    const { rows = 3, kind = 'train' } = options
    checkCount('showBatch', 'rows', rows, 1)
    const { x, y } = await this.oneBatch(kind)
    const labels = await y.data()
    return showImages(x, {
      stats: this.stats,
      columns: rows,
      count: rows * rows,
      titles: Array.from(labels, (label) => this.classes[Number(label)] ?? String(label)),
    })
  }

  override toString(): string {
    const { trainDs, validDs, testDs, classes, batchSize } = this
    const parts = [
      `${trainDs.length} training pictures`,
      ...(validDs ? [`${validDs.length} for validation`] : []),
      ...(testDs ? [`${testDs.length} for test`] : []),
    ]
    const { hidden, foreign, unusable } = this.skippedFiles
    const left = Object.values(foreign).reduce((sum, count) => sum + count, hidden + unusable)
    const names = classes.length > 10 ? `${classes.length} classes` : `classes ${classes.join(', ')}`
    return `ImageDataBunch(${parts.join(', ')}; ${names}; batch size ${batchSize}${left > 0 ? `; ${left} other files left out` : ''})`
  }
}

function pick<T extends object, Key extends keyof T>(options: T, names: readonly Key[]): Pick<T, Key> {
  return Object.fromEntries(names.map((name) => [name, options[name]])) as Pick<T, Key>
}
