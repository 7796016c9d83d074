/** Models for tables. */

export { embeddingSize, TabularModel, type TabularModelOptions } from './TabularModel.ts'
export { type TabularLearnerOptions, tabularLearner } from './tabularLearner.ts'
