import { ConfigError, DataError, DTypeError, ShapeError } from '../../engine/errors.ts'
import { isFloatingPoint, noGrad, ones, type Tensor, where, zeros } from '../../engine/index.ts'
import type { Target } from '../data.ts'
import { DeviceSum } from './DeviceSum.ts'
import { checkSameShape, checkShare, isClassTarget, singleTarget } from './options.ts'

/** How outputs become answers. */
export interface AnswerOptions {
  /** Where each output is a yes-no question: probability above which the answer is yes. Default 0.5. */
  threshold?: number
  /** Outputs of yes-no questions are logits, not probabilities. Default true. */
  sigmoid?: boolean
  /** Targets of this value count for nothing, as in the losses. Default -100. */
  ignoreIndex?: number
}

export const answerOptionNames = ['threshold', 'sigmoid', 'ignoreIndex'] as const

/** Counts of one class, or of one label of several that a sample may have. */
export interface ClassCount {
  truePositive: number
  falsePositive: number
  falseNegative: number
}

/** What was counted. Either classes that exclude each other, or labels that do not. */
export type Counts =
  | { readonly kind: 'classes'; readonly matrix: readonly (readonly number[])[] }
  | { readonly kind: 'labels'; readonly labels: readonly ClassCount[] }

/**
 * Counts answers against targets on the device. Outputs `[N, C, …]` with class indices `[N, …]` are answered by the highest logit and
 * give a confusion matrix. Outputs of the targets' shape are yes-no questions: `[N]` or `[N, 1, …]` give a matrix of two classes,
 * `[N, L, …]` the counts of L labels.
 */
export class ClassCounter {
  readonly #owner: string
  readonly #options: Required<AnswerOptions>
  readonly #sum = new DeviceSum()
  #width = 0
  #kind: 'classes' | 'question' | 'labels' | undefined

  constructor(owner: string, { threshold = 0.5, sigmoid = true, ignoreIndex = -100 }: AnswerOptions) {
    checkShare(owner, 'threshold', threshold)
    if (typeof sigmoid !== 'boolean')
      throw new ConfigError(`${owner}: sigmoid must be true or false, got ${String(sigmoid)}`)
    if (!Number.isInteger(ignoreIndex)) {
      throw new ConfigError(`${owner}: ignoreIndex must be a whole number, got ${String(ignoreIndex)}`)
    }
    this.#owner = owner
    this.#options = { threshold, sigmoid, ignoreIndex }
  }

  update(output: Tensor, batchTarget: Target): void {
    const target = singleTarget(this.#owner, batchTarget)
    noGrad(() =>
      isClassTarget(output, target) ? this.#addClasses(output, target) : this.#addQuestions(output, target),
    )
  }

  async read(): Promise<Counts> {
    const values = await this.#sum.read()
    const width = this.#width
    const broken = values.at(-1) ?? 0
    if (broken > 0) {
      throw new DataError(
        this.#kind === 'classes'
          ? `${this.#owner}: ${broken} target(s) are no class from 0 to ${width - 1}, the classes that the model's output has`
          : `${this.#owner}: ${broken} target(s) are neither 0 nor 1`,
      )
    }
    if (this.#kind === 'labels') return { kind: 'labels', labels: labelsOf(values, width) }
    if (this.#kind === 'question') {
      const [truePositive = 0, falsePositive = 0, falseNegative = 0, trueNegative = 0] = values
      return {
        kind: 'classes',
        matrix: [
          [trueNegative, falsePositive],
          [falseNegative, truePositive],
        ],
      }
    }
    return {
      kind: 'classes',
      matrix: Array.from({ length: width }, (_, i) => values.slice(i * width, (i + 1) * width)),
    }
  }

  #settle(kind: 'classes' | 'question' | 'labels', width: number): void {
    this.#kind ??= kind
    this.#width ||= width
    if (kind !== this.#kind || width !== this.#width) {
      throw new ShapeError(
        `${this.#owner}: a batch has ${width} output(s) a sample, those before had ${this.#width}`,
      )
    }
  }

  #addClasses(output: Tensor, target: Tensor): void {
    const classes = output.shape[1]!
    if (classes < 2) {
      throw new ShapeError(
        `${this.#owner}: the output [${output.shape.join(', ')}] has one class only; yes-no questions need a target of its shape`,
      )
    }
    if (isFloatingPoint(target.dtype)) {
      throw new DTypeError(
        `${this.#owner}: the target [${target.shape.join(', ')}] should hold class indices (int64), but is ${target.dtype}`,
      )
    }
    this.#settle('classes', classes)
    const actual = target.to('int64').reshape([-1])
    const predicted = output.argmax(1).reshape([-1])
    // One place for each pair; two more for what is ignored, and for what is out of range.
    const [ignored, broken] = [classes * classes, classes * classes + 1]
    const inRange = actual.ge(0).logicalAnd(actual.lt(classes))
    const place = where(inRange, actual.mul(classes).add(predicted), broken)
    const counted = where(actual.eq(this.#options.ignoreIndex), ignored, place)
    const { device } = output
    this.#sum.change(
      () => zeros([classes * classes + 2], { dtype: 'int64', device }),
      (sum) => sum.scatterAdd_(0, counted, ones(counted.shape, { dtype: 'int64', device })),
    )
  }

  #addQuestions(output: Tensor, target: Tensor): void {
    checkSameShape(this.#owner, output, target)
    const labels = output.shape.length < 2 ? 1 : output.shape[1]!
    this.#settle(labels === 1 ? 'question' : 'labels', labels)
    const { threshold, sigmoid, ignoreIndex } = this.#options
    const yes = (sigmoid ? output.sigmoid() : output).gt(threshold)
    const ignored = target.eq(ignoreIndex)
    const isAnswer = (answer: number) => target.eq(answer).logicalAnd(ignored.logicalNot())
    const [isTrue, isFalse] = [isAnswer(1), isAnswer(0)]
    const known = isTrue.logicalOr(isFalse).logicalOr(ignored)
    const byLabel = (mask: Tensor) => {
      const counts = mask.to('int64')
      return labels === 1 ? counts.sum().reshape([1]) : counts.movedim(1, 0).reshape([labels, -1]).sum(1)
    }
    this.#sum.change(
      () => zeros([4 * labels + 1], { dtype: 'int64', device: output.device }),
      (sum) => {
        const parts = [
          byLabel(yes.logicalAnd(isTrue)),
          byLabel(yes.logicalAnd(isFalse)),
          byLabel(yes.logicalNot().logicalAnd(isTrue)),
          byLabel(yes.logicalNot().logicalAnd(isFalse)),
          known.logicalNot().to('int64').sum().reshape([1]),
        ]
        for (const [i, part] of parts.entries()) sum.narrow(0, i * labels, part.shape[0]!).add_(part)
      },
    )
  }
}

/** The counts of each class against all others, or of each label. */
export function countsOf(counts: Counts): readonly ClassCount[] {
  if (counts.kind === 'labels') return counts.labels
  const { matrix } = counts
  return matrix.map((row, i) => ({
    truePositive: row[i]!,
    falsePositive: matrix.reduce((sum, other) => sum + other[i]!, 0) - row[i]!,
    falseNegative: row.reduce((sum, count) => sum + count, 0) - row[i]!,
  }))
}

function labelsOf(values: readonly number[], width: number): ClassCount[] {
  return Array.from({ length: width }, (_, i) => ({
    truePositive: values[i]!,
    falsePositive: values[width + i]!,
    falseNegative: values[2 * width + i]!,
  }))
}
