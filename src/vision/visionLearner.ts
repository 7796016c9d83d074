import { ConfigError } from '../engine/errors.ts'
import { loadWeights } from '../io/index.ts'
import type { LearnerData } from '../learner/data.ts'
import { Learner, type LearnerOptions } from '../learner/Learner.ts'
import * as nn from '../nn/index.ts'
import { type Cut, countFeatures, createBody, createHead, type HeadOptions, initialiseHead } from './head.ts'
import { type Architecture, weightsFile } from './models/architecture.ts'

/** A model to build on: one of {@link models}, or any function that makes a module with three input channels. */
export type VisionArchitecture = Architecture | (() => nn.Module)

/** Options of {@link visionLearner}, next to those of the Learner and of the head. */
export interface VisionLearnerOptions extends Omit<LearnerOptions, 'layerGroups'>, HeadOptions {
  /** Starts the body from trained weights and freezes it; without, it starts from random weights and all is trained. Default true. */
  pretrained?: boolean
  /** File of trained weights of the architecture (.pth or safetensors). Its classifier is not used and may have any number of classes. */
  weights?: string
  /** Where the body ends; see {@link createBody}. Default: the architecture's own place. */
  cut?: Cut
  /** A head of your own in the place of {@link createHead}'s. It takes the body's feature maps, and keeps the weights it has. */
  head?: nn.Module
  /** The modules of the body that begin a new layer group. Default: the architecture's own. */
  split?: (model: nn.Module) => readonly nn.Module[]
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
    pretrained = true,
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
  const known = 'cut' in arch ? arch : undefined
  const file = weightsFile(arch.name || 'the model', {
    pretrained,
    ...(weights !== undefined && { weights }),
  })
  const classes = head ? 0 : countClasses(data)
  const model = arch() as nn.Module
  const end = cut ?? known?.cut(model)
  const body = createBody(model, end)
  if (file !== undefined) await loadWeights(model, file, { skip: isOutside(model, body) })

  const newHead =
    head ??
    createHead(countFeatures(body), classes, definedOnly({ linearFeatures, dropout, concatPool, bnFinal }))
  if (!head) initialiseHead(newHead)
  const starts = split?.(model) ?? known?.split(model) ?? []
  const learner = new Learner(data, new nn.Sequential(body, newHead), {
    ...learnerOptions,
    layerGroups: [...starts, newHead],
  })
  if (file !== undefined) learner.freeze()
  return learner
}

/** Whether a name in the state dict belongs to a child of the model that is no part of the body. */
function isOutside(model: nn.Module, body: nn.Module): (name: string) => boolean {
  const kept = new Set(body.children())
  const outside = model.namedChildren().filter(([, child]) => !kept.has(child))
  return (name) => outside.some(([child]) => name.startsWith(`${child}.`))
}

function countClasses(data: VisionData): number {
  const count = data.c ?? data.classes?.length
  if (count !== undefined && Number.isSafeInteger(count) && count > 0) return count
  throw new ConfigError('visionLearner needs data that knows its number of classes: data.c or data.classes')
}

/** Options without those that were not given, so that defaults hold. */
function definedOnly<Options extends object>(
  options: Options,
): { [Key in keyof Options]?: NonNullable<Options[Key]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
