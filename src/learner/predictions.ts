import { show } from '../engine/check.ts'
import { ConfigError, DataError, OutOfMemoryError } from '../engine/errors.ts'
import { cat, type NestedNumbers, noGrad, scope, Tensor } from '../engine/index.ts'
import * as nn from '../nn/index.ts'
import type { CallbackHandler } from './CallbackHandler.ts'
import {
  type Batch,
  type BatchLoader,
  isTensorList,
  type LearnerData,
  type Output,
  type Target,
  tensorsOf,
} from './data.ts'
import { evaluate, inEvalMode } from './evaluate.ts'
import type { FitState } from './FitState.ts'
import type { Learner } from './Learner.ts'
import type { AnyModule } from './layerGroups.ts'
import { activate, computeLoss, decode, type LossFunction, withoutReduction } from './lossFunction.ts'
import { MixedLoss } from './MixedLoss.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'

export interface PredictionOptions {
  /** Which items: 'valid', 'train' or 'fix' (all of them, in fixed order), 'test', or a loader of your own. Default 'valid'. */
  dataset?: 'valid' | 'train' | 'fix' | 'test' | BatchLoader
  /** Also the loss of each item. Default false. */
  withLoss?: boolean
  /** Apply the loss's activation, which makes probabilities of logits. Default true. */
  activate?: boolean
  /** Only the first so many batches. Default: all. */
  batches?: number
  /** Only the first so many items. Default: all. */
  items?: number
}

/**
 * What the model makes of each item, in order. All tensors are on the CPU. Items that the loader leaves out (`onError: 'skip'`) have
 * no row; `indices` tells which items the rows are. Where the model gives a list of tensors, or the data has several targets, there
 * is a list of tensors in the place of one.
 */
export interface Predictions<Outputs extends Output = Tensor, Targets extends Target = Tensor> {
  /** Probabilities for a classifier, raw outputs for a regression. `[N, …]` */
  predictions: Outputs
  /** What the loss decodes from the outputs: class indices for a classifier. `[N, …]` */
  decoded: Outputs
  targets: Targets
  /** Loss of each item, of its raw output; mean over the item's elements. `[N]`, if asked for. */
  losses?: Tensor
  /** Position in the dataset of the item of each row: 0, 1, 2 … where none is left out and the order is the dataset's. */
  indices: readonly number[]
}

/** What the tensors of a model are typed as: those that its `forward` gives. */
export type OutputsOf<Model extends AnyModule> =
  ReturnType<Model['forward']> extends infer Outputs extends Output ? Outputs : Tensor

/** What the model makes of one item; of a model that gives a list of tensors, a list of what it makes with each. */
export interface Prediction {
  /** Name of the class, where the data has names and the loss decodes a class; of several classes, joined by `;`. */
  label: string | undefined
  /** What the loss decodes: the class index for a classifier, the output itself for a regression. */
  decoded: NestedNumbers
  /** Probabilities for a classifier, outputs for a regression. */
  predictions: NestedNumbers
}

export async function collectPredictions(
  learner: Learner,
  state: FitState,
  callbacks: CallbackHandler,
  options: PredictionOptions,
): Promise<Predictions> {
  rejectUnknownOptions('getPredictions', options, ['dataset', 'withLoss', 'activate', 'batches', 'items'])
  const { dataset = 'valid', withLoss = false } = options
  const { batches = Number.POSITIVE_INFINITY, items = Number.POSITIVE_INFINITY } = options
  if (batches !== Number.POSITIVE_INFINITY) checkCount('getPredictions', 'batches', batches, 1)
  if (items !== Number.POSITIVE_INFINITY) checkCount('getPredictions', 'items', items, 1)
  const loader = typeof dataset === 'string' ? loaderOf(learner.data, dataset) : dataset
  const loss = learner.lossFunction
  const kept = new Map<string, Rows>()
  const keep = (name: string, value: Output, items: number) => {
    checkRows('getPredictions', name, value, items)
    const rows = kept.get(name) ?? { isList: !(value instanceof Tensor), parts: [] }
    rows.parts.push(tensorsOf(value).map((tensor) => tensor.to('cpu').clone().keep()))
    kept.set(name, rows)
  }

  const indices: number[] = []
  const onBatch = ({ lastOutput, lastTarget, numBatch, batchSize }: FitState, batch: Batch): void => {
    noGrad(() => {
      keep('predictions', options.activate === false ? lastOutput : activate(loss, lastOutput), batchSize)
      keep('decoded', decode(loss, lastOutput), batchSize)
      keep('targets', lastTarget, batchSize)
      if (!withLoss) return
      const losses = withoutReduction(loss, () => computeLoss(loss, lastOutput, lastTarget))
      keep('losses', perItem(losses), batchSize)
    })
    const seen = indices.length
    indices.push(...(loader.indicesOf?.(batch) ?? Array.from({ length: batchSize }, (_, i) => seen + i)))
    if (numBatch + 1 >= batches || indices.length >= items) state.stopEpoch = true
  }
  try {
    await evaluate({ learner, state, callbacks, metrics: [], onBatch }, loader)
    if (kept.size === 0) throw new DataError('there is nothing to predict: the loader gave no batch')
    const tensors = Object.fromEntries(
      [...kept].map(([name, { isList, parts }]) => {
        const joined = parts[0]!.map((_, at) => {
          const rows = cat(
            parts.map((part) => part[at]!),
            0,
          )
          return indices.length > items ? rows.index(`:${items}`).clone() : rows
        })
        return [name, isList ? joined : joined[0]]
      }),
    ) as unknown as Omit<Predictions, 'indices'>
    return { ...tensors, indices: indices.slice(0, items) }
  } finally {
    for (const { parts } of kept.values()) for (const tensor of parts.flat()) tensor[Symbol.dispose]()
  }
}

/**
 * A tensor, or a list of one for each of the model's inputs, is an item itself, without the dimension of the batch; the data knows how
 * others become one.
 */
export async function predictItems(
  learner: Learner,
  items: readonly unknown[],
  batchSize: number,
): Promise<Prediction[]> {
  checkCount('predict', 'batchSize', batchSize, 1)
  const results: Prediction[] = []
  for (let first = 0; first < items.length; first += batchSize) {
    const chunk = items.slice(first, first + batchSize)
    results.push(...(await scope(() => predictBatch(learner, chunk))))
  }
  return results
}

async function predictBatch(learner: Learner, items: readonly unknown[]): Promise<Prediction[]> {
  const { data, model, lossFunction } = learner
  const inputs = await Promise.all(items.map((item) => inputOf(data, item)))
  const odd = inputs.findIndex(({ length }) => length !== inputs[0]!.length)
  if (odd >= 0) {
    throw new ConfigError(
      `predictAll: item 0 has ${inputs[0]!.length} tensors, item ${odd} has ${inputs[odd]!.length}: give each as many as the model has inputs`,
    )
  }
  const given = inputs[0]!.length
  if (given > 1 && model instanceof nn.Sequential) {
    throw new ConfigError(
      `predict: a list of ${given} tensors is one item of a model with ${given} inputs, but a Sequential has one: several items go to ` +
        'predictAll, as a list of tensors',
    )
  }
  const [decoded, predictions] = await inEvalMode(model, async () => {
    const output = noGrad(() => outputOf(model, inputs))
    return noGrad(() => [decode(lossFunction, output), activate(lossFunction, output)] as const)
  })
  checkRows('predict', 'decoded', decoded, items.length)
  checkRows('predict', 'predictions', predictions, items.length)
  return items.map((_, i) => {
    const values = { decoded: valuesOf(decoded, i), predictions: valuesOf(predictions, i) }
    const label = data.classes && labelOf(data.classes, values.decoded, saysYesOrNo(lossFunction, decoded))
    return { label, ...values }
  })
}

/** @throws ConfigError where the model fails because items have fewer tensors than its `forward` takes */
function outputOf(model: nn.Module, inputs: readonly (readonly Tensor[])[]): Output {
  const given = inputs[0]!.length
  try {
    const x = inputs[0]!.map((_, i) =>
      cat(
        inputs.map((parts) => parts[i]!),
        0,
      ),
    )
    return model.forward(...(x as [Tensor])) as Output
  } catch (cause) {
    // Those beyond may have been optional, and the failure another.
    if (model.forward.length <= given || cause instanceof OutOfMemoryError) throw cause
    throw new ConfigError(
      `predict: the model's forward takes ${model.forward.length} tensors and failed with ${given} for each item ` +
        `(${(cause as Error).message}): an item is a list of tensors then, predict([a, b]), and several are a list of such lists, ` +
        'predictAll([[a, b], [c, d]])',
      { cause },
    )
  }
}

/** Of each batch the tensors of one kind: one, or those of a list. */
interface Rows {
  isList: boolean
  parts: (readonly Tensor[])[]
}

/** @throws ConfigError for what is no tensor and no list of tensors, or a list with one that has no row for each item */
function checkRows(owner: string, name: string, value: unknown, items: number): void {
  if (value instanceof Tensor) return
  if (!isTensorList(value)) {
    throw new ConfigError(
      `${owner}: the ${name} of a batch must be a tensor or a list of tensors, got ${show(value)}`,
    )
  }
  const odd = value.findIndex(({ shape }) => shape[0] !== items)
  if (odd < 0) return
  throw new ConfigError(
    `${owner}: the first dimension of each of the ${name} counts the items of the batch (${items}), but tensor ${odd} of the list is ` +
      `[${value[odd]!.shape.join(', ')}]. What is not of single items is to be left out, in evaluation mode or by the loss's decode and activation`,
  )
}

/** The values of an item, of each tensor of a list. */
function valuesOf(value: Output, item: number): NestedNumbers {
  const [first, ...others] = tensorsOf(value).map((tensor) => tensor.index(item).toArray())
  return value instanceof Tensor ? first! : [first!, ...others]
}

/**
 * What takes one tensor of predictions and one of targets.
 * @throws ConfigError where model, loss or data have lists of them
 */
export function requireSingle(
  owner: string,
  { predictions, decoded, targets }: Predictions<Output, Target>,
  need = 'takes one tensor of predictions and one of targets',
): void {
  const lists = Object.entries({ predictions, decoded, targets }).filter(
    ([, value]) => !(value instanceof Tensor),
  )
  if (lists.length === 0) return
  const described = lists.map(
    ([name, value]) => `${name} are a list of ${(value as readonly Tensor[]).length}`,
  )
  throw new ConfigError(`${owner} ${need}, but here ${described.join(', ')}; getPredictions gives the lists`)
}

/** The class of an index, or (of yes and no for each class) those with a yes, as `cloudy;primary`. */
function labelOf(classes: readonly string[], decoded: NestedNumbers, isYesOrNo: boolean): string | undefined {
  if (typeof decoded === 'number') return classes[decoded]
  if (!Array.isArray(decoded) || !isYesOrNo || decoded.length !== classes.length) return undefined
  const answers = decoded.map(Number)
  if (!answers.every((answer) => answer === 0 || answer === 1)) return undefined
  return classes.filter((_, i) => answers[i] === 1).join(';')
}

/** Whether decoded rows answer a question for each class: numbers that happen to be as many as the classes are no names. */
function saysYesOrNo(loss: LossFunction, decoded: Output): boolean {
  if (!(decoded instanceof Tensor) || decoded.ndim !== 2) return false
  const inner = loss instanceof MixedLoss ? loss.inner : loss
  return decoded.dtype === 'bool' || inner instanceof nn.BCEWithLogitsLoss || inner instanceof nn.BCELoss
}

async function inputOf(data: LearnerData, item: unknown): Promise<readonly Tensor[]> {
  if (item instanceof Tensor) return [item.unsqueeze(0)]
  if (isTensorList(item)) return item.map((part) => part.unsqueeze(0))
  if (data.oneItem) return tensorsOf((await data.oneItem(item as never)).x)
  throw new ConfigError(
    'this data cannot make a batch of an item; predict takes a tensor here, or a list of tensors for a model with several inputs, ' +
      `each without the dimension of the batch; got ${show(item)}`,
  )
}

function loaderOf(data: LearnerData, dataset: 'valid' | 'train' | 'fix' | 'test'): BatchLoader {
  const loaders = { valid: data.validDl, train: data.fixDl, fix: data.fixDl, test: data.testDl }
  if (!(dataset in loaders)) {
    throw new ConfigError(
      `getPredictions: dataset must be 'valid', 'train', 'fix', 'test' or a loader, got ${String(dataset)}`,
    )
  }
  const loader = loaders[dataset]
  if (!loader)
    throw new DataError(
      `the data has no ${dataset === 'train' || dataset === 'fix' ? 'fixDl' : `${dataset}Dl`}; pass a loader as dataset`,
    )
  return loader
}

/** The loss of each item, of that of each of its elements. */
export function perItem(losses: Tensor): Tensor {
  return losses.shape.length > 1 ? losses.flatten(1).mean(1) : losses
}
