import { extname } from 'node:path'
import type { ItemDescription } from '../data/pictureItem.ts'
import { ConfigError } from '../engine/errors.ts'
import type { StateValue } from './callbackState.ts'
import { describeLearner } from './checkpoint.ts'
import type { Learner } from './Learner.ts'
import { writeLearnerFile } from './learnerFile.ts'
import { describeLoss, type LossDescription } from './lossDescription.ts'
import { describeModel, type ModelDescription } from './modelDescription.ts'
import { encodeState } from './stateCodec.ts'

/** What an exported Learner is made of, beside its weights. Null stands for what is code of the user's own. */
export type ExportedLearner = {
  model: ModelDescription | null
  /** Class of the model, for messages. */
  modelClass: string
  loss: LossDescription | null
  lossClass: string
  classes: readonly string[] | null
  item: ItemDescription | null
}

/** @returns the file */
export async function exportLearner(learner: Learner, path: string): Promise<string> {
  if (typeof path !== 'string' || path === '') {
    throw new ConfigError(`export takes the path of the file to write, got ${JSON.stringify(path)}`)
  }
  const file = withExtension(path)
  const { tensors, header } = await describeLearner(learner, false)
  const { model, lossFunction, data } = learner
  const exported: ExportedLearner = {
    model: describeModel(model) ?? null,
    modelClass: model.constructor.name,
    loss: describeLoss(lossFunction) ?? null,
    lossClass: typeof lossFunction === 'function' ? lossFunction.name : lossFunction.constructor.name,
    classes: data.classes ?? null,
    item: data.describeItem?.() ?? null,
  }
  const encoded = await encodeState(exported as unknown as StateValue, '__learner__/export')
  await writeLearnerFile(file, {
    tensors: new Map([...tensors, ...encoded.arrays]),
    header: { ...header, learner: encoded.json },
  })
  return file
}

/** The file that a path stands for. */
export function withExtension(path: string): string {
  return extname(path) === '.safetensors' ? path : `${path}.safetensors`
}
