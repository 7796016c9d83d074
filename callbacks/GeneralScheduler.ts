import { ConfigError } from '../src/engine/errors.ts'
import type { StateValue } from '../src/learner/callbackState.ts'
import type { TrainBeginContext } from '../src/learner/events.ts'
import { type LearningRate, lrRange, Slice } from '../src/learner/lrRange.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { Scheduler } from '../src/learner/Scheduler.ts'
import { type AnnealingCurve, annealingLinear, annealingNo } from '../src/optim/annealing.ts'
import {
  ScheduleCallback,
  type SchedulePlan,
  type SchedulePoint,
  type ScheduleSpan,
} from './ScheduleCallback.ts'

/** A hyper-parameter in a phase: constant, or from one value to another along a curve (default: a straight line). */
export type PhaseValue = LearningRate | { start: LearningRate; end: LearningRate; curve?: AnnealingCurve }

/** A stretch of training with its hyper-parameters. What is left out stays as it was. */
export interface TrainingPhase {
  /** Its length in training batches, */
  batches?: number
  /** or in epochs, */
  epochs?: number
  /** or as a share of the whole run (its end rounded down to a batch). One of the three; a phase of the last kind may come out empty. */
  share?: number
  lr?: PhaseValue
  /** SGD's momentum or Adam's beta1. */
  momentum?: PhaseValue
  /** Adam's beta2 or RMSprop's alpha. */
  beta?: PhaseValue
  wd?: PhaseValue
}

export interface GeneralSchedulerOptions extends ScheduleSpan {
  phases: readonly TrainingPhase[]
}

const lengthNames = ['batches', 'epochs', 'share'] as const
const valueNames = ['lr', 'momentum', 'beta', 'wd'] as const

/**
 * Any hyper-parameters along any curves, one phase after another; training ends with the last. As in fastai v1, the batch in which a
 * phase begins still runs with the end values of the one before: a phase of n batches sets its values after 1/n, 2/n … n/n of it.
 *
 * @example new GeneralScheduler({ phases: [
 *   { epochs: 1, lr: { start: 1e-4, end: 1e-2 } },
 *   { epochs: 3, lr: { start: 1e-2, end: 1e-5, curve: optim.annealingCosine } },
 * ] })
 */
export class GeneralScheduler extends ScheduleCallback {
  readonly phases: readonly TrainingPhase[]

  constructor(options: GeneralSchedulerOptions) {
    rejectUnknownOptions('GeneralScheduler', options ?? {}, ['phases', 'totalEpochs', 'startEpoch'])
    const { phases, ...span } = options
    super(span)
    if (!Array.isArray(phases) || phases.length === 0) {
      throw new ConfigError(
        'GeneralScheduler: phases must be a list of { batches, lr, … }; got ' +
          (Array.isArray(phases) ? 'none' : String(phases)),
      )
    }
    for (const phase of phases) checkPhase(phase)
    this.phases = phases
  }

  protected override plan({ learner, batchesPerEpoch }: TrainBeginContext, batches: number): SchedulePlan {
    const groups = learner.layerGroups.length
    const laid = lengthsOf(this.phases, batchesPerEpoch, batches)
      .filter(({ length }) => length > 0)
      .map(({ phase, length }) => ({ length, values: schedulersOf(phase, length, groups) }))
    const whole = laid.reduce((sum, { length }) => sum + length, 0)
    if (whole === 0) throw new ConfigError('GeneralScheduler: all phases are empty in a run this short')
    return {
      at(iteration) {
        let start = 0
        for (const { length, values } of laid) {
          if (iteration <= start + length) return pointOf(values, iteration - start)
          start += length
        }
        return pointOf(laid.at(-1)!.values, laid.at(-1)!.length)
      },
      batches: whole,
      shape: { phases: this.phases.map(shapeOf) },
    }
  }
}

type Schedulers = Partial<Record<(typeof valueNames)[number], Scheduler<readonly number[]>>>

function checkPhase(phase: TrainingPhase): void {
  if (typeof phase !== 'object' || phase === null) {
    throw new ConfigError(`GeneralScheduler: a phase is { batches, lr, … }, got ${String(phase)}`)
  }
  rejectUnknownOptions('GeneralScheduler: a phase', phase, [...lengthNames, ...valueNames])
  const given = lengthNames.filter((name) => phase[name] !== undefined)
  if (given.length !== 1) {
    throw new ConfigError(
      `GeneralScheduler: a phase has one length, batches, epochs or share; got ${given.join(' and ') || 'none'}`,
    )
  }
  const length = phase[given[0]!]!
  const fits = given[0] === 'share' ? length > 0 && length <= 1 : Number.isInteger(length) && length > 0
  if (!fits) {
    throw new ConfigError(
      `GeneralScheduler: the ${given[0]} of a phase must be ${given[0] === 'share' ? 'above 0 and at most 1' : 'a whole number above 0'}, got ${String(length)}`,
    )
  }
  for (const name of valueNames) {
    const value = phase[name]
    if (!isRange(value)) continue
    rejectUnknownOptions(`GeneralScheduler: ${name}`, value, ['start', 'end', 'curve'])
    if (value.curve !== undefined && typeof value.curve !== 'function') {
      throw new ConfigError(
        `GeneralScheduler: the curve of ${name} must be a function, as optim.annealingCosine; got ${String(value.curve)}`,
      )
    }
  }
}

function isRange(value: PhaseValue | undefined): value is Exclude<PhaseValue, LearningRate> {
  return typeof value === 'object' && value !== null && !(value instanceof Slice) && !Array.isArray(value)
}

/** Of shares the ends are rounded down, not the lengths: those that add up to 1 are the whole run. */
function lengthsOf(phases: readonly TrainingPhase[], batchesPerEpoch: number, whole: number) {
  let shares = 0
  let end = 0
  return phases.map((phase) => {
    const { batches, epochs, share } = phase
    if (batches !== undefined) return { phase, length: batches }
    if (epochs !== undefined) return { phase, length: epochs * batchesPerEpoch }
    const start = end
    shares += share!
    end = Math.trunc(whole * shares + 1e-9) // 0.29 + 0.71 may be a little below 1
    return { phase, length: end - start }
  })
}

function schedulersOf(phase: TrainingPhase, length: number, groups: number): Schedulers {
  const schedulers: Schedulers = {}
  for (const name of valueNames) {
    const value = phase[name]
    if (value === undefined) continue
    const [start, end, curve] = isRange(value)
      ? [value.start, value.end, value.curve ?? annealingLinear]
      : [value, value, annealingNo]
    const values = { start: lrRange(start, groups), end: lrRange(end, groups) }
    schedulers[name] = new Scheduler<readonly number[]>(values, length, curve)
  }
  return schedulers
}

function pointOf(schedulers: Schedulers, step: number): SchedulePoint {
  return Object.fromEntries(Object.entries(schedulers).map(([name, scheduler]) => [name, scheduler.at(step)]))
}

function shapeOf(phase: TrainingPhase): StateValue {
  return Object.fromEntries(
    Object.entries(phase).map(([name, value]) => [
      name,
      isRange(value)
        ? { start: String(value.start), end: String(value.end), curve: value.curve?.name }
        : String(value),
    ]),
  )
}
