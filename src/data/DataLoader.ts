import { availableParallelism } from 'node:os'
import { show } from '../engine/check.ts'
import { ConfigError, DataError } from '../engine/errors.ts'
import { BatchIterator, type SkippedItem } from './BatchIterator.ts'
import { RoomPool } from './BatchRoom.ts'
import { type Collated, Collator, type NumberDtype } from './collate.ts'
import { checkDataset, type Dataset } from './Dataset.ts'
import { drawSeed } from './drawSeed.ts'
import { checkChoice, checkCount, rejectUnknownOptions } from './options.ts'
import { checkSeed } from './random.ts'
import { reportSkipped } from './reportSkipped.ts'
import { RandomSampler, type Sampler, SequentialSampler } from './samplers.ts'

export interface DataLoaderOptions<Item = unknown, B = Collated<Item>> {
  /** Items in a batch. Default 1. */
  batchSize?: number
  /** A new order each epoch. Default false. */
  shuffle?: boolean
  /** Which items, and in which order; instead of `shuffle`. */
  sampler?: Sampler
  /** Leave out the last batch of an epoch if it is not full. Default false. */
  dropLast?: boolean
  /**
   * Items that are fetched at the same time, in the background; of pictures, those that are decoded. Default: the number of cores,
   * but no more than 16 (what sharp decodes keeps to libuv's threads besides: 4, or `UV_THREADPOOL_SIZE`). 0 fetches one after
   * the other, when its batch is asked for.
   */
  workers?: number
  /** Batches that are prepared ahead. Default 2; always 0 with `workers: 0`. */
  prefetch?: number
  /** Whole number that order and augmentation follow from. Default: drawn from the engine's generator at first use. */
  seed?: number
  /**
   * Makes the batch of the items, in the context of the consumer. Default: see `Collator`. What the dataset does to whole batches is
   * done to the result: `toTensor` and `normalize` of pictures to its `x`.
   */
  collate?: (items: Item[]) => B
  /** What single numbers become. Default: int64 if they are whole, else float32. */
  numberDtype?: 'int64' | 'float32'
  /**
   * What to do with an item whose `get` throws a `DataError`: 'throw' ends the epoch with that error, when its batch is
   * asked for (default); 'skip' leaves the item out. Its batch is then smaller by one, so that the other batches stay as
   * they are; a batch of which nothing is left does not come. `skipped` lists what was left out.
   */
  onError?: 'throw' | 'skip'
  /** Where the batches are made. Default: the default device. */
  device?: string
}

/** Names of the options of every loader, whatever its items are. */
export const LOADER_NAMES = [
  'batchSize',
  'shuffle',
  'sampler',
  'dropLast',
  'workers',
  'prefetch',
  'seed',
  'onError',
  'device',
] as const

const OPTION_NAMES = [...LOADER_NAMES, 'collate', 'numberDtype']

/** Where a loader stands: enough to go on from there to the bit. */
export interface DataLoaderState {
  seed: number
  /** The epoch in progress, or the next one. */
  epoch: number
  /** Batches of that epoch which have been handed out. */
  batch: number
  /** What single numbers became, once a batch has settled it, by where in a sample they lie. */
  numberDtypes?: Record<string, NumberDtype>
}

/**
 * Batches of a dataset, for `for await`. Items are fetched in the background, ahead of the consumer; tensors are made when
 * a batch is taken, and belong to the consumer. Order and augmentation follow from `seed` and the number of the epoch,
 * whatever the number of workers. Each `for await` is one epoch; leaving it early leaves no work behind.
 *
 * @throws ConfigError for options that cannot be, DataError if `dropLast` leaves no batch at all.
 */
export class DataLoader<Item = unknown, B = Collated<Item>> implements AsyncIterable<B> {
  readonly dataset: Dataset<Item>
  readonly batchSize: number
  readonly sampler: Sampler
  readonly dropLast: boolean
  readonly workers: number
  readonly prefetch: number
  readonly onError: 'throw' | 'skip'
  readonly device: string | undefined
  readonly #options: DataLoaderOptions<Item, B>
  readonly #collator: Collator
  readonly #rooms = new RoomPool()
  readonly #skipped = new Map<number, SkippedItem>()
  readonly #indices = new WeakMap<object, readonly number[]>()
  #reported = 0
  #seed: number | undefined
  #nextEpoch = 0
  #nextBatch = 0
  #current: BatchIterator<Item, B> | undefined

  constructor(dataset: Dataset<Item>, options: DataLoaderOptions<Item, B> = {}) {
    checkDataset('DataLoader', dataset)
    rejectUnknownOptions('DataLoader', options, OPTION_NAMES)
    const { batchSize = 1, shuffle = false, sampler, dropLast = false, seed, onError = 'throw' } = options
    const { workers = defaultWorkers(), prefetch = 2 } = options
    checkCount('DataLoader', 'batchSize', batchSize, 1)
    checkCount('DataLoader', 'workers', workers, 0)
    checkCount('DataLoader', 'prefetch', prefetch, 0)
    checkChoice('DataLoader', 'onError', onError, ['throw', 'skip'])
    if (options.numberDtype)
      checkChoice('DataLoader', 'numberDtype', options.numberDtype, ['int64', 'float32'])
    if (seed !== undefined) checkSeed(seed)
    if (sampler && options.shuffle) {
      throw new ConfigError('DataLoader: a sampler decides about the order itself; leave shuffle out')
    }
    this.dataset = dataset
    this.batchSize = batchSize
    this.sampler = sampler ?? new (shuffle ? RandomSampler : SequentialSampler)(dataset.length)
    this.dropLast = dropLast
    this.workers = workers
    this.prefetch = workers === 0 ? 0 : prefetch
    this.onError = onError
    this.device = options.device
    this.#options = options
    this.#collator = new Collator(options.numberDtype)
    this.#seed = seed
    if (this.sampler.length === 0)
      throw new DataError('DataLoader: the dataset is empty, so there are no batches')
    if (this.length === 0) {
      throw new DataError(
        `DataLoader: a batch size of ${batchSize} is larger than the ${this.sampler.length} items, and dropLast leaves out what does not fill a batch. Choose batchSize <= ${this.sampler.length}, or dropLast: false`,
      )
    }
  }

  /** Number of batches in one epoch. */
  get length(): number {
    const batches = this.sampler.length / this.batchSize
    return this.dropLast ? Math.floor(batches) : Math.ceil(batches)
  }

  /** The items that `onError: 'skip'` has left out so far, each once. */
  get skipped(): SkippedItem[] {
    return [...this.#skipped.values()]
  }

  /**
   * Which items of the dataset a batch of this loader holds, in the order of its rows: those that were left out are not among them.
   * Undefined for what is no batch of this loader.
   */
  indicesOf(batch: object): readonly number[] | undefined {
    return this.#indices.get(batch)
  }

  [Symbol.asyncIterator](): AsyncIterator<B, undefined> {
    const iterator = this.#iterate(this.#nextEpoch, this.#nextBatch)
    this.#current = iterator
    this.#nextEpoch++
    this.#nextBatch = 0
    return iterator
  }

  /** The first batch of the next epoch, without moving on to it. */
  async first(): Promise<B> {
    const iterator = this.#iterate(this.#nextEpoch, 0, 0)
    try {
      const { value } = await iterator.next()
      if (value === undefined)
        throw new DataError('the loader has no batch: no item of the dataset could be read')
      return value
    } finally {
      await iterator.return()
    }
  }

  /** Where the loader stands now. */
  state(): DataLoaderState {
    const seed = this.#settledSeed()
    const current = this.#current
    const numberDtypes = this.#collator.settled
    const settled = Object.keys(numberDtypes).length > 0 ? { numberDtypes } : {}
    if (current && !current.done) return { seed, epoch: current.epoch, batch: current.batch, ...settled }
    return { seed, epoch: this.#nextEpoch, batch: this.#nextBatch, ...settled }
  }

  /**
   * The next epoch begins where `state()` was taken; a running one is not changed.
   * @throws ConfigError for what no loader of so many batches can have given
   */
  loadState({ seed, epoch, batch, numberDtypes = {} }: DataLoaderState): void {
    checkSeed(seed)
    checkCount('DataLoader', 'epoch', epoch, 0)
    checkCount('DataLoader', 'batch', batch, 0)
    if (batch > this.length) {
      throw new ConfigError(`DataLoader: cannot go on after batch ${batch}: an epoch has ${this.length}`)
    }
    if (numberDtypes === null || typeof numberDtypes !== 'object') {
      throw new ConfigError(`DataLoader: numberDtypes must be an object, got ${show(numberDtypes)}`)
    }
    for (const dtype of Object.values(numberDtypes)) {
      checkChoice('DataLoader', 'numberDtypes', dtype, ['int64', 'float32'])
    }
    this.#collator.settled = numberDtypes
    this.#seed = seed
    this.#nextEpoch = epoch
    this.#nextBatch = batch
    this.#current = undefined
  }

  /** A loader like this one with some options changed, the same seed and epoch, and numbers of the same dtypes. */
  with(options: DataLoaderOptions<Item, B>): DataLoader<Item, B> {
    const loader = new DataLoader<Item, B>(this.dataset, { ...this.#options, ...options })
    if (options.seed === undefined) loader.#seed = this.#seed
    loader.#nextEpoch = this.#nextEpoch
    loader.#collator.settled = this.#collator.settled
    return loader
  }

  /** Lists, once, what has been left out since the last time. */
  #reportSkipped(): void {
    const news = this.skipped.slice(this.#reported)
    this.#reported += news.length
    reportSkipped(news, this.dataset.length)
  }

  #settledSeed(): number {
    this.#seed ??= drawSeed()
    return this.#seed
  }

  #iterate(epoch: number, batch: number, ahead = this.prefetch): BatchIterator<Item, B> {
    const { dataset, sampler, batchSize, length, workers, onError, device } = this
    return new BatchIterator<Item, B>({
      dataset,
      sampler,
      batchSize,
      length,
      seed: this.#settledSeed(),
      epoch,
      batch,
      workers,
      prefetch: ahead,
      onError,
      device,
      collate: this.#options.collate,
      collator: this.#collator,
      rooms: this.#rooms,
      onSkip: (item) => this.#skipped.set(item.index, item),
      onBatch: (value, indices) => {
        // A `collate` of the user's own may give anything.
        if (typeof value === 'object' && value !== null) this.#indices.set(value, indices)
      },
      onEnd: () => this.#reportSkipped(),
    })
  }
}

// As fastai: more would only wait for the disk.
function defaultWorkers(): number {
  return Math.min(availableParallelism(), 16)
}
