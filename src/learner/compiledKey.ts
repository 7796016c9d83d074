import { tf32 } from '../engine/device.ts'
import type { Tensor } from '../engine/index.ts'
import { hasHooks } from '../nn/hooks.ts'
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
  /** Whether hooks of layers, of the loss or of gradients listen: a recording does not call them. */
  isHooked: boolean
}

/** What is gathered over the layers and the loss. */
type Parts = { memory: unknown[]; settings: unknown[]; isHooked: boolean }

/** The callbacks that take part in what is recorded stay the same during a fit, and recordings do not outlive it. */
export function compiledKey({ learner, state }: Fit, batch: readonly Tensor[]): CompiledKey {
  // Gradients go to the optimizer's parameters.
  const parts: Parts = { memory: [...learner.optimizer.parameters()], settings: [], isHooked: false }
  addModules(learner.model, parts)
  addLoss(learner.lossFunction, parts)
  return {
    ...parts,
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
function addModules(model: AnyModule, parts: Parts): void {
  const { memory, settings } = parts
  for (const module of model.modules()) {
    settings.push(module)
    parts.isHooked ||= hasHooks(module)
    // In one go over the fields: this runs in every step.
    for (const value of Object.values(module)) {
      if (typeof value !== 'object') settings.push(value)
      else if (value instanceof Parameter) {
        memory.push(value.liveHandle(), value.requiresGrad)
        parts.isHooked ||= !!value.gradHooks?.length
      }
    }
    for (const [, buffer] of module.ownBuffers()) memory.push(buffer.liveHandle())
  }
}

function addLoss(loss: LossFunction, parts: Parts): void {
  const { settings } = parts
  settings.push(loss)
  if (typeof loss === 'function') return
  if (loss instanceof Module) {
    addModules(loss as unknown as AnyModule, parts)
    return
  }
  for (const value of Object.values(loss)) {
    if (typeof value !== 'object') settings.push(value)
    // A loss around another, as that of mixed samples.
    else if (isLossModule(value)) addLoss(value, parts)
  }
}

function isLossModule(value: unknown): value is Exclude<LossFunction, (...inputs: never[]) => unknown> {
  return typeof value === 'object' && value !== null && 'forward' in value
}
