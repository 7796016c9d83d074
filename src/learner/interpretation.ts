import { ConfigError } from '../engine/errors.ts'
import { type ConfusionMatrixChartOptions, confusionMatrixChart, type Figure } from '../plot/index.ts'
import type { Learner } from './Learner.ts'
import { countsOf } from './metrics/classCounts.ts'
import type { PredictionOptions } from './predictions.ts'

/** A pair of classes that the model takes for each other. */
export interface Confusion {
  actual: string
  predicted: string
  count: number
}

/** Items with the highest (or lowest) losses. */
export interface TopLosses {
  values: number[]
  /** Positions of the items in the data. */
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

/** Where a classifier is right and wrong, item by item. `learner.interpret()` makes one. */
export class ClassificationInterpretation {
  readonly classes: readonly string[]
  /** Predicted class index of each item. */
  readonly predicted: readonly number[]
  /** Actual class index of each item. */
  readonly actual: readonly number[]
  readonly losses: readonly number[]

  constructor(
    classes: readonly string[],
    predicted: readonly number[],
    actual: readonly number[],
    losses: readonly number[],
  ) {
    this.classes = classes
    this.predicted = predicted
    this.actual = actual
    this.losses = losses
  }

  /** @throws ConfigError unless each item has one class */
  static async fromLearner(
    learner: Learner,
    options: Omit<PredictionOptions, 'withLoss'> = {},
  ): Promise<ClassificationInterpretation> {
    const { predictions, decoded, targets, losses } = await learner.getPredictions({
      ...options,
      withLoss: true,
    })
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
    const classes = learner.data.classes ?? Array.from({ length: outputs! }, (_, i) => String(i))
    const [predicted, actual, values] = await Promise.all(
      [decoded, targets, losses!].map(async (tensor) => Array.from(await tensor.data(), Number)),
    )
    for (const tensor of [predictions, decoded, targets, losses!]) tensor[Symbol.dispose]()
    return new ClassificationInterpretation(classes, predicted!, actual!, values!)
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

  /** The `k` items (default: all) with the highest losses, or with `largest` false the lowest. */
  topLosses(k = this.losses.length, { largest = true } = {}): TopLosses {
    const sign = largest ? -1 : 1
    const order = this.losses
      .map((_, i) => i)
      .sort((a, b) => sign * (this.losses[a]! - this.losses[b]!) || a - b)
    const indices = order.slice(0, k)
    return { values: indices.map((i) => this.losses[i]!), indices }
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
