import type { DataBunchOptions, LoaderKind } from './DataBunch.ts'
import { LOADER_NAMES } from './DataLoader.ts'
import type { TensorBatch } from './Dataset.ts'
import type { ImageSample } from './image/ImageDataset.ts'
import type { CacheOption } from './image/PictureCache.ts'
import type { ResizeMethod } from './imagePipelines.ts'
import type { ImageStats } from './stats.ts'
import type { TransformPair } from './transforms/getTransforms.ts'
import type { Size } from './transforms/Transform.ts'

export const BUNCH_NAMES = [...LOADER_NAMES, 'validBatchSize'] as const

type LoaderOptions = Pick<DataBunchOptions<ImageSample, TensorBatch>, (typeof BUNCH_NAMES)[number]>

export interface ImageDataBunchOptions extends LoaderOptions {
  /**
   * Height and width that all pictures come to, before the transforms; one number for both. Default: the pictures keep
   * their size, or get that of a transform such as `randomResizedCrop(224)`.
   */
  size?: Size
  /** How they come to it; see `ResizeMethod`. Default 'crop', or 'squish' for a size [height, width]. */
  resizeMethod?: ResizeMethod
  /** `getTransforms()`, or `{ train, valid }` with transforms of your own. Default: none besides `size`. */
  transforms?: TransformPair
  /** Mean and standard deviation to normalise with, such as `imagenetStats`. Default: pictures from 0 to 1. */
  stats?: ImageStats
  /**
   * Keep decoded pictures for later epochs: after `size` and whatever transforms draw nothing. 'memory' uses up to a quarter of
   * it, a number that many bytes; `{ folder }` keeps them in files, for the next program too. Default: decode anew each epoch.
   */
  cache?: CacheOption
}

export interface FromFolderOptions extends ImageDataBunchOptions {
  /** Folder of the training pictures, in `dir`. Default 'train'. */
  train?: string
  /** Folder of the validation pictures, in `dir`. Default: 'valid' or 'val', whichever is there. */
  valid?: string
  /**
   * Folder of test pictures, in `dir`; in class folders, or, without labels, in the folder itself (all of class 0 then). Default none.
   * A class that training does not know is an error there as in the validation folder, or left out with `onError: 'skip'` where others
   * are known.
   */
  test?: string
  /**
   * Instead of a validation folder: pool all pictures and keep this part of them for validation, at random. They are those of the
   * folders for training and validation, or, if neither is there, of the class folders in `dir` itself; folders beside these that hold
   * no picture at all, such as the Learner's `models`, are no classes then.
   */
  validPct?: number
  /** Endings of picture files. Default `imageExtensions`. */
  extensions?: readonly string[]
  /** Names of folders that are no classes, though they lie beside the class folders and hold pictures. Default none. */
  exclude?: readonly string[]
}

export interface FromListsOptions extends ImageDataBunchOptions {
  /** Part of the pictures kept for validation, at random. Default 0.2. */
  validPct?: number
  /**
   * Which pictures are for validation, counted from 0, instead of a random part. Of a CSV file all rows count, those that `onError: 'skip'`
   * leaves out too.
   */
  validIndices?: readonly number[]
  /**
   * The classes, in their order. Default: the labels of the training pictures, sorted: numbers by value (of a CSV file, a column that
   * holds whole numbers throughout), texts as texts, '10' before '2'.
   */
  classes?: readonly string[]
  /** Endings of picture files, where a folder is searched. Default `imageExtensions`. */
  extensions?: readonly string[]
}

export interface FromMasksOptions extends Omit<FromListsOptions, 'classes' | 'extensions'> {
  /** Names of the values of a mask, from 0 on. */
  classes: readonly string[]
}

export interface FromCsvOptions extends Omit<FromListsOptions, 'extensions'> {
  /** The CSV file, relative to `dir`. Default 'labels.csv'. */
  csv?: string
  /** Where the pictures are, relative to `dir`. Default there. */
  folder?: string
  /** Column of the file names, by name or number. Default 0. */
  fileColumn?: string | number
  /** Column of the labels. Default 1. */
  labelColumn?: string | number
  /** A picture may have several labels, with this between them: ' ' for example. Targets are then `[N, C]` zeros and ones. */
  labelDelimiter?: string
  /** Column that says whether a picture is for validation (true, 1, yes), instead of a random part. */
  validColumn?: string | number
  /** Ending that the names lack, '.jpg' for example. Default none. */
  suffix?: string
  /** What stands between fields. Default ','. */
  separator?: string
  /** The first line names the columns. Default true. */
  header?: boolean
}

export interface ShowBatchOptions {
  /** Rows, and columns, of pictures; no more than the batch has. Default 3. */
  rows?: number
  /** Default 'train': augmented pictures. */
  kind?: LoaderKind
}

// Names of all these, to tell of what nobody knows.
export const PICTURE_NAMES = ['size', 'resizeMethod', 'transforms', 'stats', 'cache'] as const
export const MASK_NAMES = ['classes', 'validPct', 'validIndices'] as const
export const LIST_NAMES = ['validPct', 'validIndices', 'classes', 'extensions'] as const
export const CSV_NAMES = [
  'csv',
  'folder',
  'fileColumn',
  'labelColumn',
  'labelDelimiter',
  'validColumn',
  'suffix',
  'separator',
  'header',
] as const
export const FOLDER_NAMES = ['train', 'valid', 'test', 'validPct', 'extensions', 'exclude']
