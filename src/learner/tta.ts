import { ConfigError, DataError } from '../engine/errors.ts'
import { noGrad, scope, stack, type Tensor } from '../engine/index.ts'
import type { BatchLoader } from './data.ts'
import type { Learner } from './Learner.ts'
import { activate, computeLoss, decode, type LossFunction, withoutReduction } from './lossFunction.ts'
import { rejectUnknownOptions } from './options.ts'
import { type Predictions, perItem, requireSingle } from './predictions.ts'

export interface TtaOptions {
  /** Which items. Default 'valid'. */
  dataset?: 'valid' | 'train' | 'test'
  /** Share of the plain predictions in the mixture; the rest are the augmented ones' mean. Default 0.4. */
  beta?: number
  /** Magnification of the corners. Default 1.35. */
  scale?: number
  /** Also the loss of each item, of the mixture. Default false. */
  withLoss?: boolean
  /**
   * Loaders of the same items in the same order, augmented in ways of your own, instead of the data's. Where there is a prediction for
   * each pixel, the pixels must stay where they are.
   */
  loaders?: readonly BatchLoader[]
}

/** `predictions`, `decoded` and `losses` are of the mixture. */
export interface TtaPredictions extends Predictions {
  /** Predictions without augmentation. `[N, …]` */
  plain: Tensor
  /** Mean of the predictions of all augmented passes. `[N, …]` */
  augmented: Tensor
}

/**
 * Mixes plain predictions with those of the augmented passes, as fastai's `TTA`. (Its losses were those of probabilities, taken for raw
 * outputs; ours are of the raw outputs that stand for the mixture.)
 */
export async function predictAugmented(learner: Learner, options: TtaOptions = {}): Promise<TtaPredictions> {
  rejectUnknownOptions('tta', options, ['dataset', 'beta', 'scale', 'withLoss', 'loaders'])
  const { dataset = 'valid', beta = 0.4, scale = 1.35, withLoss = false } = options
  if (!(beta >= 0 && beta <= 1)) throw new ConfigError(`tta: beta must be from 0 to 1, got ${String(beta)}`)
  if (!(scale >= 1 && Number.isFinite(scale))) {
    throw new ConfigError(`tta: scale must be a number of at least 1, got ${String(scale)}`)
  }
  const loaders = options.loaders ?? learner.data.augmentedLoaders?.(dataset, scale)
  if (!loaders || loaders.length === 0) {
    throw new ConfigError(
      'tta: the data cannot augment its items for prediction, as picture data can; pass { loaders } of your own',
    )
  }
  return scope(async () => {
    const result = await learner.getPredictions({ dataset })
    requireSingle('tta', result)
    const { predictions: plain, targets, indices } = result
    const passes: Tensor[] = []
    for (const loader of loaders) {
      const { predictions } = await learner.getPredictions({ dataset: loader })
      if (predictions.shape.join() !== plain.shape.join()) {
        throw new DataError(
          `tta: an augmented pass gave predictions [${predictions.shape.join(', ')}], the plain one [${plain.shape.join(', ')}]`,
        )
      }
      passes.push(predictions)
    }
    return noGrad(() => {
      const augmented = stack(passes).mean(0)
      const predictions = plain.mul(beta).add(augmented.mul(1 - beta))
      const loss = learner.lossFunction
      const raw = rawOf(loss, predictions)
      const decoded = decode(loss, raw ?? predictions)
      const mixture = { predictions, decoded, targets, plain, augmented, indices }
      if (!withLoss) return mixture
      if (!raw) {
        throw new ConfigError(
          "tta: withLoss needs a loss whose activation can be undone (softmax, sigmoid, exp or none), which this loss's cannot",
        )
      }
      const losses = withoutReduction(loss, () => computeLoss(loss, raw.to(predictions.dtype), targets))
      return { ...mixture, losses: perItem(losses) }
    })
  })
}

/** Raw outputs of which the loss's activation makes these predictions, if it is one that can be undone. */
function rawOf(loss: LossFunction, predictions: Tensor): Tensor | undefined {
  const inner = predictions.to('float64').clamp(1e-12, 1 - 1e-12)
  const candidates = [
    () => predictions,
    () => inner.log(), // softmax and exp
    () => inner.log().sub(inner.mul(-1).add(1).log()), // sigmoid
  ]
  for (const candidate of candidates) {
    const raw = candidate()
    const back = activate(loss, raw).to('float64')
    if (back.sub(predictions.to('float64')).abs().max().item() < 1e-5) return raw
  }
  return undefined
}
