import type { TabularDataBunch } from '../data/index.ts'
import { ConfigError } from '../engine/errors.ts'
import { Learner, type LearnerOptions } from '../learner/Learner.ts'
import { embeddingSize, TabularModel, type TabularModelOptions } from './TabularModel.ts'

/** Options of {@link tabularLearner}, next to those of the Learner. */
export interface TabularLearnerOptions
  extends LearnerOptions,
    Pick<TabularModelOptions, 'dropout' | 'embeddingDropout' | 'yRange' | 'batchNorm'> {
  /** Widths of the hidden layers. Default [200, 100]. */
  layers?: readonly number[]
  /** Width of the embedding of some columns. Default: {@link embeddingSize}. */
  embeddingSizes?: Readonly<Record<string, number>>
}

/**
 * A Learner for tables: embeddings of the categories and normalised numbers together through linear layers. fastai's
 * `tabular_learner`. An exported Learner holds the columns' statistics, and predicts rows: `learner.predict({ rooms: 3, … })`.
 * @throws ConfigError for a column that has no embedding, and for options that cannot be
 *
 * @example
 * const data = await fromTable('houses.csv', { target: 'price', log: true })
 * const learner = tabularLearner(data, { layers: [200, 100], metrics: [metrics.rmse] })
 */
export function tabularLearner(
  data: TabularDataBunch,
  options: TabularLearnerOptions = {},
): Learner<TabularModel> {
  const {
    layers = [200, 100],
    embeddingSizes = {},
    dropout,
    embeddingDropout,
    yRange,
    batchNorm,
    ...rest
  } = options
  const { description, cardinalities } = data.encoder
  const names = description.categorical.map(({ name }) => name)
  const unknown = Object.keys(embeddingSizes).find((name) => !names.includes(name))
  if (unknown !== undefined) {
    throw new ConfigError(
      `embeddingSizes: '${unknown}' is no column of categories; those are '${names.join("', '")}'`,
    )
  }
  const model = new TabularModel({
    embeddings: cardinalities.map((rows, at) => [rows, embeddingSizes[names[at]!] ?? embeddingSize(rows)]),
    numbers: description.continuous.length,
    outputs: data.c ?? 1,
    layers,
    ...(dropout !== undefined && { dropout }),
    ...(embeddingDropout !== undefined && { embeddingDropout }),
    ...(yRange !== undefined && { yRange }),
    ...(batchNorm !== undefined && { batchNorm }),
  })
  return new Learner(data, model, rest)
}
