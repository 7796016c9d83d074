import { ConfigError } from '../engine/errors.ts'
import type { LearnerData } from '../learner/data.ts'
import { Learner, type LearnerOptions } from '../learner/Learner.ts'
import * as nn from '../nn/index.ts'
import { countFeatures, createHead, type HeadOptions, initialiseHead } from './head.ts'
import { type BodyOptions, startBody, type VisionArchitecture } from './startBody.ts'

/** Options of {@link visionLearner}, next to those of the Learner and of the head. */
export interface VisionLearnerOptions extends Omit<LearnerOptions, 'layerGroups'>, HeadOptions, BodyOptions {
  /** A head of your own in the place of {@link createHead}'s. It takes the body's feature maps, and keeps the weights it has. */
  head?: nn.Module
}

/** Data for {@link visionLearner}: with a number of classes, or their names. */
export interface VisionData extends LearnerData {
  /** Number of outputs. Default: the number of `classes`. */
  readonly c?: number | undefined
}

/**
 * A Learner for pictures: the body of `arch` with a new head for the classes of `data`, in layer groups (body in two, head) for
 * discriminative rates, the body frozen if it is pretrained. The head starts from Kaiming's normal weights.
 *
 * Source: fastai's `cnn_learner`, `create_body`, `create_head`.
 *
 * @throws ConfigError for options that contradict each other, or if trained weights are wanted without a file
 * @throws CheckpointError if the file does not hold weights of `arch`
 *
 * @example
 * const learner = await visionLearner(data, models.resnet18, { weights: 'resnet18.pth', metrics: [metrics.accuracy] })
 */
export async function visionLearner(
  data: VisionData,
  arch: VisionArchitecture,
  options: VisionLearnerOptions = {},
): Promise<Learner<nn.Sequential>> {
  const {
    pretrained,
    weights,
    cut,
    head,
    split,
    linearFeatures,
    dropout,
    concatPool,
    bnFinal,
    ...learnerOptions
  } = options
  const classes = head ? 0 : countClasses('visionLearner', data)
  const { body, starts, trained } = await startBody(arch, definedOnly({ pretrained, weights, cut, split }))
  const newHead =
    head ??
    createHead(countFeatures(body), classes, definedOnly({ linearFeatures, dropout, concatPool, bnFinal }))
  if (!head) initialiseHead(newHead)
  const learner = new Learner(data, new nn.Sequential(body, newHead), {
    ...learnerOptions,
    layerGroups: [...starts, newHead],
  })
  if (trained) learner.freeze()
  return learner
}

/** @throws ConfigError for data that does not know its number of classes */
export function countClasses(owner: string, data: VisionData): number {
  const count = data.c ?? data.classes?.length
  if (count !== undefined && Number.isSafeInteger(count) && count > 0) return count
  throw new ConfigError(`${owner} needs data that knows its number of classes: data.c or data.classes`)
}

/** Options without those that were not given, so that defaults hold. */
export function definedOnly<Options extends object>(
  options: Options,
): { [Key in keyof Options]?: NonNullable<Options[Key]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
