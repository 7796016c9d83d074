import { AsyncLocalStorage } from 'node:async_hooks'
import type { DType } from './dtype.ts'
import type { Tensor } from './tensor.ts'

/** The tensors made inside one `scope`. */
export interface TensorScope {
  tensors: Tensor[]
  /** Nobody will free what is made in it any more: work that its function has started, and did not wait for, goes on. */
  closed?: boolean
}

/**
 * What surrounds a call: whether gradients are recorded, who owns new tensors, mixed precision. Each asynchronous
 * context has its own, so that a server that predicts while another task trains does not lose its tensors to it.
 */
export interface EngineState {
  gradEnabled: boolean
  scope: TensorScope | null
  autocast: DType | null
}

const contexts = new AsyncLocalStorage<EngineState>()
const root: EngineState = { gradEnabled: true, scope: null, autocast: null }
let contextsInUse = false

/** The state of the running context. Synchronous code may change its fields if it restores them before returning. */
export function engineState(): EngineState {
  return contextsInUse ? (contexts.getStore() ?? root) : root
}

/** Runs `body` (synchronous or not) under a copy of the state with `changes` applied. */
export function withState<T>(changes: Partial<EngineState>, body: () => T): T {
  contextsInUse = true
  return contexts.run({ ...engineState(), ...changes }, body)
}

/** How often values of a tensor have been handed to JavaScript, or decided a shape, in whatever context. */
export const reads = { count: 0 }
