import { ConfigError } from '../engine/errors.ts'
import { noGrad, scope, type Tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import type { LearnerData } from './data.ts'
import type { Learner } from './Learner.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'
import { maskOverlays } from './overlays.ts'
import { requireSingle } from './predictions.ts'

export interface ShowResultsOptions {
  /** Which items. Default 'valid'. */
  dataset?: 'valid' | 'train' | 'test'
  /** Rows, and columns, of pictures; no more than there are. Default 3. */
  rows?: number
}

/** Titles say what the model got right and what wrong. */
const colors = { right: '#1f7a4d', wrong: '#b3261e' }

/**
 * The first pictures, each with its class (or classes) and what the model takes it for; of a model that gives every pixel a class,
 * each twice, under the mask and under what the model makes of it.
 */
export async function drawResults(learner: Learner, options: ShowResultsOptions = {}): Promise<Figure> {
  rejectUnknownOptions('showResults', options, ['dataset', 'rows'])
  const { dataset = 'valid', rows = 3 } = options
  checkCount('showResults', 'rows', rows, 1)
  const show = itemDrawer(learner.data, 'showResults')
  return scope(async () => {
    const result = await learner.getPredictions({ dataset, items: rows * rows })
    requireSingle('showResults', result)
    const { decoded, targets, indices } = result
    if (targets.ndim === 3 && decoded.ndim === 3) {
      const first = `:${2 * rows}`
      return drawMasks(
        learner,
        dataset,
        indices.slice(0, 2 * rows),
        targets.index(first),
        decoded.index(first),
      )
    }
    const { classes } = learner.data
    const several = targets.ndim === 2
    const [predicted, actual] = await Promise.all(
      [decoded, targets].map((labels) => namesOf(labels, classes)),
    )
    return show(dataset, indices, {
      titles: actual!.map((name, i) => `${name}${several ? '\n/' : ' /'} ${predicted![i]}`),
      titleColors: actual!.map((name, i) => (name === predicted![i] ? colors.right : colors.wrong)),
      columns: rows,
    })
  })
}

/** Two pictures a row, each with its mask on the left and the prediction on the right. */
async function drawMasks(
  learner: Learner,
  dataset: 'valid' | 'train' | 'test',
  indices: readonly number[],
  targets: Tensor,
  decoded: Tensor,
): Promise<Figure> {
  const show = itemDrawer(learner.data, 'showResults')
  const [actual, predicted] = await Promise.all([maskOverlays(targets), maskOverlays(decoded)])
  const twice = indices.flatMap((index) => [index, index])
  const titles = await shareOfPixels(targets, decoded)
  return show(dataset, twice, {
    titles: titles.flatMap((share) => ['mask', `predicted: ${share}`]),
    overlays: actual.flatMap((overlay, i) => [overlay, predicted[i]!]),
    columns: Math.min(4, twice.length),
  })
}

async function shareOfPixels(targets: Tensor, decoded: Tensor): Promise<string[]> {
  const shares = await noGrad(() => decoded.eq(targets).to('float32').flatten(1).mean(1)).data()
  return Array.from(shares, (share) => `${(100 * Number(share)).toFixed(0)} %`)
}

/** @throws ConfigError if the data is no pictures */
export function itemDrawer(data: LearnerData, owner: string): NonNullable<LearnerData['showItems']> {
  if (!data.showItems) {
    throw new ConfigError(`${owner} draws pictures, and this data has none; getPredictions gives the values`)
  }
  return data.showItems.bind(data)
}

/** Of class indices `[N]` the names; of rows of zeros and ones `[N, C]` those of the ones. */
async function namesOf(labels: Tensor, classes: readonly string[] | undefined): Promise<string[]> {
  const name = (label: number) => classes?.[label] ?? String(label)
  if (labels.ndim === 1) return Array.from(await labels.data(), (label) => name(Number(label)))
  const [items, count] = labels.shape
  if (classes && labels.ndim === 2 && count === classes.length) {
    const values = await labels.contiguous().data()
    return Array.from({ length: items! }, (_, item) => {
      const present = classes.filter((_, label) => Number(values[item * count! + label]) === 1)
      return present.length > 0 ? present.join(' ') : 'none'
    })
  }
  throw new ConfigError(
    'showResults needs a classifier, with targets and predictions [N] or (of several classes a picture) [N, classes], or masks ' +
      `[N, H, W]; got [${labels.shape.join(', ')}]`,
  )
}
