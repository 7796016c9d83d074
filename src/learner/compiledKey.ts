import { tf32 } from '../engine/device.ts'
import type { Tensor } from '../engine/index.ts'
import { Module } from '../nn/Module.ts'
import { Parameter } from '../nn/Parameter.ts'
import type { AnyModule } from './layerGroups.ts'
import type { Fit } from './loop.ts'
import type { LossFunction } from './lossFunction.ts'

/** What decides what is recorded of a batch. Each is a list of values to be compared one by one. */
export interface CompiledKey {
  /** What is trained, and the memory that is read and written: where it differs, a recording is of no use any more. */
  memory: readonly unknown[]
  /** What model and loss are set to: where it differs, a pass is recorded apart. */
  settings: readonly unknown[]
  /** The batch, and what it is computed in. */
  batch: readonly unknown[]
}

/** The callbacks that take part in what is recorded stay the same during a fit, and recordings do not outlive it. */
export function compiledKey({ learner, state }: Fit, batch: readonly Tensor[]): CompiledKey {
  // Gradients go to the optimizer's parameters.
  const memory: unknown[] = [...learner.optimizer.parameters()]
  const settings: unknown[] = []
  addModules(learner.model, memory, settings)
  addLoss(learner.lossFunction, memory, settings)
  return {
    memory,
    settings,
    batch: [
      state.autocast,
      tf32.allowed,
      ...batch.flatMap(({ shape, strides, dtype, device }) => [`${shape};${strides}`, dtype, device]),
    ],
  }
}

export function isSame(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((value, i) => Object.is(value, other[i]))
}

/** Modes and numbers of the layers, and their tensors: one that lies elsewhere by now has another handle. */
function addModules(model: AnyModule, memory: unknown[], settings: unknown[]): void {
  for (const module of model.modules()) {
    settings.push(module)
    // In one go over the fields: this runs in every step.
    for (const value of Object.values(module)) {
      if (typeof value !== 'object') settings.push(value)
      else if (value instanceof Parameter) memory.push(value.liveHandle(), value.requiresGrad)
    }
    for (const [, buffer] of module.ownBuffers()) memory.push(buffer.liveHandle())
  }
}

function addLoss(loss: LossFunction, memory: unknown[], settings: unknown[]): void {
  settings.push(loss)
  if (typeof loss === 'function') return
  if (loss instanceof Module) {
    addModules(loss as unknown as AnyModule, memory, settings)
    return
  }
  for (const value of Object.values(loss)) {
    if (typeof value !== 'object') settings.push(value)
    // A loss around another, as that of mixed samples.
    else if (isLossModule(value)) addLoss(value, memory, settings)
  }
}

function isLossModule(value: unknown): value is Exclude<LossFunction, (...inputs: never[]) => unknown> {
  return typeof value === 'object' && value !== null && 'forward' in value
}
