import { getRngState, noGrad, scope, setRngState, Tensor } from '../engine/index.ts'
import type { ParamState } from '../optim/index.ts'
import type { Learner } from './Learner.ts'

/** A Learner as it was, in memory. */
export interface Snapshot {
  /** Puts everything back and frees the copies. */
  restore(): Promise<void>
}

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

  return {
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
    },
  }
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
