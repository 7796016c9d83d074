import { ConfigError } from '../engine/errors.ts'
import type { CallbackState } from './callbackState.ts'
import { type EventChanges, type EventContexts, type EventName, eventNames } from './events.ts'

/** What an event handler may give back: nothing, or changes; at once or as a promise, which the loop awaits. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler without a return statement returns void
export type Answer<Event extends EventName> = EventChanges[Event] | undefined | void

type Answered<Event extends EventName> = Answer<Event> | Promise<Answer<Event>>

/** Names that look like events and are none. */
type UnknownEvents<Self> = {
  [K in keyof Self]: K extends EventName
    ? never
    : K extends `on${Capitalize<string>}`
      ? `there is no event ${K}`
      : never
}[keyof Self]

/**
 * What happens around the training loop, apart from the loop itself, is a callback: a class with methods named as the events
 * that it wants to hear. Events run in rising `order` (those of equal order as they were given), each may be async, and each
 * may return the changes that `EventChanges` allows it.
 *
 * @example
 * class PrintLoss extends Callback {
 *   onBatchEnd(context: BatchEndContext) {
 *     if (context.train) console.log(context.iteration, context.smoothLoss)
 *   }
 * }
 */
export abstract class Callback {
  /** Lower runs earlier. fastai's numbers: the recorder -10, most 0, mixed precision 999. */
  order = 0

  /** The order in `onTrainEnd`, for who must be done there before or after others. Default: `order`. */
  readonly endOrder?: number

  /**
   * Values that this callback adds to each epoch, by name: each gets a column. It returns them in `lastMetrics` from
   * `onEpochEnd`, and its `order` must be below the recorder's -10.
   */
  readonly extraMetrics: readonly string[] = []

  /** Whether it also runs in a learning-rate sweep. Savers, loggers and stoppers say false. */
  readonly runsInLrFind: boolean = true

  /** Never set. It makes a callback with a misspelt event a compile-time error where it is handed over. */
  declare readonly unknownEvents?: UnknownEvents<this>

  /**
   * What this callback remembers from batch to batch, for a checkpoint. Called between batches and between epochs. A callback that
   * remembers nothing, or computes everything anew from the context, needs neither this nor {@link loadStateDict}.
   */
  stateDict?(): CallbackState

  /**
   * Goes on from what `stateDict` gave, in a fit that resumes. It is called after `onTrainBegin` (where `resuming` says so), and in the
   * middle of an epoch after its `onEpochBegin` too: whatever those reset is put back here. Tensors that it gets live until it has
   * returned: copy or `clone().keep()` them. (`state` is declared as what one's own `stateDict` gives.)
   */
  loadStateDict?(state: never): void | Promise<void>

  /**
   * The options by which it steers training: a fit that resumes must have the same, or it would not end with the same bits. Callbacks
   * that only look on, log or save do not need it.
   */
  steering?(): CallbackState

  /**
   * For who adds up gradients over batches. The training data of the epoch is over, which it may be sooner than `batchesPerEpoch` said,
   * and the last batches may have been cancelled. True if gradients that were held back are to make a step now: `onBackwardEnd`, the
   * step and `onStepEnd` follow, without a batch. Not called where a callback has left the epoch.
   */
  finishesGroup?(): boolean

  /** The fit begins. May set `epoch`, `skipValidate` and (with another loader) `batchesPerEpoch`. */
  onTrainBegin?(context: EventContexts['onTrainBegin']): Answered<'onTrainBegin'>
  /** An epoch begins; the model is in training mode. */
  onEpochBegin?(context: EventContexts['onEpochBegin']): Answered<'onEpochBegin'>
  /** A batch has come, in training or validation. May change `lastInput` and `lastTarget`, and set `autocast`. */
  onBatchBegin?(context: EventContexts['onBatchBegin']): Answered<'onBatchBegin'>
  /** The model has answered. May change `lastOutput`. */
  onLossBegin?(context: EventContexts['onLossBegin']): Answered<'onLossBegin'>
  /** The loss is computed; training only. May change `lastLoss` and set `skipBackward`. */
  onBackwardBegin?(context: EventContexts['onBackwardBegin']): Answered<'onBackwardBegin'>
  /** Gradients are there; training only. May set `skipStep`. */
  onBackwardEnd?(context: EventContexts['onBackwardEnd']): Answered<'onBackwardEnd'>
  /** The optimizer has stepped; training only. May set `skipZero`. */
  onStepEnd?(context: EventContexts['onStepEnd']): Answered<'onStepEnd'>
  /** A batch is done, in training or validation. May set `stopEpoch`, `stopTraining` and `skipValidate`. */
  onBatchEnd?(context: EventContexts['onBatchEnd']): Answered<'onBatchEnd'>
  /** An epoch is done, validation included. May set `stopTraining` and values of `lastMetrics`. */
  onEpochEnd?(context: EventContexts['onEpochEnd']): Answered<'onEpochEnd'>
  /** The fit ends. Runs once for each `onTrainBegin` that returned, errors or not. */
  onTrainEnd?(context: EventContexts['onTrainEnd']): Answered<'onTrainEnd'>
}

/**
 * @throws ConfigError if what was given is no callback, or has a method that is named like an event and is none
 */
export function checkCallback(callback: Callback): void {
  if (!(callback instanceof Callback)) {
    throw new ConfigError(
      `a callback must be an instance of a class that extends Callback, got ${describe(callback)}` +
        (typeof callback === 'function' ? ': construct it with new' : ''),
    )
  }
  const { order, endOrder = order } = callback
  for (const [name, value] of Object.entries({ order, endOrder })) {
    if (typeof value === 'number' && !Number.isNaN(value)) continue
    throw new ConfigError(`${callback.constructor.name}.${name} must be a number, got ${String(value)}`)
  }
  if (callback.extraMetrics.length > 0 && callback.order >= -10) {
    throw new ConfigError(
      `${callback.constructor.name} adds ${callback.extraMetrics.join(', ')} to the epoch, but with order ${callback.order} ` +
        'it runs after the recorder; give it an order below -10',
    )
  }
  if ((callback.stateDict === undefined) !== (callback.loadStateDict === undefined)) {
    const [has, lacks] = callback.stateDict ? ['stateDict', 'loadStateDict'] : ['loadStateDict', 'stateDict']
    throw new ConfigError(
      `${callback.constructor.name} has ${has} but no ${lacks}; a checkpoint needs both, or neither`,
    )
  }
  const unknown = eventLikeNames(callback).filter((name) => !(eventNames as readonly string[]).includes(name))
  if (unknown.length > 0) {
    throw new ConfigError(
      `${callback.constructor.name} has ${unknown.join(' and ')}, but there is no such event; events are ${eventNames.join(', ')}`,
    )
  }
}

function eventLikeNames(callback: Callback): string[] {
  const names = new Set<string>()
  for (
    let object = callback;
    object && object !== Callback.prototype;
    object = Object.getPrototypeOf(object)
  ) {
    for (const name of Object.getOwnPropertyNames(object)) if (/^on[A-Z]/.test(name)) names.add(name)
  }
  return [...names]
}

function describe(value: unknown): string {
  if (typeof value === 'function') return `the ${value.name || 'anonymous'} function or class itself`
  if (typeof value === 'object' && value !== null) return `a ${value.constructor?.name ?? 'plain object'}`
  return String(value)
}
