import { ConfigError } from '../engine/errors.ts'
import { noGrad, scope, zeros } from '../engine/index.ts'
import {
  buildModel,
  describeAs,
  type ModelDescription,
  notedDescription,
  registerModelKind,
} from '../learner/modelDescription.ts'
import * as nn from '../nn/index.ts'
import { FusedSequential } from './models/normActivation.ts'

/** Options of {@link createHead}. */
export interface HeadOptions {
  /** Sizes of the hidden linear layers. Default [512]. */
  linearFeatures?: readonly number[]
  /**
   * Probability of dropout before each linear layer: one for all, of which all but the last get half, or a list with one for
   * each linear layer. Default 0.5.
   */
  dropout?: number | readonly number[]
  /** Maximum and average pooling side by side, which doubles the features; else the average alone. Default true. */
  concatPool?: boolean
  /** Batch norm (momentum 0.01) after the last linear layer. Default false. */
  bnFinal?: boolean
}

/** Where {@link createBody} cuts: before this child, or before the child at this place (negative counts from the end). */
export type Cut = nn.Module | number

/**
 * The part of a model that turns pictures into feature maps: its children up to the cut, in a row. Without a cut, it is made
 * before the last child that is or contains a pooling layer. The layers are the model's own, not copies.
 *
 * Source: fastai, `create_body`.
 */
export function createBody(model: nn.Module, cut: Cut = lastPooling(model)): nn.Sequential {
  const children = model.children()
  const index = typeof cut === 'number' ? (cut < 0 ? children.length + cut : cut) : children.indexOf(cut)
  if (!Number.isInteger(index) || index < 1 || index > children.length) {
    throw new ConfigError(
      `${model.constructor.name} cannot be cut ${typeof cut === 'number' ? `at ${cut}` : `before a ${cut.constructor.name} that is none of its children`}: ` +
        `it has ${children.length} children (${children.map((child) => child.constructor.name).join(', ')}), and the body needs at least one`,
    )
  }
  const body = new FusedSequential(...children.slice(0, index))
  const whole = notedDescription(model)
  return whole ? describeAs(body, { kind: 'body', model: whole, children: index }) : body
}

registerModelKind<ModelDescription & { model: ModelDescription; children: number }>(
  'body',
  ({ model, children }) => createBody(buildModel(model), children),
)

/** Number of channels that a body makes of pictures with three. */
export function countFeatures(body: nn.Module): number {
  const modes = body.modules().map((module) => [module, module.training] as const)
  try {
    body.eval()
    const device = body.parameters()[0]?.device
    const shape = noGrad(() => scope(() => [...body.forward(zeros([1, 3, 64, 64], { device })).shape]))
    if (shape.length !== 4) {
      throw new ConfigError(
        `a body must make feature maps [N, C, H, W] of pictures; this one makes [${shape.join(', ')}]. Cut it earlier`,
      )
    }
    return shape[1]!
  } finally {
    for (const [module, training] of modes) module.training = training
  }
}

/**
 * A classifier on feature maps `[N, features, H, W]`, giving logits `[N, numClasses]`: pooling, then for every linear layer batch
 * norm, dropout, the layer, and ReLU (but for the last). `features` is the body's; pooling of both kinds doubles it.
 *
 * Source: fastai, `create_head`.
 */
export function createHead(features: number, numClasses: number, options: HeadOptions = {}): nn.Sequential {
  const { linearFeatures = [512], dropout = 0.5, concatPool = true, bnFinal = false } = options
  const sizes = [concatPool ? 2 * features : features, ...linearFeatures, numClasses]
  for (const size of sizes) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new ConfigError(`a head needs positive whole numbers for its sizes, got ${sizes.join(', ')}`)
    }
  }
  const rates = dropoutRates(dropout, sizes.length - 1)
  const layers: nn.Module[] = [
    concatPool ? new nn.AdaptiveConcatPool2d(1) : new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
  ]
  for (const [index, rate] of rates.entries()) {
    layers.push(new nn.BatchNorm1d(sizes[index]!))
    if (rate > 0) layers.push(new nn.Dropout(rate))
    layers.push(new nn.Linear(sizes[index]!, sizes[index + 1]!))
    if (index < rates.length - 1) layers.push(new nn.ReLU())
  }
  if (bnFinal) layers.push(new nn.BatchNorm1d(numClasses, { momentum: 0.01 }))
  return new nn.Sequential(...layers)
}

/**
 * Draws new weights for all layers of a new head but its normalisation: Kaiming normal (He et al. 2015), biases zero.
 *
 * Source: fastai, `apply_init`.
 */
export function initialiseHead(head: nn.Module): void {
  for (const module of head.modules()) {
    if (!(module instanceof nn.Linear || module instanceof nn.Conv2d)) continue
    nn.init.kaimingNormal_(module.weight)
    if (module.bias) nn.init.zeros_(module.bias)
  }
}

function dropoutRates(dropout: number | readonly number[], count: number): number[] {
  const rates =
    typeof dropout === 'number'
      ? Array.from({ length: count }, (_, index) => (index < count - 1 ? dropout / 2 : dropout))
      : [...dropout]
  if (rates.length !== count) {
    throw new ConfigError(
      `the head has ${count} linear layers, but dropout gives ${rates.length} probabilities: ${rates.join(', ')}`,
    )
  }
  if (!rates.every((rate) => rate >= 0 && rate < 1)) {
    throw new ConfigError(`dropout must be at least 0 and less than 1, got ${rates.join(', ')}`)
  }
  return rates
}

const poolingTypes = [
  nn.MaxPool2d,
  nn.AvgPool2d,
  nn.AdaptiveAvgPool2d,
  nn.AdaptiveMaxPool2d,
  nn.AdaptiveConcatPool2d,
] as const

function lastPooling(model: nn.Module): nn.Module {
  const holdsPooling = (child: nn.Module) =>
    child.modules().some((module) => poolingTypes.some((type) => module instanceof type))
  const found = model.children().findLast(holdsPooling)
  if (found) return found
  throw new ConfigError(
    `${model.constructor.name} has no pooling layer to cut before: say where its body ends with the option cut`,
  )
}
