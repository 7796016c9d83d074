import { ConfigError } from '../engine/errors.ts'
import { tensorsOf } from '../learner/data.ts'
import { Learner, type LearnerOptions } from '../learner/Learner.ts'
import * as nn from '../nn/index.ts'
import { createBody } from './head.ts'
import { DynamicUnet, type PictureSize, type UnetOptions } from './models/unet.ts'
import { type BodyOptions, startBody, type VisionArchitecture } from './startBody.ts'
import { countClasses, definedOnly, type VisionData } from './visionLearner.ts'

/** Options of {@link unetLearner}, next to those of the Learner. */
export interface UnetLearnerOptions extends Omit<LearnerOptions, 'layerGroups'>, UnetOptions, BodyOptions {
  /** Size of the pictures. Default: that of the first training batch. */
  size?: number | PictureSize
}

/**
 * A Learner that gives every pixel of a picture a class (or a number): a {@link DynamicUnet} on the body of `arch`, with one
 * output map for each class of `data`, in layer groups (body in two, decoder), the body frozen if it is pretrained. Targets are
 * masks of class indices `[N, H, W]`, for which cross entropy is the loss.
 *
 * Source: fastai's `unet_learner`.
 *
 * @throws ConfigError for options that contradict each other, or if trained weights are wanted without a file
 * @throws CheckpointError if the file does not hold weights of `arch`
 *
 * @example
 * const learner = await unetLearner(data, models.resnet18, { weights: 'resnet18.pth', metrics: [metrics.dice] })
 */
export async function unetLearner(
  data: VisionData,
  arch: VisionArchitecture,
  options: UnetLearnerOptions = {},
): Promise<Learner<DynamicUnet>> {
  const {
    size,
    pretrained,
    weights,
    cut,
    split,
    blur,
    blurFinal,
    selfAttention,
    yRange,
    lastCross,
    bottleneck,
    norm,
    ...learnerOptions
  } = options
  const outputs = countClasses('unetLearner', data)
  const pictures = size === undefined ? await sizeOf(data) : asPair(size)
  const { body, starts, trained } = await startBody(arch, definedOnly({ pretrained, weights, cut, split }))
  const model = new DynamicUnet(withoutPooling(body), outputs, pictures, {
    ...definedOnly({ blur, blurFinal, selfAttention, yRange, lastCross, bottleneck }),
    ...(norm !== undefined && { norm }),
  })
  const decoder = model.layers.at(1)!
  const learner = new Learner(data, model, { ...learnerOptions, layerGroups: [...starts, decoder] })
  if (trained) learner.freeze()
  return learner
}

/** Of a body that ends in pooling to a fixed size, as VGG's, what comes before. */
function withoutPooling(body: nn.Sequential): nn.Sequential {
  const last = body.at(-1)
  const pools = last instanceof nn.AdaptiveAvgPool2d || last instanceof nn.AdaptiveMaxPool2d
  return pools && body.length > 1 ? withoutPooling(createBody(body, body.length - 1)) : body
}

async function sizeOf(data: VisionData): Promise<PictureSize> {
  if (!data.oneBatch) {
    throw new ConfigError('unetLearner: give the size of the pictures, as { size: [height, width] }')
  }
  const [x] = tensorsOf((await data.oneBatch()).x)
  const [height, width] = x!.shape.slice(-2)
  return [height!, width!]
}

function asPair(size: number | PictureSize): PictureSize {
  const pair = typeof size === 'number' ? ([size, size] as const) : size
  const valid =
    Array.isArray(pair) && pair.length === 2 && pair.every((n) => Number.isSafeInteger(n) && n > 0)
  if (valid) return pair
  throw new ConfigError(
    `unetLearner: size must be a number of pixels or [height, width], got ${String(size)}`,
  )
}
