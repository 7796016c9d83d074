import { ConfigError, DataError, DTypeError, ShapeError } from '../../engine/errors.ts'
import { cat, isFloatingPoint, noGrad, type Tensor, type TensorData } from '../../engine/index.ts'
import type { Target } from '../data.ts'
import type { MetricFactory, MetricRun } from '../Metric.ts'
import { checkChoice, checkSameShape, configurable, isClassTarget, singleTarget } from './options.ts'

export interface RankingOptions {
  /** How the values of several classes or labels become one: their mean, or weighted by their targets. Default 'macro'. */
  average?: 'macro' | 'weighted'
  /**
   * Outputs `[N, C]` become probabilities by a softmax before classes are compared. Default true: right for logits and for
   * logarithms of probabilities.
   */
  softmax?: boolean
}

/**
 * Area under the ROC curve: the probability that a sample of the class gets a higher score than another (a tie counts half). Two
 * classes (`[N, 2]`, or yes-no outputs `[N]` or `[N, 1]`) give one area, more are compared one against the rest, labels `[N, L]` each
 * for itself. Scores of the whole pass are kept until its end. As scikit-learn's `roc_auc_score`.
 *
 * Throws a DataError if a class has no samples, or all of them: no area is defined then.
 */
export const auroc: MetricFactory<RankingOptions> = ranked('auroc', areaUnderRoc)

/**
 * Average precision: precision at each rank, weighted by the recall gained there. Outputs as of {@link auroc}; 0 for a class without
 * samples. As scikit-learn's `average_precision_score`.
 */
export const averagePrecision: MetricFactory<RankingOptions> = ranked('averagePrecision', precisionByRank)

/** Scores of one class in falling order, those that are equal together. */
interface Ranks {
  readonly name: string
  readonly label: number
  readonly positives: number
  readonly negatives: number
  /** How many samples of the class, and how many others, have each score. */
  readonly steps: readonly (readonly [positives: number, negatives: number])[]
}

type Rank = (ranks: Ranks) => number

function ranked(name: string, rank: Rank): MetricFactory<RankingOptions> {
  return configurable<RankingOptions>(
    name,
    ['average', 'softmax'],
    ({ average = 'macro', softmax = true }) => {
      checkChoice(name, 'average', average, ['macro', 'weighted'])
      if (typeof softmax !== 'boolean')
        throw new ConfigError(`${name}: softmax must be true or false, got ${String(softmax)}`)
      return () => new RankingRun(name, rank, average, softmax)
    },
  )
}

class RankingRun implements MetricRun {
  readonly #name: string
  readonly #rank: Rank
  readonly #average: 'macro' | 'weighted'
  readonly #softmax: boolean
  readonly #batches: { scores: Tensor; targets: Tensor }[] = []
  #kind: 'classes' | 'questions' | undefined

  constructor(name: string, rank: Rank, average: 'macro' | 'weighted', softmax: boolean) {
    this.#name = name
    this.#rank = rank
    this.#average = average
    this.#softmax = softmax
  }

  /** Keeps scores `[M, columns]` and targets: classes `[M]`, or yes and no `[M, columns]`. */
  update(output: Tensor, batchTarget: Target): void {
    const target = singleTarget(this.#name, batchTarget)
    const isClass = isClassTarget(output, target)
    if (!isClass) checkSameShape(this.#name, output, target)
    else if (isFloatingPoint(target.dtype)) {
      throw new DTypeError(
        `${this.#name}: the target [${target.shape.join(', ')}] should hold class indices (int64), but is ${target.dtype}`,
      )
    }
    if (isClass && output.shape[1]! < 2) {
      throw new ShapeError(
        `${this.#name}: the output [${output.shape.join(', ')}] has one class only; yes-no outputs need a target of its shape`,
      )
    }
    this.#kind = isClass ? 'classes' : 'questions'
    noGrad(() => {
      const columns = output.shape.length < 2 ? 1 : output.shape[1]!
      const table = (x: Tensor) =>
        x.shape.length < 2 ? x.reshape([-1, 1]) : x.movedim(1, -1).reshape([-1, columns])
      // In float64, that probabilities close to 1 do not become equal.
      const values = table(output).to('float64')
      const scores = isClass && this.#softmax ? classScores(values) : values
      this.#batches.push({
        scores: scores.detach().clone().keep(),
        targets: (isClass ? target.reshape([-1]) : table(target)).detach().clone().keep(),
      })
    })
  }

  async value(): Promise<number> {
    const name = this.#name
    const [scores, targets] = this.#joined()
    try {
      const columns = scores.shape[1]!
      const classes = this.#kind === 'classes' ? numbers(await targets.data()) : undefined
      if (classes) checkClasses(name, classes, columns)
      // With two classes the second's scores mirror the first's.
      const first = classes && columns === 2 ? 1 : 0
      const ranks: Ranks[] = []
      for (let column = first; column < columns; column++) {
        const values = await columnOf(scores, column)
        const truths =
          classes?.map((actual) => Number(actual === column)) ?? (await columnOf(targets, column))
        ranks.push(rankOf(name, column, values, truths))
      }
      return this.#averageOf(ranks)
    } finally {
      scores.dispose()
      targets.dispose()
    }
  }

  #averageOf(ranks: readonly Ranks[]): number {
    const values = ranks.map((one) => this.#rank(one))
    if (values.length === 1) return values[0]!
    const weights = ranks.map(({ positives }) => (this.#average === 'macro' ? 1 : positives))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return total === 0 ? 0 : values.reduce((sum, value, i) => sum + value * weights[i]!, 0) / total
  }

  /** All batches in one; the parts are freed. */
  #joined(): readonly [scores: Tensor, targets: Tensor] {
    const batches = this.#batches.splice(0)
    const joined = (['scores', 'targets'] as const).map((key) =>
      cat(batches.map((batch) => batch[key])).keep(),
    )
    for (const { scores, targets } of batches) {
      scores.dispose()
      targets.dispose()
    }
    return joined as [Tensor, Tensor]
  }
}

const numbers = (values: TensorData) => Float64Array.from(values as ArrayLike<number>, Number)

async function columnOf(table: Tensor, column: number): Promise<Float64Array> {
  const values = table.narrow(1, column, 1)
  try {
    return numbers(await values.data())
  } finally {
    values.dispose()
  }
}

function checkClasses(name: string, targets: Float64Array, classes: number): void {
  const broken = targets.find((target) => !(target >= 0 && target < classes))
  if (broken === undefined) return
  throw new DataError(`${name}: a target is class ${broken}; the output has classes 0 to ${classes - 1}`)
}

/** Of two classes the difference of the logits ranks as the probability does, and never rounds to 1. */
function classScores(logits: Tensor): Tensor {
  if (logits.shape[1] !== 2) return logits.softmax(1)
  const difference = logits.narrow(1, 1, 1).sub(logits.narrow(1, 0, 1))
  return cat([difference.neg(), difference], 1)
}

function rankOf(name: string, label: number, scores: Float64Array, truths: Float64Array): Ranks {
  const broken = scores.findIndex(Number.isNaN)
  if (broken >= 0) throw new DataError(`${name}: the model's output for sample ${broken} is not a number`)
  if (truths.some((truth) => truth !== 0 && truth !== 1)) {
    throw new DataError(`${name}: a target of label ${label} is neither 0 nor 1`)
  }
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!)
  const steps: [number, number][] = []
  let last = Number.NaN
  for (const i of order) {
    if (scores[i] !== last) steps.push([0, 0])
    last = scores[i]!
    steps.at(-1)![truths[i] === 1 ? 0 : 1]++
  }
  const positives = truths.reduce((sum, truth) => sum + truth, 0)
  return { name, label, positives, negatives: truths.length - positives, steps }
}

function areaUnderRoc({ name, label, positives, negatives, steps }: Ranks): number {
  if (positives === 0 || negatives === 0) {
    throw new DataError(
      `${name} is not defined: ${positives === 0 ? 'no' : 'every'} sample is of class ${label}. Leave the metric out, or validate on ` +
        'data that has samples of all classes',
    )
  }
  let area = 0
  let found = 0
  for (const [hits, others] of steps) {
    area += others * (found + hits / 2)
    found += hits
  }
  return area / (positives * negatives)
}

function precisionByRank({ positives, steps }: Ranks): number {
  if (positives === 0) return 0
  let sum = 0
  let found = 0
  let seen = 0
  for (const [hits, others] of steps) {
    found += hits
    seen += hits + others
    sum += hits * (found / seen)
  }
  return sum / positives
}
