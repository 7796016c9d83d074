import { CheckpointError, ConfigError } from '../engine/errors.ts'
import { type Callback, checkCallback } from './Callback.ts'
import { type CallbackState, callbackStates, nameCallbacks, requireSame } from './callbackState.ts'
import { allowedChanges, type EventName } from './events.ts'
import type { FitState } from './FitState.ts'

/** Calls callbacks in order, awaits them, and applies the changes that they return. */
export class CallbackHandler {
  /** In the order in which they run. */
  readonly callbacks: readonly Callback[]
  readonly #state: FitState
  readonly #listeners = new Map<EventName, readonly Callback[]>()
  readonly #begun = new Set<Callback>()
  #told: Callback | undefined

  /** @throws ConfigError for what is no callback, or has misspelt events */
  constructor(callbacks: readonly Callback[], state: FitState) {
    for (const callback of callbacks) checkCallback(callback)
    this.callbacks = inOrder([...new Set(callbacks)], ({ order }) => order)
    this.#state = state
  }

  /** Tells everyone who listens. The first error, or cancellation, ends it. */
  async emit(
    event: Exclude<EventName, 'onTrainBegin' | 'onTrainEnd'>,
    whom: (callback: Callback) => boolean = () => true,
  ): Promise<void> {
    for (const callback of this.#listening(event)) {
      if (!whom(callback)) continue
      this.#told = callback
      await this.#tell(callback, event)
    }
  }

  /** As `emit`, for listeners that answer at once. */
  emitNow(event: EventName, whom: (callback: Callback) => boolean): void {
    for (const callback of this.#listening(event)) {
      if (!whom(callback)) continue
      this.#told = callback
      this.#state.event = event
      const changes: unknown = callback[event]!(this.#state as never)
      if (changes !== undefined && changes !== null) this.#apply(callback, event, changes)
    }
  }

  /** Those of higher order than the callback that is being told of `event`: they have not heard of it yet. */
  waiting(event: EventName): readonly Callback[] {
    return this.#listening(event).filter(({ order }) => order > (this.#told?.order ?? 0))
  }

  /** What all callbacks remember, by their names in a checkpoint. */
  states(): Record<string, CallbackState> {
    return Object.fromEntries(callbackStates(this.callbacks))
  }

  /** The options of those that steer training, by their names in a checkpoint. */
  steering(): Record<string, CallbackState> {
    const named = [...nameCallbacks(this.callbacks)].filter(([, callback]) => callback.steering)
    return Object.fromEntries(named.map(([name, callback]) => [name, callback.steering!()]))
  }

  /** @throws CheckpointError unless the same callbacks steer in the same way as at the checkpoint */
  checkSteering(before: Readonly<Record<string, CallbackState>>): void {
    const now = this.steering()
    const changes = [
      ...Object.keys(before).map((name) => (Object.hasOwn(now, name) ? '' : `${name} is missing`)),
      ...Object.keys(now).map((name) => (Object.hasOwn(before, name) ? '' : `${name} was not there`)),
    ].filter(Boolean)
    if (changes.length > 0) {
      throw new CheckpointError(
        `this fit would not go on as it began: ${changes.join(', ')}. Make the same fit call as before the interruption`,
      )
    }
    for (const [name, options] of Object.entries(now)) requireSame(name, before[name]!, options)
  }

  /**
   * Gives back what they remembered. Those that the checkpoint does not know begin anew.
   * @throws CheckpointError for states of callbacks that are not here
   */
  async loadStates(states: Readonly<Record<string, CallbackState>>): Promise<void> {
    const named = nameCallbacks(this.callbacks)
    const missing = Object.keys(states).filter((name) => !named.get(name)?.loadStateDict)
    if (missing.length > 0) {
      throw new CheckpointError(
        `the checkpoint holds what ${missing.join(' and ')} remembered, but this fit has no such callback. ` +
          'Make the same fit call as before the interruption, with the same callbacks',
      )
    }
    for (const [name, callback] of named) {
      const state = states[name]
      if (state !== undefined) await callback.loadStateDict?.(state as never)
    }
  }

  /** Remembers who has begun: only they will be told of the end. */
  async begin(): Promise<void> {
    for (const callback of this.callbacks) {
      if (callback.onTrainBegin) await this.#tell(callback, 'onTrainBegin')
      this.#begun.add(callback)
    }
  }

  /** Tells all who have begun, even if some of them fail; what they throw is returned. */
  async end(): Promise<unknown[]> {
    const errors: unknown[] = []
    for (const callback of inOrder(this.callbacks, ({ order, endOrder = order }) => endOrder)) {
      if (!this.#begun.delete(callback) || !callback.onTrainEnd) continue
      await this.#tell(callback, 'onTrainEnd').catch((error: unknown) => errors.push(error))
    }
    return errors
  }

  #listening(event: EventName): readonly Callback[] {
    let listeners = this.#listeners.get(event)
    if (!listeners) {
      listeners = this.callbacks.filter((callback) => callback[event] !== undefined)
      this.#listeners.set(event, listeners)
    }
    return listeners
  }

  async #tell(callback: Callback, event: EventName): Promise<void> {
    this.#state.event = event
    const changes: unknown = await callback[event]!(this.#state as never)
    if (changes !== undefined && changes !== null) this.#apply(callback, event, changes)
  }

  #apply(callback: Callback, event: EventName, changes: unknown): void {
    const where = `${callback.constructor.name}.${event}`
    const allowed: readonly string[] = allowedChanges[event]
    const advice =
      allowed.length > 0
        ? `it may return nothing, or an object with ${allowed.join(', ')}`
        : 'it may return nothing'
    if (typeof changes !== 'object' || Array.isArray(changes)) {
      throw new ConfigError(`${where} returned ${String(changes)}; ${advice}`)
    }
    for (const [key, value] of Object.entries(changes as object)) {
      if (value === undefined) continue
      if (!allowed.includes(key)) throw new ConfigError(`${where} returned the change "${key}"; ${advice}`)
      checkValue(where, key, value, this.#state)
      if (key === 'lastMetrics')
        this.#state.lastMetrics = { ...this.#state.lastMetrics, ...(value as object) }
      else Object.assign(this.#state, { [key]: value })
    }
  }
}

/** Those of equal order stay as they are. */
function inOrder(callbacks: readonly Callback[], orderOf: (callback: Callback) => number): Callback[] {
  // Orders may be infinite, which cannot be subtracted.
  const compare = (a: number, b: number) => Number(a > b) - Number(a < b)
  return [...callbacks].sort((a, b) => compare(orderOf(a), orderOf(b)))
}

const flags = ['skipValidate', 'skipBackward', 'skipStep', 'skipZero', 'stopEpoch', 'stopTraining']

function checkValue(where: string, key: string, value: unknown, state: FitState): void {
  if (flags.includes(key)) {
    if (typeof value !== 'boolean')
      throw new ConfigError(`${where} set ${key} to ${String(value)}; it is true or false`)
  } else if (key === 'epoch' || key === 'batchesPerEpoch') {
    const least = key === 'epoch' ? 0 : 1
    if (!Number.isInteger(value) || (value as number) < least) {
      throw new ConfigError(
        `${where} set ${key} to ${String(value)}; it is a whole number of at least ${least}`,
      )
    }
  } else if (key === 'autocast') {
    if (value !== 'bfloat16' && value !== 'float16' && value !== 'float32')
      throw new ConfigError(
        `${where} set autocast to ${String(value)}; it is 'bfloat16', 'float16' or 'float32'`,
      )
  } else if (typeof value !== 'object' || value === null) {
    throw new ConfigError(`${where} set ${key} to ${String(value)}`)
  } else if (key === 'lastMetrics') {
    checkMetrics(where, value, ['trainLoss', 'validLoss', ...state.metricNames])
  }
}

function checkMetrics(where: string, metrics: object, known: readonly string[]): void {
  for (const [name, value] of Object.entries(metrics)) {
    if (!known.includes(name)) {
      throw new ConfigError(
        `${where} set the metric "${name}"; known are ${known.join(', ')}. List new ones in the callback's extraMetrics`,
      )
    }
    if (value !== null && typeof value !== 'number') {
      throw new ConfigError(`${where} set the metric "${name}" to ${String(value)}; it is a number or null`)
    }
  }
}
