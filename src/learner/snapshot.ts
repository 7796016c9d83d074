import { getRngState, noGrad, scope, setRngState, Tensor } from '../engine/index.ts'
import type { ParamState } from '../optim/index.ts'
import type { Callback } from './Callback.ts'
import {
  type CallbackState,
  callbackStates,
  isNumberArray,
  nameCallbacks,
  type StateValue,
} from './callbackState.ts'
import type { EpochBeginContext } from './events.ts'
import type { Learner } from './Learner.ts'

/** A Learner as it was, in memory. */
export interface Snapshot {
  /**
   * Copies what callbacks remember, the first time that it is called. For `onEpochBegin`: a callback can tell its state once it has
   * begun. Those that a sweep leaves out (`runsInLrFind`) are left alone.
   */
  takeStates(callbacks: readonly Callback[]): void
  /**
   * Puts everything back and frees the copies. For `onTrainEnd`, before others hear of it: a callback can take up its state until it
   * has ended.
   */
  restore(): Promise<void>
}

/** What `onEpochBegin` is told, with those who take part. */
export type SweepContext = EpochBeginContext & { readonly callbacks: readonly Callback[] }

/**
 * Copies what training changes: parameters and buffers, what the optimizer remembers and its hyper-parameters, the positions of
 * the loaders, the random stream, and the modules' modes.
 */
export async function takeSnapshot(learner: Learner): Promise<Snapshot> {
  const { model, optimizer } = learner
  const loaders = [learner.data.trainDl, learner.data.validDl]
  // First the loaders: asking them may draw their seeds, as the fit that follows would have done.
  const positions = loaders.map((loader) => [loader, loader?.state?.()] as const)
  const random = getRngState()
  const modes = model.modules().map((module) => [module, module.training] as const)
  const tensors: Tensor[] = [...model.parameters(), ...model.buffers()]
  const copies = noGrad(() => tensors.map((tensor) => [tensor, copyOf(tensor)] as const))
  const groups = optimizer.inner.paramGroups.map((group) => [group, { ...group }] as const)
  const remembered = [...optimizer.inner.state].map(
    ([parameter, state]) => [parameter, copyState(state)] as const,
  )

  let restoreStates: (() => Promise<void>) | undefined

  return {
    takeStates(callbacks) {
      restoreStates ??= copyStates(callbacks.filter(({ runsInLrFind }) => runsInLrFind))
    },
    async restore() {
      noGrad(() => {
        for (const [tensor, copy] of copies) tensor.copy_(copy)
      })
      for (const [, copy] of copies) copy.dispose()
      optimizer.zeroGrad()
      optimizer.clear()
      for (const [parameter, state] of remembered) optimizer.inner.state.set(parameter, state)
      for (const [group, values] of groups) Object.assign(group, values)
      for (const [module, training] of modes) module.training = training
      setRngState(random)
      for (const [loader, position] of positions) if (position !== undefined) loader?.loadState?.(position)
      await restoreStates?.()
    },
  }
}

/** @returns what gives the callbacks back what they remember now, as a checkpoint does */
function copyStates(callbacks: readonly Callback[]): () => Promise<void> {
  const copies: Tensor[] = []
  const states = new Map<string, CallbackState>()
  for (const [name, state] of callbackStates(callbacks)) {
    states.set(name, copyValue(state, copies) as CallbackState)
  }
  return async () => {
    try {
      for (const [name, callback] of nameCallbacks(callbacks)) {
        const state = states.get(name)
        if (state !== undefined) await callback.loadStateDict?.(state as never)
      }
    } finally {
      for (const copy of copies) copy.dispose()
    }
  }
}

/** A copy, as a checkpoint would hold it. Those of tensors are noted in `copies`. */
function copyValue(value: StateValue, copies: Tensor[]): StateValue {
  if (value instanceof Tensor) {
    const copy = noGrad(() => copyOf(value))
    copies.push(copy)
    return copy
  }
  if (isNumberArray(value)) return value.slice()
  if (Array.isArray(value)) return value.map((each: StateValue) => copyValue(each, copies))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, each]) => each !== undefined)
  return Object.fromEntries(entries.map(([name, each]) => [name, copyValue(each, copies)]))
}

function copyOf(tensor: Tensor): Tensor {
  return scope(() => tensor.detach().clone().keep())
}

function copyState(state: ParamState): ParamState {
  return Object.fromEntries(
    Object.entries(state).map(([key, value]) => [
      key,
      value instanceof Tensor ? noGrad(() => copyOf(value)) : value,
    ]),
  )
}
