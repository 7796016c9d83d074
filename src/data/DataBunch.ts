import { ConfigError, DataError } from '../engine/errors.ts'
import { getDefaultDevice } from '../engine/index.ts'
import type { SkippedItem } from './BatchIterator.ts'
import type { Collated } from './collate.ts'
import { DataLoader, type DataLoaderOptions, type DataLoaderState, LOADER_NAMES } from './DataLoader.ts'
import { checkDataset, type Dataset } from './Dataset.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'
import type { Sampler } from './samplers.ts'

/** The loss that suits the targets, by its name in `F`. */
export type LossHint = 'crossEntropy' | 'binaryCrossEntropyWithLogits' | 'mseLoss'

export interface DataBunchOptions<Item = unknown, B = Collated<Item>> {
  /** Default 64. */
  batchSize?: number
  /** Batch size for validation and test. Default `batchSize`. */
  validBatchSize?: number
  /** A new order of the training items each epoch. Default true. */
  shuffle?: boolean
  /** Which training items, and in which order; instead of `shuffle`. */
  sampler?: Sampler
  /** Leave out the last training batch if it is not full. Default true. */
  dropLast?: boolean
  /** Items fetched at the same time; see `DataLoader`. */
  workers?: number
  /** Batches prepared ahead; see `DataLoader`. */
  prefetch?: number
  /** What order and augmentation follow from. Default: drawn from the engine's generator at first use. */
  seed?: number
  /** What to do with an item that cannot be read: 'throw' (default) or 'skip'. */
  onError?: 'throw' | 'skip'
  /** Where batches are made. Default: the default device. */
  device?: string
  /** Makes batches of items. */
  collate?: (items: Item[]) => B
  /** What single numbers become; see `DataLoader`. */
  numberDtype?: 'int64' | 'float32'
  /** Folder below which a learner saves. Default '.'. */
  path?: string
  /** The training items as they are for validation, without augmentation. Default: the training dataset itself. */
  fixDataset?: Dataset<Item>
  testDataset?: Dataset<Item>
  /** Names of the classes. Default: those of the training dataset. */
  classes?: readonly string[]
  /** Number of outputs that a model needs. Default: the number of classes. */
  c?: number
  /** The loss that suits the targets. Default 'crossEntropy' if there are classes. */
  lossFunction?: LossHint
}

const OPTION_NAMES = [
  ...LOADER_NAMES,
  'validBatchSize',
  'collate',
  'numberDtype',
  'path',
  'fixDataset',
  'testDataset',
  'classes',
  'c',
  'lossFunction',
]

/** Which of the loaders. */
export type LoaderKind = 'train' | 'valid' | 'fix' | 'test'

/** Training, validation and test data together, as a `Learner` takes them. */
export class DataBunch<Item = unknown, B = Collated<Item>> {
  /** Shuffled, without the last batch if it is short. */
  trainDl: DataLoader<Item, B>
  /** In order, complete. Null without validation data. */
  validDl: DataLoader<Item, B> | null
  /** The training items in order, complete, without augmentation. */
  fixDl: DataLoader<Item, B>
  /** In order, complete. Null without test data. */
  testDl: DataLoader<Item, B> | null
  readonly classes: readonly string[] | undefined
  /** Number of outputs that a model needs. Undefined without classes. */
  readonly c: number | undefined
  readonly path: string
  readonly lossFunction: LossHint | undefined

  /** @throws DataError if the training items do not fill one batch, ConfigError for options that cannot be. */
  constructor(
    trainDs: Dataset<Item>,
    validDs?: Dataset<Item> | null,
    options: DataBunchOptions<Item, B> = {},
  ) {
    checkDataset('DataBunch', trainDs)
    if (validDs) checkDataset('DataBunch', validDs)
    rejectUnknownOptions('DataBunch', options, OPTION_NAMES)
    const {
      batchSize = 64,
      validBatchSize = batchSize,
      sampler,
      shuffle = !sampler,
      dropLast = true,
    } = options
    const { workers, prefetch, seed, onError, device, collate, numberDtype } = options
    checkCount('DataBunch', 'batchSize', batchSize, 1)
    checkCount('DataBunch', 'validBatchSize', validBatchSize, 1)
    if ((sampler ?? trainDs).length === 0) {
      throw new DataError(
        sampler
          ? 'the sampler gives no items, so there would be no training batch'
          : 'the training set is empty: it has no items to train with',
      )
    }
    if (dropLast && batchSize > (sampler ?? trainDs).length) {
      throw new DataError(
        `a batch size of ${batchSize} is larger than the training set (${(sampler ?? trainDs).length} items), so there would be no training batch at all. Choose batchSize <= ${(sampler ?? trainDs).length}`,
      )
    }
    const common = defined({ workers, prefetch, onError, device, collate, numberDtype })
    // Validation draws nothing by itself; a fixed seed keeps the engine's generator out of it.
    const fixed: DataLoaderOptions<Item, B> = { ...common, batchSize: validBatchSize, seed: 0 }
    this.trainDl = new DataLoader<Item, B>(trainDs, {
      ...common,
      ...defined({ seed, sampler }),
      batchSize,
      shuffle,
      dropLast,
    })
    this.validDl = validDs && validDs.length > 0 ? new DataLoader<Item, B>(validDs, fixed) : null
    this.fixDl = new DataLoader<Item, B>(options.fixDataset ?? trainDs, { ...fixed, batchSize })
    this.testDl = options.testDataset ? new DataLoader<Item, B>(options.testDataset, fixed) : null
    this.classes = options.classes ?? trainDs.classes
    this.c = options.c ?? this.classes?.length
    this.path = options.path ?? '.'
    this.lossFunction = options.lossFunction ?? (this.classes ? 'crossEntropy' : undefined)
  }

  /** Loaders for datasets of any kind. @throws DataError if the training items do not fill one batch. */
  static create<Item, B = Collated<Item>>(
    trainDs: Dataset<Item>,
    validDs?: Dataset<Item> | null,
    options: DataBunchOptions<Item, B> = {},
  ): DataBunch<Item, B> {
    return new DataBunch<Item, B>(trainDs, validDs, options)
  }

  get trainDs(): Dataset<Item> {
    return this.trainDl.dataset
  }

  get validDs(): Dataset<Item> | null {
    return this.validDl?.dataset ?? null
  }

  get testDs(): Dataset<Item> | null {
    return this.testDl?.dataset ?? null
  }

  /** Where batches are made. */
  get device(): string {
    return this.trainDl.device ?? getDefaultDevice()
  }

  /** Size of the training batches. Setting it changes all loaders. */
  get batchSize(): number {
    return this.trainDl.batchSize
  }

  set batchSize(batchSize: number) {
    this.trainDl = this.trainDl.with({ batchSize })
    this.fixDl = this.fixDl.with({ batchSize })
    this.validDl &&= this.validDl.with({ batchSize })
    this.testDl &&= this.testDl.with({ batchSize })
  }

  /** A loader by its name. @throws ConfigError if there is none. */
  loader(kind: LoaderKind): DataLoader<Item, B> {
    const found = { train: this.trainDl, valid: this.validDl, fix: this.fixDl, test: this.testDl }[kind]
    if (found) return found
    throw new ConfigError(
      `the data has no ${kind === 'test' ? 'test' : 'validation'} items (loader '${String(kind)}')`,
    )
  }

  /** The next first batch of a loader (default 'train'), without moving on. */
  oneBatch(kind: LoaderKind = 'train'): Promise<B> {
    return this.loader(kind).first()
  }

  /** The items left out because they could not be read, of all loaders, each once. */
  get skipped(): SkippedItem[] {
    const all = [this.trainDl, this.fixDl, this.validDl, this.testDl].flatMap(
      (loader) => loader?.skipped ?? [],
    )
    return [...new Map(all.map((item) => [item.item, item])).values()]
  }

  /** Where the training loader stands: its seed, epoch and batch. */
  state(): DataLoaderState {
    return this.trainDl.state()
  }

  /** Goes on where `state()` was taken. */
  loadState(state: DataLoaderState): void {
    this.trainDl.loadState(state)
  }
}

/** Without the entries that are undefined, so that they do not hide defaults. */
export function defined<T extends object>(options: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
