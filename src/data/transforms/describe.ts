import { show } from '../../engine/check.ts'
import { DataError } from '../../engine/errors.ts'
import { DEFAULT_MAX_PIXELS } from '../image/limits.ts'
import { compose } from './compose.ts'
import { centerCrop, cropPad, pad } from './crop.ts'
import { isMarked } from './known.ts'
import { contain, cover, resize } from './resize.ts'
import type { BatchTransform, PictureTransform, Pipeline, Size } from './Transform.ts'
import { normalize, toTensor } from './tensors.ts'

/** A transform as data: its name, and what it was made with. */
export interface TransformDescription {
  name: string
  parameters: Readonly<Record<string, unknown>>
}

// biome-ignore lint/suspicious/noExplicitAny: parameters come from a file; each transform checks its own
const makers: Readonly<Record<string, (parameters: any) => PictureTransform | BatchTransform>> = {
  resize: ({ size, ...options }) => resize(size, options),
  cover: ({ size }) => cover(size),
  contain: ({ size }) => contain(size),
  centerCrop: ({ size }) => centerCrop(size),
  cropPad: ({ size, ...options }: { size?: Size }) => cropPad(size ?? undefined, options),
  pad: ({ padding, ...options }) => pad(padding, options),
  toTensor: () => toTensor(),
  normalize: ({ mean, std }) => normalize(mean, std),
}

/** Whether name and parameters say all about a transform: it is of this library, and draws nothing. */
export function isKnownTransform(step: PictureTransform | BatchTransform): boolean {
  return isMarked(step) && (step.kind === 'batch' || step.deterministic === true)
}

/** The steps of a pipeline as data. Undefined if one of them draws at random, or is not of this library. */
export function describePipeline(pipeline: Pipeline): TransformDescription[] | undefined {
  const steps = pipeline.parameters.transforms as readonly (PictureTransform | BatchTransform)[]
  if (!steps.every(isKnownTransform)) return undefined
  return steps.map(({ name, parameters }) => ({ name, parameters }))
}

/** A square of this side has as many pixels as a picture may have. */
const MAX_SIDE = Math.floor(Math.sqrt(DEFAULT_MAX_PIXELS))

/** @throws DataError for a transform that is not known, or makes pictures larger than those that are read */
export function buildPipeline(steps: readonly TransformDescription[]): Pipeline {
  return compose(
    steps.map(({ name, parameters }) => {
      if (!Object.hasOwn(makers, name)) throw new DataError(`there is no transform ${name}`)
      const lengths = [parameters.size, parameters.padding].flat().filter((length) => length != null)
      const wrong = lengths.find((length) => !(typeof length === 'number' && Math.abs(length) <= MAX_SIDE))
      if (wrong !== undefined) {
        throw new DataError(
          `the transform ${name} has a size of ${show(wrong)}; at most ${MAX_SIDE} are accepted`,
        )
      }
      return makers[name]!(parameters)
    }),
  )
}
