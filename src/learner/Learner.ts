import { ConfigError, DataError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import type * as nn from '../nn/index.ts'
import type { Figure } from '../plot/index.ts'
import type { Callback } from './Callback.ts'
import { CallbackHandler } from './CallbackHandler.ts'
import { checkpointFile, type LoadReport, readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import type { Batch, BatchLoader, Target } from './data.ts'
import { evaluate } from './evaluate.ts'
import { exportLearner } from './export.ts'
import { exportLearnerOnnx, type LearnerExportOnnxOptions } from './exportOnnx.ts'
import { newFitState } from './FitState.ts'
import { ClassificationInterpretation } from './interpretation.ts'
import { type LearnerSummary, summarizeLearner } from './LearnerSummary.ts'
import type { AnyModule } from './layerGroups.ts'
import type {
  FitOneCycleOptions,
  FitOptions,
  LearnerOptions,
  LoadOptions,
  LrFindOptions,
  SaveOptions,
} from './learnerOptions.ts'
import { type MetricLike, toMetrics } from './Metric.ts'
import { rejectUnknownOptions } from './options.ts'
import {
  collectPredictions,
  type OutputsOf,
  type Prediction,
  type PredictionOptions,
  type Predictions,
  predictItems,
} from './predictions.ts'
import { drawResults, type ShowResultsOptions } from './showResults.ts'
import { TrainingLearner } from './TrainingLearner.ts'
import { predictAugmented, type TtaOptions, type TtaPredictions } from './tta.ts'

export type { FitOneCycleOptions, FitOptions, LearnerOptions, LoadOptions, LrFindOptions, SaveOptions }

export interface ValidateOptions {
  /** Instead of the Learner's. */
  metrics?: readonly MetricLike[]
  /** They hear of the batches, beside the Learner's. No fit begins or ends. */
  callbacks?: readonly Callback[]
}

/**
 * Data, model, loss and optimizer, and the ways to train them: fastai's Learner.
 *
 * @example
 * const learner = new Learner(data, model, { lossFunction: new nn.CrossEntropyLoss(), metrics: [metrics.accuracy] })
 * const { suggestions } = await learner.lrFind()
 * await learner.fitOneCycle(4, { maxLr: suggestions.valley ?? 1e-3 })
 */
export class Learner<Model extends AnyModule = nn.Module> extends TrainingLearner<Model> {
  // Looking at the result --------------------------------------------------------------------------------------------

  /**
   * Loss and metrics over the validation data, or over another loader.
   * @returns `{ loss, accuracy, … }`, with the metrics by name
   */
  async validate(
    loader?: BatchLoader,
    options: ValidateOptions = {},
  ): Promise<{ loss: number } & Record<string, number>> {
    rejectUnknownOptions('validate', options, ['metrics', 'callbacks'])
    const { metrics, callbacks = [] } = options
    const chosen = metrics ? toMetrics(metrics) : this.metrics
    const from = loader ?? this.data.validDl
    if (!from || from.length === 0) {
      throw new DataError('there is no validation data: give the data some, or pass a loader to validate')
    }
    this.settleLoaders()
    const state = newFitState(this.self)
    const handler = new CallbackHandler([...this.callbacks, ...callbacks], state)
    const { loss, metrics: values } = await evaluate(
      { learner: this.self, state, callbacks: handler, metrics: chosen },
      from,
    )
    return { loss, ...values } as { loss: number } & Record<string, number>
  }

  /**
   * Runs the model over data in fixed order. Predictions are what the loss makes of raw outputs: probabilities for a
   * classifier. All results are on the CPU. A model of several heads gives lists of tensors, and so does data with several targets:
   * `getPredictions<readonly Tensor[]>()` has their type.
   */
  async getPredictions<Targets extends Target = Tensor>(
    options: PredictionOptions = {},
  ): Promise<Predictions<OutputsOf<Model>, Targets>> {
    this.settleLoaders()
    const state = newFitState(this.self)
    const handler = new CallbackHandler(this.callbacks, state)
    return (await collectPredictions(this.self, state, handler, options)) as Predictions<never, never>
  }

  /**
   * What the model makes of one item: a picture file, for picture data, or a tensor without the dimension of the batch; for a
   * model with several inputs a list of such tensors. In the dtype of the model, without mixed precision.
   * @example const { label, predictions } = await learner.predict('bee.jpg')
   */
  async predict(item: unknown): Promise<Prediction> {
    return (await predictItems(this.self, [item], 1))[0]!
  }

  /**
   * What the model makes of several items, in batches: much faster than one after the other. Each is what {@link predict} takes: of
   * a model with several inputs a list of tensors.
   * @example const [first, second] = await learner.predictAll(['bee.jpg', 'ant.jpg'])
   */
  async predictAll(items: readonly unknown[], options: { batchSize?: number } = {}): Promise<Prediction[]> {
    rejectUnknownOptions('predictAll', options, ['batchSize'])
    if (!Array.isArray(items)) throw new ConfigError(`predictAll takes a list of items, got ${String(items)}`)
    return predictItems(this.self, items, options.batchSize ?? 32)
  }

  /**
   * Test-time augmentation: the mean of the predictions of differently augmented passes, mixed with the plain ones. For pictures these
   * are fastai's eight, magnified into the corners, plain and mirrored, with the training's other transforms.
   * @throws ConfigError if the data cannot augment (masks cannot: each pass would move their pixels) and no loaders are given
   */
  async tta(options: TtaOptions = {}): Promise<TtaPredictions> {
    return predictAugmented(this.self, options)
  }

  /** The first pictures with their classes, and what the model takes them for. @throws ConfigError for data that is no pictures */
  async showResults(options: ShowResultsOptions = {}): Promise<Figure> {
    return drawResults(this.self, options)
  }

  /** Where a classifier is right and wrong: confusion matrix, most confused classes, top losses. */
  async interpret(options: Omit<PredictionOptions, 'withLoss'> = {}): Promise<ClassificationInterpretation> {
    return ClassificationInterpretation.fromLearner(this.self, options)
  }

  /** Layers with their output shapes and parameters, for the shape of a batch of one; optimizer, loss and layer groups. */
  async summary(): Promise<LearnerSummary> {
    this.settleLoaders()
    return summarizeLearner(
      this.self,
      async () => (await this.data.oneBatch?.()) ?? firstOf(this.data.trainDl),
    )
  }

  // Saving -----------------------------------------------------------------------------------------------------------

  /**
   * Writes the model, and what the optimizer remembers, to `path/modelDir/name.safetensors`, whole or not at all.
   * @returns the file
   * @throws CheckpointError if it cannot be written; what was there before stays
   */
  async save(name: string, options: SaveOptions = {}): Promise<string> {
    rejectUnknownOptions('save', options, ['withOptimizer'])
    const { withOptimizer = true } = options
    const file = checkpointFile(this.self, name)
    await writeCheckpoint(file, this.self, withOptimizer && this.hasOptimizer)
    return file
  }

  /**
   * Writes what prediction needs into one file: the model with its weights, the classes, and how an item becomes a batch. It is data,
   * not code: {@link loadLearner} reads it, and asks for a model or a loss of your own.
   * @param path the file, with or without `.safetensors`; not below the Learner's folder
   * @returns the file
   * @throws CheckpointError if it cannot be written; what was there before stays
   */
  async export(path: string): Promise<string> {
    return exportLearner(this.self, path)
  }

  /**
   * Writes the model as ONNX, for onnxruntime (in Node, in a browser, elsewhere): it takes batches of any size as {@link predict}
   * makes them, and gives the model's raw outputs, or with `activate` what the loss makes of them (probabilities). Class names
   * are in the file's metadata. See {@link exportOnnx}.
   * @returns the file
   * @throws ConfigError that names the ops for which ONNX has no form
   * @example await learner.exportOnnx('model.onnx', { activate: true })
   */
  async exportOnnx(path: string, options: LearnerExportOnnxOptions = {}): Promise<string> {
    return exportLearnerOnnx(this.self, path, options)
  }

  /**
   * Loads what `save` wrote, or a checkpoint. Where the file tells which classes the model was trained on, or how a table's columns
   * became numbers, the data must have the same: else every output would be called what it is not. (`strict: false` does
   * not ask.)
   * @returns what did not match: nothing, unless `strict` is false
   * @throws CheckpointError if the file is missing, damaged, of another model, or of other classes, columns or categories; nothing
   * has changed then
   */
  async load(name: string, options: LoadOptions = {}): Promise<LoadReport> {
    rejectUnknownOptions('load', options, ['strict', 'withOptimizer'])
    const { strict = true, withOptimizer = true } = options
    return readCheckpoint(checkpointFile(this.self, name), this.self, { strict, withOptimizer })
  }
}

/** The loader stands afterwards where it stood. */
async function firstOf(loader: BatchLoader): Promise<Batch> {
  const position = loader.state?.()
  try {
    for await (const batch of loader) return batch
  } finally {
    if (position !== undefined) loader.loadState?.(position)
  }
  throw new DataError('the training data gives no batch')
}
