import { ConfigError, DataError } from '../engine/errors.ts'
import type { SkippedItem } from './BatchIterator.ts'
import { ImageDataset } from './image/ImageDataset.ts'
import type { PicturePath } from './image/listPictures.ts'
import { readableName } from './image/pictureError.ts'
import { reportSkipped } from './reportSkipped.ts'
import { orLeaveOut } from './skipAdvice.ts'
import { sortedByValue, sortedLabels } from './sortedLabels.ts'
import { randomSplit } from './split.ts'

/** What a picture shows: one class, or several. */
export type Label = string | number | readonly (string | number)[]

/** Pictures with labels, before they are split. */
export interface LabelledPictures {
  files: readonly PicturePath[]
  labels: readonly Label[]
  /** The labels are texts of numbers, and the classes in the order of their values. Default false: numbers by value, texts as texts. */
  byValue?: boolean | undefined
  /** For each picture where it was named, for error messages. */
  notes?: readonly string[] | undefined
  /** Where they are the rows of a file of which some are left out: see `FileRows`. */
  rows?: FileRows | undefined
}

/** By these numbers `validIndices` and the list of what was left out speak of pictures: others are not to shift them. */
export interface FileRows {
  /** For each picture the number of its row, from 0. */
  numbers: readonly number[]
  /** Of all rows. */
  count: number
}

export interface SplitOptions {
  /** Part of the pictures kept for validation, at random. Default 0.2. */
  validPct?: number | undefined
  /** Which pictures are for validation, counted from 0, instead of a random part. */
  validIndices?: readonly number[] | undefined
  /** The classes, in their order. Default: the labels of the training pictures, sorted; see `sortedLabels`. */
  classes?: readonly string[] | undefined
  /** For a picture for validation whose label training does not know. */
  onError: 'throw' | 'skip'
  seed: () => number
}

export interface LabelledSources {
  train: ImageDataset
  valid: ImageDataset
  /** Pictures that were left out because of their labels. */
  skipped: readonly SkippedItem[]
}

/**
 * Splits labelled pictures into those for training and those for validation. Where one label is a list, all pictures have
 * lists. @throws DataError that names the picture whose label is not known
 */
export function labelledSources(pictures: LabelledPictures, options: SplitOptions): LabelledSources {
  const { files, labels, notes, byValue, rows } = pictures
  if (files.length !== labels.length) {
    throw new DataError(
      `there are ${files.length} files, but ${labels.length} labels: each file has one label`,
    )
  }
  const { train, valid } = splitOf(files.length, options, rows)
  const several = labels.some((label) => Array.isArray(label))
  const labelsOf = (index: number) => [labels[index]!].flat() as (string | number)[]
  const textsOf = (index: number) => labelsOf(index).map(String)
  const classes =
    options.classes ??
    (byValue
      ? sortedByValue(Array.from(train, textsOf).flat())
      : sortedLabels(Array.from(train, labelsOf).flat()))
  if (classes.length < (several ? 1 : 2)) {
    throw new DataError(
      `all ${train.length} training pictures have the same label, '${classes[0] ?? ''}'; a classifier needs at least 2 classes`,
    )
  }
  const places = new Map(classes.map((name, at) => [name, at]))
  const skipped: SkippedItem[] = []
  const advice = `${options.classes ? 'Add it to classes' : 'Pass classes'}${orLeaveOut('pictures')}`
  const part = (indices: ArrayLike<number>) => {
    const kept = Array.from(indices).filter((index) => {
      const unknown = textsOf(index).find((text) => !places.has(text))
      if (unknown === undefined) return true
      const note = notes?.[index]
      const item = `${readableName(files[index]!)}${note === undefined ? '' : ` (${note})`}`
      const reason = `${item}: the label '${unknown}' is not among the classes '${classes.slice(0, 10).join("', '")}'${classes.length > 10 ? ` and ${classes.length - 10} more` : ''}, which are those ${options.classes ? 'given' : 'of the training pictures'}`
      if (options.onError === 'throw') throw new DataError(`${reason}. ${advice}`)
      skipped.push({ index: rows?.numbers[index] ?? index, item, reason })
      return false
    })
    const numbers = kept.map((index) => textsOf(index).map((text) => places.get(text)!))
    return new ImageDataset({
      files: kept.map((index) => files[index]!),
      labels: several ? numbers : numbers.map((list) => list[0]!),
      classes,
      notes: notes && kept.map((index) => notes[index]!),
    })
  }
  const sources = { train: part(train), valid: part(valid), skipped }
  reportSkipped(skipped, files.length)
  return sources
}

/** Which of so many pictures are for training and which for validation, by their numbers. */
export function splitOf(
  length: number,
  { validPct, validIndices, seed }: Pick<SplitOptions, 'validPct' | 'validIndices' | 'seed'>,
  rows?: FileRows,
): { train: ArrayLike<number>; valid: ArrayLike<number> } {
  if (length === 0) throw new DataError('there are no pictures')
  if (!validIndices) return randomSplit(length, validPct ?? 0.2, seed())
  if (validPct !== undefined)
    throw new ConfigError('validPct and validIndices exclude each other: give one of them')
  const count = rows?.count ?? length
  const odd = validIndices.find((index) => !Number.isInteger(index) || index < 0 || index >= count)
  if (odd !== undefined)
    throw new ConfigError(`validIndices: ${odd} is no picture; they are counted from 0 to ${count - 1}`)
  const chosen = new Set(validIndices)
  const all = Array.from({ length }, (_, index) => index)
  const isChosen = (index: number) => chosen.has(rows?.numbers[index] ?? index)
  return { train: all.filter((index) => !isChosen(index)), valid: all.filter(isChosen) }
}
