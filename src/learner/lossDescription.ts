import { CheckpointError } from '../engine/errors.ts'
import * as nn from '../nn/index.ts'
import type { StateValue } from './callbackState.ts'
import type { LossFunction } from './lossFunction.ts'

/** Options of the losses of `nn` that make the loss what it is. */
const losses: Readonly<Record<string, readonly string[]>> = {
  CrossEntropyLoss: ['reduction', 'weight', 'ignoreIndex', 'labelSmoothing'],
  NLLLoss: ['reduction', 'weight', 'ignoreIndex'],
  BCEWithLogitsLoss: ['reduction', 'weight', 'posWeight', 'threshold'],
  BCELoss: ['reduction', 'weight', 'threshold'],
  KLDivLoss: ['reduction', 'logTarget'],
  MSELoss: ['reduction'],
  L1Loss: ['reduction'],
  RMSELoss: ['reduction'],
  SmoothL1Loss: ['reduction', 'beta'],
  HuberLoss: ['reduction', 'delta'],
}

export type LossDescription = { name: string; options: { [name: string]: StateValue } }

const lossClass = (name: string) => (nn as unknown as Record<string, new (options: object) => nn.Loss>)[name]

/** A loss of `nn` as data. Undefined for one's own. */
export function describeLoss(loss: LossFunction): LossDescription | undefined {
  if (typeof loss === 'function') return undefined
  if (loss.constructor === nn.LabelSmoothingLoss) {
    // It is a cross entropy but for the name of its option.
    const { labelSmoothing, reduction } = loss as nn.LabelSmoothingLoss
    return { name: 'CrossEntropyLoss', options: { labelSmoothing, reduction } }
  }
  const { name } = loss.constructor
  if (!Object.hasOwn(losses, name) || loss.constructor !== lossClass(name)) return undefined
  const fields = loss as unknown as Record<string, StateValue>
  return { name, options: Object.fromEntries(losses[name]!.map((field) => [field, fields[field]])) }
}

/** @throws CheckpointError for a loss that is not known */
export function buildLoss({ name, options }: LossDescription): LossFunction {
  if (!Object.hasOwn(losses, name)) throw new CheckpointError(`the loss ${name} is not known here`)
  return new (lossClass(name)!)(options)
}
