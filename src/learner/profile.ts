import { inspect } from 'node:util'
import { synchronize } from '../engine/index.ts'
import { Callback } from './Callback.ts'
import type { EventContexts, EventName } from './events.ts'

/** Where the time of a training batch goes. */
export type ProfilePhase = 'data' | 'forward' | 'loss' | 'backward' | 'step' | 'callbacks'

export interface ProfileOptions {
  /** Batches to measure. Default 20. */
  batches?: number
  /** Batches before those, in which caches fill. Default 3. */
  warmup?: number
}

/** What `learner.profile()` measured. Prints as a table. */
export class FitProfile {
  readonly batches: number
  readonly samples: number
  /** Seconds of all measured batches together. */
  readonly seconds: Readonly<Record<ProfilePhase, number>>

  constructor(batches: number, samples: number, seconds: Readonly<Record<ProfilePhase, number>>) {
    this.batches = batches
    this.samples = samples
    this.seconds = seconds
  }

  get total(): number {
    return Object.values(this.seconds).reduce((sum, seconds) => sum + seconds, 0)
  }

  get samplesPerSecond(): number {
    return this.samples / this.total
  }

  toString(): string {
    const titles: Record<ProfilePhase, string> = {
      data: 'wait for data',
      forward: 'forward',
      loss: 'loss',
      backward: 'backward',
      step: 'optimizer step',
      callbacks: 'callbacks and the rest',
    }
    const { total } = this
    const rows = Object.entries(this.seconds).map(([phase, seconds]) => [
      titles[phase as ProfilePhase],
      `${((1000 * seconds) / this.batches).toFixed(2)} ms`,
      `${((100 * seconds) / total).toFixed(1)} %`,
    ])
    rows.push(['a batch', `${((1000 * total) / this.batches).toFixed(2)} ms`, ''])
    const lines = rows.map(([title, time, share]) =>
      `${title!.padEnd(24)}${time!.padStart(12)}${share!.padStart(9)}`.trimEnd(),
    )
    return [...lines, `${this.samplesPerSecond.toFixed(1)} samples/s over ${this.batches} batches`].join('\n')
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

/** What lies before each event of a training batch. */
const phaseBefore: Partial<Record<EventName, ProfilePhase>> = {
  onBatchBegin: 'data',
  onLossBegin: 'forward',
  onBackwardBegin: 'loss',
  onBackwardEnd: 'backward',
  onStepEnd: 'step',
  onBatchEnd: 'callbacks',
}

/** Adds up the time between the events. Between them it waits for the engine, so that each phase is charged with its own work. */
class Clock {
  readonly seconds: Record<ProfilePhase, number> = {
    data: 0,
    forward: 0,
    loss: 0,
    backward: 0,
    step: 0,
    callbacks: 0,
  }
  #last = performance.now()

  lap(phase: ProfilePhase): void {
    synchronize()
    const now = performance.now()
    this.seconds[phase] += (now - this.#last) / 1000
    this.#last = now
  }

  reset(): void {
    for (const phase of Object.keys(this.seconds)) this.seconds[phase as ProfilePhase] = 0
  }
}

/** The first to hear of an event ends the phase before it, the last the time of the callbacks. */
class Lap extends Callback {
  override order: number
  readonly #lap: (event: EventName) => void

  constructor(order: number, lap: (event: EventName) => void) {
    super()
    this.order = order
    this.#lap = lap
  }

  override onBatchBegin({ train }: EventContexts['onBatchBegin']) {
    if (train) this.#lap('onBatchBegin')
  }
  override onLossBegin({ train }: EventContexts['onLossBegin']) {
    if (train) this.#lap('onLossBegin')
  }
  override onBackwardBegin(_: EventContexts['onBackwardBegin']) {
    this.#lap('onBackwardBegin')
  }
  override onBackwardEnd(_: EventContexts['onBackwardEnd']) {
    this.#lap('onBackwardEnd')
  }
  override onStepEnd(_: EventContexts['onStepEnd']) {
    this.#lap('onStepEnd')
  }
  override onBatchEnd({ train }: EventContexts['onBatchEnd']) {
    if (train) this.#lap('onBatchEnd')
  }
}

/** Callbacks that measure a fit, end it when they have enough, and tell what they have found. */
export function profiler({ batches, warmup }: Required<ProfileOptions>): {
  callbacks: Callback[]
  result(): FitProfile
} {
  const clock = new Clock()
  let done = 0
  let samples = 0
  class Count extends Callback {
    override onBatchEnd({ batchSize }: EventContexts['onBatchEnd'] & { batchSize: number }) {
      done++
      if (done > warmup) samples += batchSize
      return done >= warmup + batches ? { stopEpoch: true, stopTraining: true } : undefined
    }
  }
  const begin = new Lap(Number.NEGATIVE_INFINITY, (event) => clock.lap(phaseBefore[event]!))
  const end = new Lap(Number.POSITIVE_INFINITY, (event) => {
    clock.lap('callbacks')
    if (event === 'onBatchEnd' && done === warmup) clock.reset()
  })
  return {
    callbacks: [begin, new Count(), end],
    result: () => new FitProfile(Math.max(0, done - warmup), samples, { ...clock.seconds }),
  }
}
