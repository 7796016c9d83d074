import { ConfigError, DataError } from '../../engine/errors.ts'
import type { Tensor } from '../../engine/index.ts'
import type { Target } from '../data.ts'
import type { MetricFactory, MetricRun } from '../Metric.ts'
import { rejectUnknownOptions } from '../options.ts'
import {
  type AnswerOptions,
  answerOptionNames,
  type ClassCount,
  ClassCounter,
  type Counts,
  countsOf,
} from './classCounts.ts'
import { checkChoice, configurable } from './options.ts'

/**
 * How the scores of several classes become one number, as in scikit-learn. 'binary': that of the `positive` class; 'macro': mean over
 * the classes that occur in targets or answers; 'weighted': each weighs as many targets as it has; 'micro': from the counts
 * of all together. (One number for each class: `learner.interpret()` and its `classReport()`.)
 */
export type Average = 'binary' | 'micro' | 'macro' | 'weighted'

/** Options of the metrics that count hits and misses of classes. */
export interface ClassMetricOptions extends AnswerOptions {
  /** Default: 'binary' for two classes, else 'macro'. */
  average?: Average
  /** The class that counts as found under 'binary'. Default 1. */
  positive?: number
  /** Value of a share without anything to divide by, such as the precision of a class that is never answered: 0 or 1. */
  zeroDivision?: 0 | 1
}

export interface FBetaOptions extends ClassMetricOptions {
  /** Weight of recall against precision. Default 2, as fastai's. */
  beta?: number
}

export interface KappaOptions extends AnswerOptions {
  /** How far confusions count, by the distance between the classes' indices. Default null: all alike. */
  weights?: 'linear' | 'quadratic' | null
}

const averages: readonly Average[] = ['binary', 'micro', 'macro', 'weighted']
const optionNames = ['average', 'positive', 'zeroDivision', ...answerOptionNames] as const

type Score = (count: ClassCount, zeroDivision: number) => number

const share = (part: number, whole: number, otherwise: number) => (whole === 0 ? otherwise : part / whole)

const precisionOf: Score = ({ truePositive, falsePositive }, otherwise) =>
  share(truePositive, truePositive + falsePositive, otherwise)

const recallOf: Score = ({ truePositive, falseNegative }, otherwise) =>
  share(truePositive, truePositive + falseNegative, otherwise)

const jaccardOf: Score = ({ truePositive, falsePositive, falseNegative }, otherwise) =>
  share(truePositive, truePositive + falsePositive + falseNegative, otherwise)

function fBetaOf(beta: number): Score {
  const recallWeight = beta ** 2
  return ({ truePositive, falsePositive, falseNegative }, otherwise) => {
    const hits = (1 + recallWeight) * truePositive
    return share(hits, hits + recallWeight * falseNegative + falsePositive, otherwise)
  }
}

/** Share of the answers for a class that are right. See {@link ClassMetricOptions}; outputs and targets as of `recall`. */
export const precision: MetricFactory<ClassMetricOptions> = scored('precision', () => precisionOf)

/**
 * Share of a class's targets that are found. Outputs `[N, C, …]` with class indices `[N, …]`, or yes-no outputs with
 * targets of 0 and 1 of the same shape (`[N]`, `[N, 1]`, or `[N, L]` for L labels). Over the whole pass, as scikit-learn counts.
 */
export const recall: MetricFactory<ClassMetricOptions> = scored('recall', () => recallOf)

/** Weighted harmonic mean of precision and recall. Outputs and targets as of {@link recall}. */
export const fBeta: MetricFactory<FBetaOptions> = scored(
  'fBeta',
  ({ beta = 2 }: FBetaOptions) => {
    if (!(typeof beta === 'number' && beta > 0 && Number.isFinite(beta)))
      throw new ConfigError(`fBeta: beta must be a finite number above 0, got ${String(beta)}`)
    return fBetaOf(beta)
  },
  { more: ['beta'] },
)

/** Harmonic mean of precision and recall: {@link fBeta} with beta 1. */
export const f1Score: MetricFactory<ClassMetricOptions> = scored('f1Score', () => fBetaOf(1))

/**
 * Twice the intersection over the sum of the areas (Sørensen-Dice), over the pixels of the whole pass. Where a class is neither in
 * targets nor in answers it is 1, as in fastai. Outputs and targets as of {@link recall}, usually `[N, C, H, W]` and `[N, H, W]`.
 */
export const dice: MetricFactory<ClassMetricOptions> = scored('dice', () => fBetaOf(1), { zeroDivision: 1 })

/** Intersection over union. As {@link dice} otherwise: 1 where there is nothing to find and nothing found. */
export const iou: MetricFactory<ClassMetricOptions> = scored('iou', () => jaccardOf, { zeroDivision: 1 })

/** Intersection over union as scikit-learn's `jaccard_score`: 0 where there is nothing to find and nothing found. */
export const jaccard: MetricFactory<ClassMetricOptions> = scored('jaccard', () => jaccardOf)

/**
 * Cohen's kappa: agreement beyond chance (Cohen 1960; weighted: 1968), as scikit-learn's `cohen_kappa_score` with
 * `labels=range(C)`. NaN if all answers and targets are of one class.
 */
export const kappaScore: MetricFactory<KappaOptions> = configurable(
  'kappaScore',
  ['weights', ...answerOptionNames],
  ({ weights = null, ...options }) => {
    checkChoice('kappaScore', 'weights', weights, [null, 'linear', 'quadratic'])
    return counting('kappaScore', options, (counts) => kappa(matrixOf('kappaScore', counts), weights))
  },
)

/**
 * Matthews' correlation coefficient (Gorodkin 2004 for several classes): from -1 to 1, 0 for guessing, and 0 where answers or
 * targets are all of one class, as scikit-learn has it.
 */
export const matthewsCorrCoef: MetricFactory<AnswerOptions> = configurable(
  'matthewsCorrCoef',
  answerOptionNames,
  (options) =>
    counting('matthewsCorrCoef', options, (counts) => matthews(matrixOf('matthewsCorrCoef', counts))),
)

export interface ConfusionMatrixOptions extends AnswerOptions {
  /** Shares instead of counts: of each 'actual' class (row), each 'predicted' class (column), or of 'all'. Default null. */
  normalize?: 'actual' | 'predicted' | 'all' | null
}

/**
 * How often each class (row) was answered with each (column). Outputs and targets as of {@link recall}, one class a sample. A row or
 * column without samples stays 0. (Of a learner's data: `learner.interpret()`.)
 */
export async function confusionMatrix(
  output: Tensor,
  target: Tensor,
  options: ConfusionMatrixOptions = {},
): Promise<number[][]> {
  rejectUnknownOptions('confusionMatrix', options, ['normalize', ...answerOptionNames])
  const { normalize = null, ...answers } = options
  checkChoice('confusionMatrix', 'normalize', normalize, [null, 'actual', 'predicted', 'all'])
  const counter = new ClassCounter('confusionMatrix', answers)
  counter.update(output, target)
  const matrix = matrixOf('confusionMatrix', await counter.read()).map((row) => [...row])
  if (normalize === null) return matrix
  const { rows, columns, total } = sums(matrix)
  return matrix.map((row, i) =>
    row.map((count, j) =>
      share(count, normalize === 'actual' ? rows[i]! : normalize === 'predicted' ? columns[j]! : total, 0),
    ),
  )
}

function scored<Options extends ClassMetricOptions>(
  name: string,
  score: (options: Options) => Score,
  preset: { more?: readonly (keyof Options & string)[]; zeroDivision?: 0 | 1 } = {},
): MetricFactory<Options> {
  return configurable<Options>(name, [...optionNames, ...(preset.more ?? [])], (options) => {
    const { average, positive, zeroDivision = preset.zeroDivision ?? 0 } = options
    if (average !== undefined) {
      if ((average as string) === 'none') {
        throw new ConfigError(
          `${name}: a metric is one number an epoch, so average cannot be 'none'. One class: { average: 'binary', positive: 2 }; ` +
            'all of them: (await learner.interpret()).classReport()',
        )
      }
      checkChoice(name, 'average', average, averages)
    }
    if (positive !== undefined && !(Number.isInteger(positive) && positive >= 0)) {
      throw new ConfigError(`${name}: positive must be a class index, got ${String(positive)}`)
    }
    checkChoice(name, 'zeroDivision', zeroDivision, [0, 1])
    const { threshold, sigmoid, ignoreIndex } = options
    const answers = {
      ...(threshold !== undefined && { threshold }),
      ...(sigmoid !== undefined && { sigmoid }),
      ...(ignoreIndex !== undefined && { ignoreIndex }),
    }
    const of = score(options)
    return counting(name, answers, (counts) =>
      averaged(name, of, counts, { average, positive, zeroDivision }),
    )
  })
}

function counting(name: string, options: AnswerOptions, value: (counts: Counts) => number): () => MetricRun {
  new ClassCounter(name, options) // checks the options now, and not when the first epoch is over
  return () => {
    const counter = new ClassCounter(name, options)
    return {
      update: (output: Tensor, target: Target) => counter.update(output, target),
      value: async () => value(await counter.read()),
    }
  }
}

interface Averaging {
  average: Average | undefined
  positive: number | undefined
  zeroDivision: number
}

function averaged(
  name: string,
  score: Score,
  counts: Counts,
  { average, positive, zeroDivision }: Averaging,
): number {
  const classes = countsOf(counts)
  const isBinary = counts.kind === 'classes' && classes.length === 2
  const chosen = average ?? (isBinary || positive !== undefined ? 'binary' : 'macro')
  if (chosen === 'binary') {
    if (!isBinary && positive === undefined) {
      throw new ConfigError(
        `${name}: average 'binary' needs to know which of the ${classes.length} classes counts: pass { positive }, or choose ` +
          'micro, macro or weighted',
      )
    }
    const one = classes[positive ?? 1]
    if (!one) {
      throw new ConfigError(`${name}: positive is class ${positive}, but there are ${classes.length} classes`)
    }
    return score(one, zeroDivision)
  }
  if (chosen === 'micro') return score(together(classes), zeroDivision)
  // Labels that a sample may have or not are all meant; of classes, those that occur.
  const meant =
    counts.kind === 'labels'
      ? classes
      : classes.filter((one) => one.truePositive + one.falsePositive + one.falseNegative > 0)
  const weights = meant.map((one) => (chosen === 'macro' ? 1 : one.truePositive + one.falseNegative))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return share(
    meant.reduce((sum, one, i) => sum + weights[i]! * score(one, zeroDivision), 0),
    total,
    zeroDivision,
  )
}

function together(classes: readonly ClassCount[]): ClassCount {
  const sum = (key: keyof ClassCount) => classes.reduce((total, one) => total + one[key], 0)
  return {
    truePositive: sum('truePositive'),
    falsePositive: sum('falsePositive'),
    falseNegative: sum('falseNegative'),
  }
}

type Matrix = readonly (readonly number[])[]

function matrixOf(name: string, counts: Counts): Matrix {
  if (counts.kind === 'classes') return counts.matrix
  throw new DataError(
    `${name} needs one class a sample; here are ${counts.labels.length} yes-no labels a sample`,
  )
}

function sums(matrix: Matrix): { rows: number[]; columns: number[]; total: number } {
  const rows = matrix.map((row) => row.reduce((sum, count) => sum + count, 0))
  const columns = matrix.map((_, j) => matrix.reduce((sum, row) => sum + row[j]!, 0))
  return { rows, columns, total: rows.reduce((sum, count) => sum + count, 0) }
}

function kappa(matrix: Matrix, weights: 'linear' | 'quadratic' | null): number {
  const { rows, columns, total } = sums(matrix)
  const distance = (i: number, j: number) => {
    if (weights === null) return i === j ? 0 : 1
    return weights === 'linear' ? Math.abs(i - j) : (i - j) ** 2
  }
  let observed = 0
  let expected = 0
  for (const [i, row] of matrix.entries()) {
    for (const [j, count] of row.entries()) {
      observed += distance(i, j) * count
      expected += (distance(i, j) * rows[i]! * columns[j]!) / total
    }
  }
  return 1 - observed / expected
}

function matthews(matrix: Matrix): number {
  const { rows, columns, total } = sums(matrix)
  const product = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, i) => sum + value * b[i]!, 0)
  const right = matrix.reduce((sum, row, i) => sum + row[i]!, 0)
  const both = right * total - product(rows, columns)
  const answers = total ** 2 - product(columns, columns)
  const targets = total ** 2 - product(rows, rows)
  return answers * targets === 0 ? 0 : both / Math.sqrt(answers * targets)
}
