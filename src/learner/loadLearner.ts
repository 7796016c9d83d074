import { type ItemDescription, itemMaker } from '../data/pictureItem.ts'
import { encodingDifference } from '../data/table/encodingDifference.ts'
import { withCreationLimit } from '../engine/creationLimit.ts'
import { CheckpointError, ConfigError, OutOfMemoryError } from '../engine/errors.ts'
import { scope } from '../engine/index.ts'
import type * as nn from '../nn/index.ts'
import { loadModel } from './checkpoint.ts'
import type { BatchLoader, LearnerData } from './data.ts'
import { classesDifference } from './dataMeaning.ts'
import { type ExportedLearner, withExtension } from './export.ts'
import { Learner } from './Learner.ts'
import type { AnyModule } from './layerGroups.ts'
import { honest, type LearnerFile, readLearnerFile } from './learnerFile.ts'
import { buildLoss } from './lossDescription.ts'
import type { LossFunction } from './lossFunction.ts'
import { buildModel, type ModelDescription } from './modelDescription.ts'
import { rejectUnknownOptions } from './options.ts'
import { fields, listOf, mapOf, nullable, text } from './stateChecks.ts'
import { decodeState } from './stateCodec.ts'

export interface LoadLearnerOptions {
  /** The model, made as it was before; its weights come from the file. For models that the file cannot describe. */
  model?: AnyModule
  /** The loss, if it is one of your own: it knows what outputs mean. */
  lossFunction?: LossFunction
  /**
   * Data to go on training with, of the same classes in the same order: they say what the model's outputs mean. Rows of tables are
   * encoded as the file says (`fromTable` with `encodeAs`); pictures may be of another size, or normalised otherwise. Default: none,
   * and the Learner only predicts.
   */
  data?: LearnerData
}

/**
 * A Learner that predicts, from a file that `learner.export` wrote: model, weights, classes, and how an item becomes a batch. No code
 * is run from the file, so a model or a loss of your own is passed in.
 *
 * @param path the file, with or without `.safetensors`
 * @throws CheckpointError if the file is missing, damaged, of a newer version or no exported Learner, or does not fit the model
 * @throws ConfigError if the model or the loss must be passed in, or the data has other classes than the file, or encodes rows otherwise
 *
 * @example
 * const learner = await loadLearner('bees')
 * console.log((await learner.predict('bee.jpg')).label)
 */
export async function loadLearner(path: string, options: LoadLearnerOptions = {}): Promise<Learner> {
  rejectUnknownOptions('loadLearner', options, ['model', 'lossFunction', 'data'])
  const file = withExtension(path)
  const content = await readLearnerFile(file)
  if (content.header.learner === undefined) {
    throw new CheckpointError(
      `${file} is no exported Learner (learner.export writes those); learner.load and loadWeights take the weights of a checkpoint`,
    )
  }
  return honest(file, () => scope(() => build(file, content, options)))
}

const anything = mapOf(() => {})
const exported = fields({
  model: nullable(anything),
  modelClass: text,
  loss: nullable(anything),
  lossClass: text,
  classes: nullable(listOf(text)),
  item: nullable(anything),
})

async function build(file: string, content: LearnerFile, options: LoadLearnerOptions): Promise<Learner> {
  const saved = decodeState(content.header.learner, content.tensors) as unknown as ExportedLearner
  exported(saved, 'learner')
  if (!saved.model && !options.model) {
    throw new ConfigError(
      `${file} holds the weights of a ${saved.modelClass}, which is code of your own: loadLearner(path, { model: new ${saved.modelClass}(…) })`,
    )
  }
  if (!saved.loss && !options.lossFunction) {
    throw new ConfigError(
      `${file} was trained with the loss ${saved.lossClass || 'of your own'}, which tells what outputs mean: ` +
        'loadLearner(path, { lossFunction: … })',
    )
  }
  checkClasses(file, saved.classes, options.data?.classes)
  checkEncoding(file, saved.item, options.data?.describeItem?.())
  const model = options.model ?? buildWithin(file, content, saved.model!)
  const learner = new Learner(options.data ?? dataToPredict(saved), model as nn.Module, {
    lossFunction: options.lossFunction ?? buildLoss(saved.loss!),
  })
  loadModel(file, learner, content, true)
  model.eval()
  keepTensors(model, learner.lossFunction)
  return learner
}

/** An output stands for the class at its place: with others, predictions would be called what they are not, and training undone. */
function checkClasses(
  file: string,
  saved: readonly string[] | null,
  given: readonly string[] | undefined,
): void {
  const difference = classesDifference(saved, given ?? null)
  if (difference === undefined) return
  throw new ConfigError(
    `${file} and the data have ${difference}. Outputs of the model mean those of the file: make the ` +
      'data with `classes` in its order (without data, loadLearner gives them as learner.data.classes)',
  )
}

/** With other categories or statistics the model would see other numbers for the same row. */
function checkEncoding(
  file: string,
  saved: ItemDescription | null,
  given: ItemDescription | undefined,
): void {
  if (saved?.kind !== 'row' || !given) return
  const difference =
    given.kind === 'row' ? encodingDifference(saved.table, given.table) : 'the data are no rows of a table'
  if (difference === undefined) return
  throw new ConfigError(
    `${file} was trained on rows that were encoded otherwise than those of the data: ${difference}. Encode them as the file does: ` +
      'fromTable(…, { encodeAs: learner.data }), with the learner that loadLearner gives without data',
  )
}

/** Beyond what the file's tensors take, for what is made on the way. */
const SLACK = 16 * 1024 ** 2

/**
 * What layers are said to measure is held against the tensors that come with them, before memory is taken for it. (A half-precision
 * file is read into a model that is built in float32.)
 */
function buildWithin(file: string, { tensors }: LearnerFile, description: ModelDescription): nn.Module {
  let held = 0
  for (const { data } of tensors.values()) held += data.byteLength
  try {
    return withCreationLimit(4 * held + SLACK, () => buildModel(description))
  } catch (cause) {
    if (!(cause instanceof OutOfMemoryError)) throw cause
    throw new CheckpointError(
      `${file} is damaged: the model that it describes is larger than the ${held} bytes of tensors in it (${cause.message})`,
      { cause },
    )
  }
}

/** Buffers that were made here outlive the scope. */
function keepTensors(model: AnyModule, loss: LossFunction): void {
  for (const tensor of [...model.parameters(), ...model.buffers()]) tensor.keep()
  if (typeof loss !== 'function') for (const tensor of (loss as nn.Loss).buffers?.() ?? []) tensor.keep()
}

/** No items, but what is known of them. */
function dataToPredict({ classes, item }: ExportedLearner): LearnerData {
  const trainDl: BatchLoader = {
    length: 0,
    dataset: { length: 0 },
    async *[Symbol.asyncIterator]() {},
  }
  return {
    trainDl,
    ...(classes && { classes }),
    ...(item && {
      oneItem: itemMaker(item) as NonNullable<LearnerData['oneItem']>,
      describeItem: () => item,
    }),
  }
}
