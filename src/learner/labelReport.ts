import { ConfigError, DataError, ShapeError } from '../engine/errors.ts'
import { noGrad, scope, type Tensor } from '../engine/index.ts'
import { rejectUnknownOptions } from './options.ts'

/** Options of {@link labelReport}. */
export interface LabelReportOptions {
  /** Names of the labels. Default: their numbers. */
  classes?: readonly string[]
  /** Above which probability a label counts as given: one for all, or one each. Default 0.5. */
  thresholds?: number | readonly number[]
}

/** How well one label is recognised. A share without anything to divide by is 0. */
export interface LabelReport {
  label: string
  threshold: number
  /** Share of the items given this label that have it. */
  precision: number
  /** Share of the items with this label that were given it. */
  recall: number
  /** Harmonic mean of the two. */
  f1: number
  /** Items with this label. */
  support: number
}

/**
 * Precision, recall and F1 for every label, where an item may have several: of probabilities and targets (zeros and ones, or no and
 * yes), both `[N, labels]`, as `learner.getPredictions()` gives them.
 * @throws ShapeError for other shapes; ConfigError for thresholds or classes of another number; DataError for other targets, and for
 * probabilities that are NaN
 */
export function labelReport(
  predictions: Tensor,
  targets: Tensor,
  options: LabelReportOptions = {},
): LabelReport[] {
  rejectUnknownOptions('labelReport', options, ['classes', 'thresholds'])
  const { classes, thresholds = 0.5 } = options
  const columns = columnsOf('labelReport', predictions, targets)
  const limits = typeof thresholds === 'number' ? columns.map(() => thresholds) : thresholds
  for (const [name, list] of Object.entries({ classes, thresholds: limits })) {
    if (list !== undefined && list.length !== columns.length) {
      throw new ConfigError(`labelReport: there are ${columns.length} labels, but ${list.length} ${name}`)
    }
  }
  const odd = limits.find((limit) => !(limit >= 0 && limit <= 1))
  if (odd !== undefined) throw new ConfigError(`labelReport: a threshold must be from 0 to 1, got ${odd}`)
  return columns.map(({ present }, i) => {
    const threshold = limits[i]!
    // By the comparison of the losses and metrics: a threshold is rounded as the probabilities are.
    const given = scope(() =>
      noGrad(() => predictions.narrow(1, i, 1).gt(threshold).reshape([-1]).toArray()),
    ) as boolean[]
    const hits = count(given, (yes, at) => yes && present[at]!)
    const [answers, support] = [count(given, Boolean), count(present, Boolean)]
    return {
      label: classes?.[i] ?? String(i),
      threshold,
      precision: answers > 0 ? hits / answers : 0,
      recall: support > 0 ? hits / support : 0,
      f1: answers + support > 0 ? (2 * hits) / (answers + support) : 0,
      support,
    }
  })
}

/**
 * For every label the threshold that gives the highest F1 on these probabilities and targets, both `[N, labels]`: halfway between
 * the probabilities on its two sides; 0.5 for a label that no item has. Take them from other items than those they are judged by.
 * @throws as {@link labelReport}
 */
export function suggestThresholds(predictions: Tensor, targets: Tensor): number[] {
  return columnsOf('suggestThresholds', predictions, targets).map(({ scores, present }) => {
    const support = count(present, Boolean)
    const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!)
    let hits = 0
    let best = { f1: 0, threshold: 0.5 }
    for (const [at, item] of order.entries()) {
      if (present[item]) hits++
      const next = order[at + 1] === undefined ? 0 : scores[order[at + 1]!]!
      if (next === scores[item]) continue // equal ones stand on the same side
      const f1 = (2 * hits) / (at + 1 + support)
      if (f1 <= best.f1) continue
      const middle = (scores[item]! + next) / 2
      // Between neighbours there is nothing: what is given lies above the lower one.
      best = { f1, threshold: Math.fround(middle) < scores[item]! ? middle : next }
    }
    return best.threshold
  })
}

const count = <Value>(list: readonly Value[], counts: (value: Value, at: number) => boolean) =>
  list.reduce((sum, value, at) => sum + (counts(value, at) ? 1 : 0), 0)

function columnsOf(
  owner: string,
  predictions: Tensor,
  targets: Tensor,
): { scores: number[]; present: boolean[] }[] {
  if (predictions.ndim !== 2 || targets.shape.join() !== predictions.shape.join()) {
    throw new ShapeError(
      `${owner} needs predictions and targets [N, labels], got [${predictions.shape.join(', ')}] and [${targets.shape.join(', ')}]`,
    )
  }
  const scores = predictions.toArray() as number[][]
  const rows = targets.toArray() as (number | boolean)[][]
  for (const [item, row] of rows.entries()) {
    const odd = row.find((target) => Number(target) !== 0 && Number(target) !== 1)
    if (odd !== undefined)
      throw new DataError(`${owner}: a target of item ${item} is ${odd}, neither 0 nor 1`)
    if (scores[item]!.some(Number.isNaN)) throw new DataError(`${owner}: a prediction of item ${item} is NaN`)
  }
  return Array.from({ length: predictions.shape[1]! }, (_, label) => ({
    scores: scores.map((row) => row[label]!),
    present: rows.map((row) => Number(row[label]) === 1),
  }))
}
