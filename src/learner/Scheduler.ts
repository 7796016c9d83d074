import { ConfigError } from '../engine/errors.ts'
import { type AnnealingCurve, annealingLinear, annealingNo } from '../optim/annealing.ts'

/** A hyper-parameter: one number, or one for each layer group. */
export type ScheduledValue = number | readonly number[]

/**
 * One hyper-parameter going from a start to an end in a number of steps along a curve. A single value stays constant.
 * `at(i)` is pure; `step()` and `isDone` walk through it as fastai's `Scheduler` does.
 *
 * @example new Scheduler([1e-3, 1e-2], 30, annealingCosine).at(15)  // half way
 */
export class Scheduler<Value extends ScheduledValue = number> {
  readonly start: Value
  readonly end: Value
  readonly steps: number
  readonly curve: AnnealingCurve
  /** Steps taken so far. */
  position = 0

  /**
   * @param values `{ start, end }`, or a constant
   * @param steps number of steps from start to end, at least 1
   * @param curve default: linear between two values, none for a constant
   */
  constructor(values: Value | { start: Value; end: Value }, steps: number, curve?: AnnealingCurve) {
    if (!Number.isInteger(steps) || steps < 1) {
      throw new ConfigError(`a schedule needs a whole number of steps of at least 1, got ${steps}`)
    }
    const range = typeof values === 'object' && 'end' in values ? values : { start: values, end: values }
    if (lengthOf(range.start) !== lengthOf(range.end)) {
      throw new ConfigError(
        `a schedule's start and end must have the same number of groups, got ${lengthOf(range.start)} and ${lengthOf(range.end)}`,
      )
    }
    this.start = range.start
    this.end = range.end
    this.steps = steps
    this.curve = curve ?? (range === values ? annealingLinear : annealingNo)
  }

  /** The value after `step` steps; past the end it stays at the end. */
  at(step: number): Value {
    return this.atFraction(Math.min(step, this.steps) / this.steps)
  }

  /** The value at a fraction (0 to 1) of the way. */
  atFraction(fraction: number): Value {
    const { start, end, curve } = this
    if (typeof start === 'number') return curve(start, end as number, fraction) as Value
    const ends = end as readonly number[]
    return start.map((value, group) => curve(value, ends[group]!, fraction)) as readonly number[] as Value
  }

  /** Takes one step and returns the new value. */
  step(): Value {
    this.position++
    return this.at(this.position)
  }

  get isDone(): boolean {
    return this.position >= this.steps
  }
}

const lengthOf = (value: ScheduledValue) => (typeof value === 'number' ? 1 : value.length)
