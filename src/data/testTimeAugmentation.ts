import { isDeepStrictEqual } from 'node:util'
import { fixedSize } from './imagePipelines.ts'
import { zoom } from './transforms/affine.ts'
import { compose } from './transforms/compose.ts'
import { cropPad } from './transforms/crop.ts'
import { randomHorizontalFlip } from './transforms/flip.ts'
import type { BatchTransform, PictureTransform, Pipeline } from './transforms/Transform.ts'

/** What each pass does by itself, and so is not done at random besides. */
const replaced = new Set([
  'cropPad',
  'centerCrop',
  'randomCrop',
  'randomResizedCrop',
  'randomHorizontalFlip',
  'randomDihedral',
  'randomZoom',
])

/**
 * The eight pipelines of fastai's test-time augmentation: magnified by `scale` into each corner, plain and mirrored, with all else
 * that training draws at random (rotation, warp, lighting). What validation does too is done once.
 */
export function augmentedPipelines(train: Pipeline, valid: Pipeline, scale: number): Pipeline[] {
  const size = fixedSize(valid.pictureSteps)
  const sized = valid.pictureSteps.filter(({ name }) => !replaced.has(name))
  const drawn = train.pictureSteps.filter(
    (step) => !step.deterministic && !replaced.has(step.name) && !sized.some((other) => isSame(step, other)),
  )
  const all = valid.parameters.transforms as readonly (PictureTransform | BatchTransform)[]
  const batchSteps = all.filter((step) => step.kind === 'batch')
  const corners = [0, 1].flatMap((row) => [0, 1].map((column) => ({ row, column })))
  return [false, true].flatMap((mirrored) =>
    corners.map(({ row, column }) =>
      compose([
        ...sized,
        ...drawn,
        magnified(scale, row, column),
        cropPad(size, { row, column }),
        ...(mirrored ? [randomHorizontalFlip(1)] : []),
        ...batchSteps,
      ]),
    ),
  )
}

/** Whether two steps do the same: one that is not marked `deterministic` may draw nothing all the same. */
function isSame(a: PictureTransform, b: PictureTransform): boolean {
  return a === b || (a.name === b.name && isDeepStrictEqual(a.parameters, b.parameters))
}

function magnified(scale: number, row: number, column: number): PictureTransform {
  return {
    kind: 'picture',
    name: 'zoom',
    parameters: { scale, row, column },
    deterministic: true,
    apply: (picture) => void picture.warp(zoom(scale, row, column)),
  }
}
