import type { ItemDescription } from '../data/pictureItem.ts'
import type { PictureOverlay } from '../data/showImages.ts'
import { Tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import type { LossFunction, LossHint } from './lossFunction.ts'

/** A batch's input: one tensor, or one for each argument of the model's `forward`. The first dimension counts samples. */
export type Input = Tensor | readonly Tensor[]

/** A batch's target: what the loss compares the output with. */
export type Target = Tensor | readonly Tensor[]

/** What a model gives: one tensor, or, of a model with several heads, a list with one for each. */
export type Output = Tensor | readonly Tensor[]

/** What a loader brings. */
export interface Batch {
  readonly x: Input
  readonly y: Target
}

/** What the Learner needs of a loader: batches, and how many there are in one pass. `DataLoader` is one. */
export interface BatchLoader extends AsyncIterable<Batch> {
  readonly length: number
  readonly dataset: { readonly length: number }
  /** Where the loader stands, if it can tell and be put back there: for the finder, and for resuming. */
  state?(): object
  loadState?(state: object): void
  /** Which items of `dataset` the rows of a batch are, if it can tell; else they count as in order and complete. */
  indicesOf?(batch: object): readonly number[] | undefined
  /** A loader like this one with another batch size, for `learner.findBatchSize`. */
  with?(options: { batchSize: number }): BatchLoader
}

/** How items are shown. */
export interface ShowItemsOptions {
  /** Stands above all. */
  title?: string
  /** One for each. */
  titles?: readonly string[]
  /** One for each title. */
  titleColors?: readonly string[]
  /** Items in a row. */
  columns: number
  /** Colours to lay over pictures, one for each. */
  overlays?: readonly (PictureOverlay | undefined)[]
}

/** What the Learner needs of its data. `DataBunch` is one; a plain object serves too. */
export interface LearnerData {
  readonly trainDl: BatchLoader
  readonly validDl?: BatchLoader | null | undefined
  /** The training items in fixed order, all of them, transformed as for validation. */
  readonly fixDl?: BatchLoader | null | undefined
  readonly testDl?: BatchLoader | null | undefined
  /** Class names; an index into them is what a classifier predicts. */
  readonly classes?: readonly string[] | undefined
  /** The loss that suits the targets, or its name in `F`; the Learner's own option comes first. */
  readonly lossFunction?: LossFunction | LossHint | undefined
  /** Where the batches are; the Learner moves the model there. Default: the model stays where it is. */
  readonly device?: string | undefined
  /** Folder below which the Learner saves. */
  readonly path?: string | undefined
  /** The first training batch, without moving the loader on. */
  oneBatch?(): Promise<Batch>
  /** An item of the user's as a batch of one, transformed as for validation. */
  oneItem?(item: never): Promise<{ x: Input }>
  /** What `oneItem` does, as data, for `learner.export`; undefined if it is code of one's own. */
  describeItem?(): ItemDescription | undefined
  /** Loaders of the items of `dataset`, in order, each augmented in its own way: for `learner.tta`. */
  augmentedLoaders?(dataset: 'valid' | 'train' | 'test', scale: number): readonly BatchLoader[]
  /**
   * Some of the items as one batch, transformed as for validation: for class activation maps. Where items that cannot be read are
   * left out, its `indices` tell which ones there are.
   */
  itemsOf?(
    dataset: 'valid' | 'train' | 'test',
    indices: readonly number[],
  ): Promise<Batch & { indices?: readonly number[] }>
  /** The pictures of a batch's input as a figure. */
  showPictures?(x: Tensor, options: ShowItemsOptions): Promise<Figure>
  /** Some of the items, by their positions in the dataset, as a figure: for `learner.showResults` and top losses. */
  showItems?(
    dataset: 'valid' | 'train' | 'test',
    indices: readonly number[],
    options: ShowItemsOptions,
  ): Promise<Figure>
}

/** The tensors of an input, a target or an output, in a list. */
export function tensorsOf(value: Input | Target | Output): readonly Tensor[] {
  return Array.isArray(value) ? (value as readonly Tensor[]) : [value as Tensor]
}

/** Whether a value is a list of tensors, of one at least. */
export function isTensorList(value: unknown): value is readonly Tensor[] {
  return Array.isArray(value) && value.length > 0 && value.every((part) => part instanceof Tensor)
}

/** What `change` makes of the tensor, or of each of the list. */
export function eachOf(value: Output, change: (tensor: Tensor) => Tensor): Output {
  return Array.isArray(value) ? (value as readonly Tensor[]).map(change) : change(value as Tensor)
}

/** Number of samples in a batch, by its input, target or output. */
export function batchSizeOf(input: Input | Output): number {
  return tensorsOf(input)[0]?.shape[0] ?? 0
}
