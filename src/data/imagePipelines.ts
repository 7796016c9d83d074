import { ConfigError } from '../engine/errors.ts'
import { Picture } from './image/Picture.ts'
import { checkChoice, rejectUnknownOptions } from './options.ts'
import { RandomStream } from './random.ts'
import type { ImageStats } from './stats.ts'
import { compose, toPipeline } from './transforms/compose.ts'
import { cropPad } from './transforms/crop.ts'
import type { TransformPair } from './transforms/getTransforms.ts'
import { contain, cover, resize } from './transforms/resize.ts'
import { sizePair } from './transforms/size.ts'
import type { BatchTransform, PictureTransform, Pipeline, Size, Transform } from './transforms/Transform.ts'
import { normalize, toTensor } from './transforms/tensors.ts'

/**
 * How pictures of other shapes come to `size`: 'crop' covers it and cuts off what is too much, 'pad' fits into it and
 * mirrors what is missing, 'squish' forgets the aspect ratio. Whatever the transforms do comes after.
 */
export type ResizeMethod = 'crop' | 'pad' | 'squish'

export interface ImagePipelineOptions {
  size?: Size | undefined
  resizeMethod?: ResizeMethod | undefined
  transforms?: TransformPair | undefined
  stats?: ImageStats | undefined
}

/** The whole way from file to tensor, for training and for validation, and the statistics that undo the normalising. */
export interface ImagePipelines {
  train: Pipeline
  valid: Pipeline
  stats: ImageStats | undefined
}

/** Completes the user's transforms: resizing before them where a size is asked for, tensors and normalising after them. */
export function imagePipelines({
  size,
  resizeMethod,
  transforms = {},
  stats,
}: ImagePipelineOptions): ImagePipelines {
  if (typeof transforms !== 'object' || 'kind' in transforms || Array.isArray(transforms)) {
    throw new ConfigError(
      'transforms: pass { train, valid }, since training and validation pictures are transformed differently; getTransforms() makes such a pair',
    )
  }
  rejectUnknownOptions('transforms', transforms, ['train', 'valid'])
  const method = resizeMethod ?? (typeof size === 'object' ? 'squish' : 'crop')
  checkChoice('ImageDataBunch', 'resizeMethod', method, ['crop', 'pad', 'squish'])
  const train = complete(transforms.train, size, method, stats)
  // A training pipeline that fixes the size itself tells what validation needs, unless that does so too.
  const validSize = fixedSize(toPipeline(transforms.valid).pictureSteps)
    ? undefined
    : fixedSize(train.pictureSteps)
  const valid = complete(transforms.valid, size ?? validSize, method, stats)
  return { train, valid, stats: stats ?? statsOf(valid) }
}

function complete(
  transform: Transform | readonly Transform[] | undefined,
  size: Size | undefined,
  method: ResizeMethod,
  stats: ImageStats | undefined,
): Pipeline {
  const given = toPipeline(transform)
  const all = given.parameters.transforms as readonly (PictureTransform | BatchTransform)[]
  const batchSteps = all.filter((step) => step.kind === 'batch')
  const hasTensor = batchSteps.some(({ name }) => name === 'toTensor')
  if (stats && batchSteps.some(({ name }) => name === 'normalize')) {
    throw new ConfigError(
      'the transforms normalize already: leave either stats or transforms.normalize(…) out',
    )
  }
  return compose([
    ...sized(given.pictureSteps, size, method),
    ...(hasTensor ? [] : [toTensor()]),
    ...batchSteps,
    ...(stats ? [normalize(stats.mean, stats.std)] : []),
  ])
}

function sized(
  steps: readonly PictureTransform[],
  size: Size | undefined,
  method: ResizeMethod,
): readonly PictureTransform[] {
  if (size === undefined) return steps
  const [height, width] = sizePair('size', size)
  const own = fixedSize(steps)
  if (own) {
    if (own[0] === height && own[1] === width) return steps
    throw new ConfigError(
      `size is ${height}x${width} (height x width), but the transforms make pictures of ${own[0]}x${own[1]}: leave size out, or make them equal`,
    )
  }
  const fit = { crop: cover, pad: contain, squish: () => resize([height, width]) }[method](size)
  if (steps.some((step) => step.withSize)) return [fit, ...steps.map((step) => step.withSize?.(size) ?? step)]
  return [fit, cropPad(size), ...steps]
}

/** Height and width that pictures come out with, where a step fixes them; what always happens after it may change them again. */
export function fixedSize(steps: readonly PictureTransform[]): readonly [number, number] | undefined {
  const last = steps.findLastIndex((step) => step.outputSize)
  if (last < 0) return undefined
  const [height, width] = steps[last]!.outputSize!
  // A picture whose size is known to the steps, and which nobody decodes.
  const picture = new Picture({ source: '' }, { width, height })
  const random = new RandomStream({ seed: 0 })
  for (const step of steps.slice(last + 1)) if (step.deterministic) step.apply(picture, random)
  return [picture.height, picture.width]
}

function statsOf({ batchSteps }: Pipeline): ImageStats | undefined {
  const step = batchSteps.find(({ name }) => name === 'normalize')
  return step?.parameters as ImageStats | undefined
}
