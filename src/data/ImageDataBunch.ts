import { ConfigError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import type { SkippedItem } from './BatchIterator.ts'
import { type ChosenItems, chosenItems, onlyAt } from './chosenItems.ts'
import { DataBunch, defined, type LoaderKind } from './DataBunch.ts'
import { DataLoader } from './DataLoader.ts'
import type { TensorBatch } from './Dataset.ts'
import { drawSeed } from './drawSeed.ts'
import { ImageDataset, type ImageSample } from './image/ImageDataset.ts'
import type { SkippedInFolder } from './image/ImageFolder.ts'
import { noneSkipped, type SkippedFiles } from './image/listPictures.ts'
import { pictureStores } from './image/PictureCache.ts'
import {
  BUNCH_NAMES,
  CSV_NAMES,
  FOLDER_NAMES,
  type FromCsvOptions,
  type FromFolderOptions,
  type FromListsOptions,
  type FromMasksOptions,
  type ImageDataBunchOptions,
  LIST_NAMES,
  MASK_NAMES,
  PICTURE_NAMES,
  type ShowBatchOptions,
} from './imageDataBunchOptions.ts'
import { type ImagePipelineOptions, imagePipelines } from './imagePipelines.ts'
import { imageSources } from './imageSources.ts'
import { type Label, type LabelledPictures, labelledSources, splitOf } from './labelledPictures.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'
import { type ItemDescription, type PictureSource, pictureItem } from './pictureItem.ts'
import { filesOf, labelsByFunction, labelsByPattern, picturesOfCsv } from './pictureLists.ts'
import { reportSkipped } from './reportSkipped.ts'
import { type ShowImagesOptions, showImages } from './showImages.ts'
import type { ImageStats } from './stats.ts'
import { augmentedPipelines } from './testTimeAugmentation.ts'
import { describePipeline } from './transforms/describe.ts'
import type { Pipeline } from './transforms/Transform.ts'

/** Pictures for a classifier. Batches are `x` `[N, 3, H, W]` float32, normalised, and `y` `[N]` int64. */
export class ImageDataBunch extends DataBunch<ImageSample, TensorBatch> {
  declare readonly classes: readonly string[]
  declare readonly c: number
  /** What pictures were normalised with; undefined if they run from 0 to 1. */
  readonly stats: ImageStats | undefined
  /** What lay in the folders and is not used. */
  readonly skippedFiles: SkippedInFolder
  readonly #valid: Pipeline
  readonly #skippedItems: readonly SkippedItem[]

  /** Completes the pipelines and makes the loaders; `fromFolder` and its kin call it. */
  constructor(
    sources: { train: ImageDataset; valid: ImageDataset | null; test?: ImageDataset | undefined },
    options: ImageDataBunchOptions & {
      path?: string
      skippedFiles?: SkippedInFolder
      skippedItems?: readonly SkippedItem[]
    } = {},
  ) {
    const { path, skippedFiles, skippedItems = [], ...rest } = options
    rejectUnknownOptions('ImageDataBunch', rest, [...BUNCH_NAMES, ...PICTURE_NAMES])
    const { train, valid, stats } = imagePipelines(rest satisfies ImagePipelineOptions)
    const cacheOf = pictureStores(rest.cache)
    const trainDs = sources.train.withTransform(train, cacheOf())
    super(trainDs, sources.valid?.withTransform(valid, cacheOf()), {
      ...defined(pick(rest, BUNCH_NAMES)),
      ...defined({ path, testDataset: sources.test?.withTransform(valid, cacheOf()) }),
      fixDataset: trainDs.withTransform(valid),
      numberDtype: 'int64',
      ...(sources.train.labelSets && { lossFunction: 'binaryCrossEntropyWithLogits' as const }),
    })
    this.#skippedItems = skippedItems
    this.stats = stats
    this.skippedFiles = skippedFiles ?? { ...noneSkipped(), unknownClasses: {} }
    this.#valid = valid
  }

  /**
   * Pictures in `dir/train/<class>` and `dir/valid/<class>` (or `val`). Classes are those of the training folder, sorted.
   * @throws DataError for folders that are missing, for class folders without pictures (see `validPct` for the exception), for one
   * class only, for more pictures in a batch than there are, and, unless `onError` is 'skip', for classes that only validation or test
   * knows. ConfigError for options that cannot be.
   */
  static async fromFolder(dir: string, options: FromFolderOptions = {}): Promise<ImageDataBunch> {
    rejectUnknownOptions('ImageDataBunch.fromFolder', options, [
      ...FOLDER_NAMES,
      ...BUNCH_NAMES,
      ...PICTURE_NAMES,
    ])
    const { train = 'train', valid, test, validPct, extensions, exclude, ...rest } = options
    const { skippedFiles, ...sources } = imageSources(dir, {
      train,
      valid,
      test,
      validPct,
      extensions,
      exclude,
      seed: () => rest.seed ?? drawSeed(),
      onError: rest.onError ?? 'throw',
    })
    return new ImageDataBunch(sources, { ...rest, path: dir, skippedFiles })
  }

  /**
   * Pictures by list: files, relative to `dir`, and a label for each; a list of labels where a picture has several, and targets
   * `[N, C]` of zeros and ones then.
   * @throws DataError for lists of different lengths, and, unless `onError` is 'skip', for labels that only validation knows
   */
  static async fromLists(
    dir: string,
    files: readonly string[],
    labels: readonly Label[],
    options: FromListsOptions = {},
  ): Promise<ImageDataBunch> {
    return fromLabelled('fromLists', dir, { ...filesOf(dir, files), labels }, options)
  }

  /**
   * Pictures of whose pixels each has a class: files, relative to `dir`, and for each a mask, a grey picture of the same size
   * whose values are class indices. Targets are `[N, H, W]` int64. Masks are cut, turned and resized like their pictures.
   * @throws DataError for lists of different lengths; when a batch is made, for a mask that does not fit its picture or its classes
   */
  static async fromMasks(
    dir: string,
    files: readonly string[],
    masks: readonly string[],
    options: FromMasksOptions,
  ): Promise<ImageDataBunch> {
    rejectUnknownOptions('ImageDataBunch.fromMasks', options, [
      ...MASK_NAMES,
      ...BUNCH_NAMES,
      ...PICTURE_NAMES,
    ])
    const { classes, validPct, validIndices, ...rest } = options
    if (!Array.isArray(classes) || classes.length < 2) {
      throw new ConfigError('fromMasks: classes must name the values of a mask, at least 0 and 1')
    }
    const all = new ImageDataset({
      files: filesOf(dir, files).files,
      masks: filesOf(dir, masks).files,
      labels: [],
      classes,
    })
    const seed = () => rest.seed ?? drawSeed()
    const { train, valid } = splitOf(files.length, { validPct, validIndices, seed })
    return new ImageDataBunch(
      { train: all.subset(train), valid: valid.length > 0 ? all.subset(valid) : null },
      { ...rest, path: dir },
    )
  }

  /**
   * Labels by a function of the path (`dir/…`, a text). All pictures below `dir`, or the given ones.
   * @throws DataError for a picture without a label
   */
  static async fromNameFunc(
    dir: string,
    ...[first, second, third]:
      | [labelOf: (path: string) => Label, options?: FromListsOptions]
      | [files: readonly string[], labelOf: (path: string) => Label, options?: FromListsOptions]
  ): Promise<ImageDataBunch> {
    const listed = Array.isArray(first)
    const labelOf = (listed ? second : first) as (path: string) => Label
    const options = ((listed ? third : second) ?? {}) as FromListsOptions
    if (typeof labelOf !== 'function') {
      throw new ConfigError('fromNameFunc takes a function that gives the label of a path')
    }
    const found = filesOf(dir, listed ? (first as readonly string[]) : undefined, options.extensions)
    const labels = labelsByFunction(found.files, labelOf)
    return fromLabelled('fromNameFunc', dir, { ...found, labels }, options)
  }

  /**
   * Labels by a pattern, whose first group finds them in the path (`dir/…`): `/([^/]+)_\d+\.jpg$/` for `pets/beagle_12.jpg`. All
   * pictures below `dir`, or the given ones.
   * @throws DataError for a picture in whose path it finds nothing
   */
  static async fromNameRegex(
    dir: string,
    ...[first, second, third]:
      | [pattern: RegExp | string, options?: FromListsOptions]
      | [files: readonly string[], pattern: RegExp | string, options?: FromListsOptions]
  ): Promise<ImageDataBunch> {
    const listed = Array.isArray(first)
    const pattern = (listed ? second : first) as RegExp | string
    const options = ((listed ? third : second) ?? {}) as FromListsOptions
    if (!(pattern instanceof RegExp) && typeof pattern !== 'string') {
      throw new ConfigError('fromNameRegex takes a pattern such as /([^/]+)_\\d+\\.jpg$/')
    }
    const found = filesOf(dir, listed ? (first as readonly string[]) : undefined, options.extensions)
    const labels = labelsByPattern(found.files, pattern)
    return fromLabelled('fromNameRegex', dir, { ...found, labels }, options)
  }

  /**
   * Pictures and labels of a CSV file, `dir/labels.csv` for example, with a line `name,label`.
   * @throws DataError that names file and line, or the columns there are
   */
  static async fromCsv(dir: string, options: FromCsvOptions = {}): Promise<ImageDataBunch> {
    rejectUnknownOptions('ImageDataBunch.fromCsv', options, [
      ...LIST_NAMES,
      ...CSV_NAMES,
      ...BUNCH_NAMES,
      ...PICTURE_NAMES,
    ])
    const { csv = 'labels.csv', folder = '.', fileColumn = 0, labelColumn = 1, ...others } = options
    const { labelDelimiter, validColumn, suffix = '', separator, header = true, ...rest } = others
    const { onError = 'throw' } = rest
    const { pictures, skipped, validIndices } = await picturesOfCsv(dir, {
      ...{
        csv,
        folder,
        fileColumn,
        labelColumn,
        labelDelimiter,
        validColumn,
        suffix,
        separator,
        header,
        onError,
      },
    })
    if (validIndices && rest.validIndices)
      throw new ConfigError('validColumn and validIndices exclude each other: give one of them')
    reportSkipped(skipped, pictures.files.length + skipped.length)
    return fromLabelled(
      'fromCsv',
      dir,
      { ...pictures, skippedItems: skipped },
      {
        ...rest,
        ...(validIndices && { validIndices }),
      },
    )
  }

  /** The items left out: those whose label or row could not be used, and those that could not be read. */
  override get skipped(): SkippedItem[] {
    return [...this.#skippedItems, ...super.skipped]
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
   * @throws ConfigError for masks: what is magnified and mirrored shows other pixels
   */
  augmentedLoaders(kind: LoaderKind = 'valid', scale = 1.35): DataLoader<ImageSample, TensorBatch>[] {
    const loader = this.loader(kind === 'train' ? 'fix' : kind)
    const dataset = loader.dataset as ImageDataset
    if (dataset.masks) {
      throw new ConfigError(
        'test-time augmentation: pictures that are magnified and mirrored show other pixels than their masks, so their predictions cannot be averaged pixel by pixel. Use getPredictions(), or pass tta({ loaders }) of your own that leave the pixels where they are',
      )
    }
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

  /**
   * Items of `kind` by their index as one batch, transformed as for validation. With `onError: 'skip'` those that cannot be read are
   * left out; its `indices` tell which are there.
   * @throws DataError for an item that cannot be read, or, with `onError: 'skip'`, if none of them can
   */
  async itemsOf(
    kind: LoaderKind,
    indices: readonly number[],
  ): Promise<TensorBatch & { indices: readonly number[] }> {
    const { places, ...batch } = await this.#chosen(kind, indices)
    return { ...batch, indices: places.map((place) => indices[place]!) }
  }

  #chosen(kind: LoaderKind, indices: readonly number[]): Promise<ChosenItems> {
    return chosenItems(this.loader(kind === 'train' ? 'fix' : kind), indices, this.trainDl.device)
  }

  /** Pictures of a batch, `[N, 3, H, W]`, as the model sees them, but before normalising. */
  async showPictures(x: Tensor, options: Omit<ShowImagesOptions, 'stats' | 'count'>): Promise<Figure> {
    return showImages(x, { ...options, count: x.shape[0] ?? 0, stats: this.stats })
  }

  /**
   * Pictures of `kind` by their index, as the model sees them, but before normalising. With `onError: 'skip'` those that cannot be
   * read are left out, with what belongs to them.
   */
  async showItems(
    kind: LoaderKind,
    indices: readonly number[],
    options: Omit<ShowImagesOptions, 'stats' | 'count'>,
  ): Promise<Figure> {
    const { x, places } = await this.#chosen(kind, indices)
    return this.showPictures(x, onlyAt(places, options))
  }

  /** The first pictures of a batch with their classes, as a figure that saves itself. */
  async showBatch(options: ShowBatchOptions = {}): Promise<Figure> {
    rejectUnknownOptions('showBatch', options, ['rows', 'kind'])
    const { rows = 3, kind = 'train' } = options
    checkCount('showBatch', 'rows', rows, 1)
    const { x, y } = await this.oneBatch(kind)
    const titles = await this.#titles(y)
    return showImages(x, {
      stats: this.stats,
      columns: rows,
      count: rows * rows,
      ...(titles && { titles }),
    })
  }

  /** What the pictures show. Undefined for masks. */
  async #titles(y: Tensor): Promise<string[] | undefined> {
    if (y.shape.length === 1) {
      return Array.from(await y.data(), (label) => this.classes[Number(label)] ?? String(label))
    }
    if (y.shape.length !== 2) return undefined
    return (y.toArray() as number[][]).map((row) => this.classes.filter((_, at) => row[at] === 1).join(' '))
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

function fromLabelled(
  owner: string,
  dir: string,
  found: LabelledPictures & { skipped?: SkippedFiles; skippedItems?: readonly SkippedItem[] },
  options: FromListsOptions,
): ImageDataBunch {
  rejectUnknownOptions(`ImageDataBunch.${owner}`, options, [...LIST_NAMES, ...BUNCH_NAMES, ...PICTURE_NAMES])
  const { validPct, validIndices, classes, extensions: _, ...rest } = options
  const { train, valid, skipped } = labelledSources(found, {
    validPct,
    validIndices,
    classes,
    onError: rest.onError ?? 'throw',
    seed: () => rest.seed ?? drawSeed(),
  })
  return new ImageDataBunch(
    { train, valid: valid.length > 0 ? valid : null },
    {
      ...rest,
      path: dir,
      skippedFiles: { ...(found.skipped ?? noneSkipped()), unknownClasses: {} },
      skippedItems: [...(found.skippedItems ?? []), ...skipped],
    },
  )
}

function pick<T extends object, Key extends keyof T>(options: T, names: readonly Key[]): Pick<T, Key> {
  return Object.fromEntries(names.map((name) => [name, options[name]])) as Pick<T, Key>
}
