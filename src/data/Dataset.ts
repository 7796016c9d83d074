import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import type { PictureRoom } from './image/RgbImage.ts'
import type { RandomStream } from './random.ts'

/** An input and its target, before they are collated. */
export interface Sample<X = unknown, Y = unknown> {
  x: X
  y: Y
}

/** A batch as models and losses take it: the first dimension counts the samples. */
export interface TensorBatch<X = Tensor, Y = Tensor> {
  x: X
  y: Y
}

/**
 * Anything with a length and items. A plain object serves: `{ length: 10, get: (index) => ({ x: [index], y: index % 2 }) }`.
 * `DataLoader` says how items of each kind become tensors.
 */
export interface Dataset<Item = unknown> {
  readonly length: number

  /**
   * The item at `index` (0 … length − 1), at once or as a promise. What is random about it must be drawn from `random`,
   * which depends on the loader's seed, the epoch and the item only: then the same batches come whatever the number of
   * workers. An item that cannot be had throws a `DataError`; `onError` of the loader says what happens then.
   */
  get(index: number, random: RandomStream): Item | Promise<Item>

  /** Names of the classes, where the targets are indices into them. */
  readonly classes?: readonly string[] | undefined

  /** How people know the item, for error messages: its file, for example. */
  describe?(index: number): string
}

/** A dataset that makes whole batches by itself, faster than item by item. A loader without `collate` uses it. */
export interface GatherableDataset<B> {
  /** The batch of the items at `indices`, in that order, on `device` if given. Called where the batch is consumed. */
  gather(indices: readonly number[], device?: string): B
}

/** A dataset whose items are made for a batch, so that what is left to do can be done to all of it at once. */
export interface BatchedItems<Item = unknown> {
  /**
   * What `get` gives, but pictures may come as `SampledPicture`s, and their bytes lie where `room` says. A loader without `collate`
   * uses it.
   */
  getForBatch(index: number, random: RandomStream, room: PictureRoom): Item | Promise<Item>
}

/** A dataset that finishes collated batches: normalising pictures on the device, for example. */
export interface BatchFinisher {
  /** Called on every collated batch, that of a loader's own `collate` too, where it is consumed. `random` depends on seed, epoch and batch only. */
  finishBatch<B>(batch: B, random: RandomStream): B
}

export function isGatherable<B>(dataset: object): dataset is GatherableDataset<B> {
  return typeof (dataset as Partial<GatherableDataset<B>>).gather === 'function'
}

export function isBatchFinisher(dataset: object): dataset is BatchFinisher {
  return typeof (dataset as Partial<BatchFinisher>).finishBatch === 'function'
}

export function hasBatchedItems<Item>(dataset: object): dataset is BatchedItems<Item> {
  return typeof (dataset as Partial<BatchedItems>).getForBatch === 'function'
}

/** @throws ConfigError that says what a dataset is, for what is none */
export function checkDataset(owner: string, dataset: unknown): void {
  const { length, get } = (dataset ?? {}) as Partial<Dataset>
  if (typeof length === 'number' && typeof get === 'function') return
  const array = Array.isArray(dataset)
    ? '; of an array, { length: array.length, get: (index) => array[index] }'
    : ''
  throw new ConfigError(
    `${owner}: a dataset has a length and get(index), which gives one item, got ${Array.isArray(dataset) ? 'an array' : show(dataset)}${array}`,
  )
}
