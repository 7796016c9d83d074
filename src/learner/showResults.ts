import { ConfigError } from '../engine/errors.ts'
import { scope, type Tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import type { LearnerData } from './data.ts'
import type { Learner } from './Learner.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'

export interface ShowResultsOptions {
  /** Which items. Default 'valid'. */
  dataset?: 'valid' | 'train' | 'test'
  /** Rows, and columns, of pictures; no more than there are. Default 3. */
  rows?: number
}

/** Titles say what the model got right and what wrong. */
const colors = { right: '#1f7a4d', wrong: '#b3261e' }

/** The first pictures, each with its class and what the model takes it for. */
export async function drawResults(learner: Learner, options: ShowResultsOptions = {}): Promise<Figure> {
  rejectUnknownOptions('showResults', options, ['dataset', 'rows'])
  const { dataset = 'valid', rows = 3 } = options
  checkCount('showResults', 'rows', rows, 1)
  const show = itemDrawer(learner.data, 'showResults')
  return scope(async () => {
    const { decoded, targets } = await learner.getPredictions({ dataset, items: rows * rows })
    const [predicted, actual] = await Promise.all([labelsOf(decoded), labelsOf(targets)])
    const name = (label: number) => learner.data.classes?.[label] ?? String(label)
    return show(dataset, [...actual.keys()], {
      titles: actual.map((label, i) => `${name(label)} / ${name(predicted[i]!)}`),
      titleColors: actual.map((label, i) => (label === predicted[i] ? colors.right : colors.wrong)),
      columns: rows,
    })
  })
}

/** @throws ConfigError if the data is no pictures */
export function itemDrawer(data: LearnerData, owner: string): NonNullable<LearnerData['showItems']> {
  if (!data.showItems) {
    throw new ConfigError(`${owner} draws pictures, and this data has none; getPredictions gives the values`)
  }
  return data.showItems.bind(data)
}

async function labelsOf(tensor: Tensor): Promise<number[]> {
  if (tensor.shape.length === 1) return Array.from(await tensor.data(), Number)
  throw new ConfigError(
    `showResults needs a classifier with one class a picture; its targets and predictions are [N], got [${tensor.shape.join(', ')}]`,
  )
}
