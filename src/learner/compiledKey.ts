import { tf32 } from '../engine/device.ts'
import { Tensor } from '../engine/index.ts'
import { hasHooks } from '../nn/hooks.ts'
import { Module } from '../nn/Module.ts'
import { Parameter } from '../nn/Parameter.ts'
import { itemsOf } from './CompiledFields.ts'
import type { AnyModule } from './layerGroups.ts'
import type { Fit } from './loop.ts'
import type { LossFunction } from './lossFunction.ts'

/** What decides what is recorded of a batch. Each is a list of values to be compared one by one. */
export interface CompiledKey {
  /** What is trained, and the memory that is read and written: where it differs, a recording is of no use any more. */
  memory: readonly unknown[]
  /** What model and loss are set to: where it differs, a pass is recorded apart. */
  settings: readonly unknown[]
  /** Layers and losses whose fields are looked at. */
  owners: readonly object[]
  /** The batch, and what it is computed in. */
  batch: readonly unknown[]
  /** Whether hooks of layers, of the loss or of gradients listen: a recording does not call them. */
  isHooked: boolean
}

/** What is gathered over the layers and the loss. */
type Parts = { memory: unknown[]; settings: unknown[]; owners: Set<object>; isHooked: boolean }

/** Of longer lists only which one it is, and its length. */
const mostItems = 64

/** The callbacks that take part in what is recorded stay the same during a fit, and recordings do not outlive it. */
export function compiledKey({ learner, state }: Fit, batch: readonly Tensor[]): CompiledKey {
  // Gradients go to the optimizer's parameters.
  const memory: unknown[] = [...learner.optimizer.parameters()]
  const parts: Parts = { memory, settings: [], owners: new Set(), isHooked: false }
  if (learner.model instanceof Module) addFields(learner.model, parts)
  else for (const module of (learner.model as AnyModule).modules()) addFields(module, parts)
  addLoss(learner.lossFunction, parts)
  return {
    ...parts,
    owners: [...parts.owners],
    batch: [
      state.autocast,
      tf32.allowed,
      ...batch.flatMap(({ shape, strides, dtype, device }) => [`${shape};${strides}`, dtype, device]),
    ],
  }
}

/**
 * Modes and numbers of a layer (or a loss) and of those inside it, and their parameters: one that lies elsewhere by now has another
 * handle. Which other tensors there are is the affair of `CompiledFields`.
 */
function addFields(owner: object, parts: Parts): void {
  const { memory, settings, owners } = parts
  if (owners.has(owner)) return
  owners.add(owner)
  settings.push(owner)
  const isModule = owner instanceof Module
  if (isModule) parts.isHooked ||= hasHooks(owner)
  // In one go over the fields: this runs in every step.
  for (const value of Object.values(owner)) {
    if (typeof value !== 'object' || value === null) settings.push(value)
    else if (value instanceof Parameter) {
      memory.push(value.liveHandle(), value.requiresGrad)
      parts.isHooked ||= !!value.gradHooks?.length
    } else if (value instanceof Module) addFields(value, parts)
    // A loss around another, as that of mixed samples.
    else if (!isModule && isLossModule(value)) addFields(value, parts)
    else addObject(value, settings)
  }
}

function addObject(value: object, settings: unknown[]): void {
  const items = itemsOf(value)
  if (value instanceof Tensor) settings.push(Tensor)
  else if (items === null) settings.push(value)
  else if (items.length > mostItems) settings.push(value, items.length)
  else {
    settings.push(items.length)
    for (const item of items) settings.push(item instanceof Tensor ? Tensor : item)
  }
}

function addLoss(loss: LossFunction, parts: Parts): void {
  if (typeof loss === 'function') parts.settings.push(loss)
  else addFields(loss, parts)
}

function isLossModule(value: object): boolean {
  return 'forward' in value
}
