import type { PictureOverlay } from '../data/showImages.ts'
import { ConfigError, DataError } from '../engine/errors.ts'
import { scope } from '../engine/index.ts'
import { type ConfusionMatrixChartOptions, confusionMatrixChart, type Figure } from '../plot/index.ts'
import { type ShowItemsOptions, tensorsOf } from './data.ts'
import { gradCam } from './gradCam.ts'
import type { Learner } from './Learner.ts'
import type { LossFunction } from './lossFunction.ts'
import { countsOf } from './metrics/classCounts.ts'
import { rejectUnknownOptions } from './options.ts'
import { heatOverlays } from './overlays.ts'
import { type PredictionOptions, type Predictions, requireSingle } from './predictions.ts'

/** A pair of classes that the model takes for each other. */
export interface Confusion {
  actual: string
  predicted: string
  count: number
}

/** Items with the highest (or lowest) losses. */
export interface TopLosses {
  values: number[]
  /** Positions of the items in the dataset. */
  indices: number[]
}

/** How well one class is recognised. A share without anything to divide by is NaN. */
export interface ClassReport {
  class: string
  /** Share of items predicted as this class that are of it. */
  precision: number
  /** Share of items of this class that were predicted as it. */
  recall: number
  /** Harmonic mean of the two. */
  f1: number
  /** Items of this class. */
  support: number
}

/** What else is known of the items, for {@link ClassificationInterpretation.plotTopLosses}. */
export interface InterpretationDetails {
  /** Probability that the model gave to each item's actual class. */
  probabilities?: readonly number[]
  /** Position of each item in the dataset. Default 0, 1, 2 … */
  indices?: readonly number[]
  /** Draws items by their positions in the dataset. */
  show?: (indices: readonly number[], options: ShowItemsOptions) => Promise<Figure>
  /** What the model looked at when it took each item for the class given. */
  heat?: (
    indices: readonly number[],
    classes: readonly number[],
  ) => Promise<readonly (PictureOverlay | undefined)[]>
}

/** Options of {@link ClassificationInterpretation.plotTopLosses}. */
export interface PlotTopLossesOptions {
  /** The highest losses, or with false the lowest. Default true. */
  largest?: boolean
  /** Lays over each picture what spoke for the class that was predicted (see {@link gradCam}). Default false. */
  heatmap?: boolean
}

/** Where a classifier is right and wrong, item by item. `learner.interpret()` makes one. */
export class ClassificationInterpretation {
  readonly classes: readonly string[]
  /** Predicted class index of each item. */
  readonly predicted: readonly number[]
  /** Actual class index of each item. */
  readonly actual: readonly number[]
  readonly losses: readonly number[]
  /** Probability that the model gave to each item's actual class, if known. */
  readonly probabilities: readonly number[] | undefined
  /** Position of each item in the dataset, from which items that could not be read may have been left out. */
  readonly indices: readonly number[]
  readonly #show: InterpretationDetails['show']
  readonly #heat: InterpretationDetails['heat']

  constructor(
    classes: readonly string[],
    predicted: readonly number[],
    actual: readonly number[],
    losses: readonly number[],
    { probabilities, indices, show, heat }: InterpretationDetails = {},
  ) {
    this.classes = classes
    this.predicted = predicted
    this.actual = actual
    this.losses = losses
    this.probabilities = probabilities
    this.indices = indices ?? losses.map((_, i) => i)
    this.#show = show
    this.#heat = heat
  }

  /**
   * Of the items that count: those whose target the loss ignores (`ignoreIndex`) are left out.
   * @throws ConfigError unless each item has one class; DataError for a target that is no class
   */
  static async fromLearner(
    learner: Learner,
    options: Omit<PredictionOptions, 'withLoss'> = {},
  ): Promise<ClassificationInterpretation> {
    const { predictions, decoded, targets, losses, indices } = await withSingleLosses(learner, options)
    const [items, outputs] = predictions.shape
    if (
      predictions.shape.length !== 2 ||
      decoded.shape.join() !== `${items}` ||
      targets.shape.join() !== `${items}`
    ) {
      throw new ConfigError(
        `interpret needs a classifier with one class an item: outputs [N, C] and targets [N]; got [${predictions.shape.join(', ')}] ` +
          `and [${targets.shape.join(', ')}]`,
      )
    }
    const [predicted, actual, values] = await Promise.all(
      [decoded, targets, losses!].map(async (tensor) => Array.from(await tensor.data(), Number)),
    )
    const table = await predictions.data()
    for (const tensor of [predictions, decoded, targets, losses!]) tensor[Symbol.dispose]()
    const rows = countedRows(actual!, outputs!, learner.lossFunction)
    const kept = <Value>(list: readonly Value[]) => rows.map((row) => list[row]!)
    const probabilities = rows.map((row) => Number(table[row * outputs! + actual![row]!]))
    const { classes: names = [] } = learner.data
    const classes = Array.from({ length: Math.max(outputs!, names.length) }, (_, i) => names[i] ?? String(i))
    const { dataset = 'valid' } = options
    const show = learner.data.showItems?.bind(learner.data)
    return new ClassificationInterpretation(classes, kept(predicted!), kept(actual!), kept(values!), {
      probabilities,
      indices: kept(indices),
      ...(show &&
        typeof dataset === 'string' && {
          show: (items, shown) => show(dataset === 'fix' ? 'train' : dataset, items, shown),
          heat: (items, chosen) => heatOf(learner, dataset === 'fix' ? 'train' : dataset, items, chosen),
        }),
    })
  }

  /** Counts, `matrix[actual][predicted]`. */
  confusionMatrix(): number[][] {
    const matrix = this.classes.map(() => new Array<number>(this.classes.length).fill(0))
    for (const [i, actual] of this.actual.entries()) matrix[actual]![this.predicted[i]!]!++
    return matrix
  }

  /** The confusion matrix as a figure; with `normalize` each row shows shares. */
  plotConfusionMatrix(options: ConfusionMatrixChartOptions = {}): Figure {
    return confusionMatrixChart(this.confusionMatrix(), this.classes, options)
  }

  /** Pairs of classes that were confused at least `minCount` times, the most frequent first. */
  mostConfused(minCount = 1): Confusion[] {
    const pairs = this.confusionMatrix().flatMap((row, actual) =>
      row
        .map((count, predicted) => ({ actual, predicted, count }))
        .filter((pair) => pair.actual !== pair.predicted),
    )
    return pairs
      .filter(({ count }) => count >= minCount)
      .sort((a, b) => b.count - a.count)
      .map(({ actual, predicted, count }) => ({
        actual: this.classes[actual]!,
        predicted: this.classes[predicted]!,
        count,
      }))
  }

  /**
   * The `k` items (default: all) with the highest losses, or with `largest` false the lowest, by their positions in the dataset; NaN
   * counts as the highest. What else is known of one stands in `predicted`, `actual` … at the place of its position in `indices`.
   */
  topLosses(k = this.losses.length, { largest = true } = {}): TopLosses {
    const rows = this.#ranked(k, largest)
    return { values: rows.map((row) => this.losses[row]!), indices: rows.map((row) => this.indices[row]!) }
  }

  /** Of the `k` highest or lowest losses the places in `losses`. */
  #ranked(k: number, largest: boolean): number[] {
    const sign = largest ? -1 : 1
    return [...this.losses.keys()]
      .sort((a, b) => sign * compareLosses(this.losses[a]!, this.losses[b]!) || a - b)
      .slice(0, k)
  }

  /**
   * The pictures with the `k` highest losses (default 9), in a square: what the model took each for, what it is, its loss, and the
   * probability that the model gave to that.
   * @throws ConfigError if the data is no pictures
   */
  async plotTopLosses(k = 9, options: PlotTopLossesOptions = {}): Promise<Figure> {
    if (!this.#show) {
      throw new ConfigError(
        'plotTopLosses draws pictures, and this data has none; topLosses tells which items they are',
      )
    }
    rejectUnknownOptions('plotTopLosses', options, ['largest', 'heatmap'])
    const { largest = true, heatmap = false } = options
    const rows = this.#ranked(k, largest)
    const titles = rows.map((row) => {
      const names = [this.predicted[row]!, this.actual[row]!].map(
        (label) => this.classes[label] ?? String(label),
      )
      const probability = this.probabilities?.[row] ?? Number.NaN
      return [...names, this.losses[row]!.toFixed(2), probability.toFixed(2)].join(' / ')
    })
    const indices = rows.map((row) => this.indices[row]!)
    const predicted = rows.map((row) => this.predicted[row]!)
    const overlays = heatmap ? await this.#heat?.(indices, predicted) : undefined
    const show = this.#show
    return scope(() =>
      show(indices, {
        title: 'predicted / actual / loss / probability',
        titles,
        columns: Math.ceil(Math.sqrt(indices.length)),
        ...(overlays && { overlays }),
      }),
    )
  }

  /** Precision, recall and their mean for each class. */
  classReport(): ClassReport[] {
    const matrix = this.confusionMatrix()
    return countsOf({ kind: 'classes', matrix }).map(({ truePositive, falsePositive, falseNegative }, i) => {
      const support = truePositive + falseNegative
      return {
        class: this.classes[i]!,
        precision: truePositive / (truePositive + falsePositive),
        recall: truePositive / support,
        f1: (2 * truePositive) / (2 * truePositive + falsePositive + falseNegative),
        support,
      }
    })
  }
}

/** @throws ConfigError that says so for lists of outputs or targets, also where such a loss could not tell those of single items */
async function withSingleLosses(learner: Learner, options: PredictionOptions): Promise<Predictions> {
  const need = 'needs a classifier with one class label an item'
  try {
    const result = await learner.getPredictions({ ...options, withLoss: true })
    requireSingle('interpret', result, need)
    return result
  } catch (error) {
    if (error instanceof ConfigError) {
      const first = await learner.getPredictions({ ...options, withLoss: false, batches: 1 })
      requireSingle('interpret', first, need)
    }
    throw error
  }
}

/** Infinity differs from itself by NaN, and NaN is worse than any number. */
function compareLosses(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b))
  return Number(a > b) - Number(a < b)
}

/** The rows whose targets the loss does not ignore. @throws DataError for another target that is no class */
function countedRows(targets: readonly number[], outputs: number, loss: LossFunction): number[] {
  const { ignoreIndex } = loss as { ignoreIndex?: unknown }
  const rows = [...targets.keys()].filter((row) => targets[row] !== ignoreIndex)
  const isClass = (target: number) => Number.isInteger(target) && target >= 0 && target < outputs
  const broken = rows.find((row) => !isClass(targets[row]!))
  if (broken === undefined) return rows
  throw new DataError(
    `interpret: the target of item ${broken} is ${targets[broken]}, which is no class from 0 to ${outputs - 1}, those of the ` +
      "model's outputs",
  )
}

async function heatOf(
  learner: Learner,
  dataset: 'valid' | 'train' | 'test',
  indices: readonly number[],
  classes: readonly number[],
): Promise<readonly (PictureOverlay | undefined)[]> {
  const { data, model } = learner
  return scope(async () => {
    if (!data.itemsOf)
      throw new ConfigError('this data cannot give single items, which a heat map is made of')
    const batch = await data.itemsOf(dataset, indices)
    const [x] = tensorsOf(batch.x)
    const shown = batch.indices ?? indices
    const { maps } = await gradCam(model, x!, {
      classes: shown.map((item) => classes[indices.indexOf(item)]!),
    })
    const overlays = await heatOverlays(maps, x!.shape.slice(-2) as [number, number])
    // One for each that was asked for, even if one of the files cannot be read any more.
    return indices.map((item) => overlays[shown.indexOf(item)])
  })
}
