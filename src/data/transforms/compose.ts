import { ConfigError } from '../../engine/errors.ts'
import { isMarked } from './known.ts'
import type { BatchTransform, PictureTransform, Pipeline, Transform } from './Transform.ts'

/**
 * Transforms one after the other, as torchvision's `Compose`. What changes single pictures comes first, `toTensor` and
 * what changes batches after it; `toTensor` and `normalize` together are one pass on the device.
 * @throws ConfigError for an order that cannot work.
 */
export function compose(transforms: readonly Transform[]): Pipeline {
  const pictureSteps: PictureTransform[] = []
  const batchSteps: BatchTransform[] = []
  for (const step of transforms.flatMap(flatten)) {
    if (step.kind === 'batch') {
      if (step.name === 'normalize' && batchSteps.every(({ name }) => name !== 'toTensor')) {
        throw new ConfigError('compose: normalize works on tensors: put toTensor() before it')
      }
      if (
        (step.name === 'normalize' || step.name === 'toTensor') &&
        batchSteps.some((s) => s.name === step.name)
      ) {
        throw new ConfigError(`compose: ${step.name} is there twice; once is enough`)
      }
      batchSteps.push(step)
    } else if (batchSteps.length > 0) {
      throw new ConfigError(
        `compose: ${step.name} works on single pictures, so it must come before ${batchSteps[0]!.name}, which works on batches`,
      )
    } else {
      pictureSteps.push(step)
    }
  }
  return {
    kind: 'pipeline',
    name: 'compose',
    parameters: { transforms: [...pictureSteps, ...batchSteps] },
    pictureSteps,
    batchSteps: fuse(batchSteps),
  }
}

function flatten(step: Transform): (PictureTransform | BatchTransform)[] {
  if (step?.kind === 'pipeline') return step.parameters.transforms as (PictureTransform | BatchTransform)[]
  if (step?.kind === 'picture' || step?.kind === 'batch') return [step]
  throw new ConfigError(
    `compose: expected a transform such as resize(256), got ${typeof step === 'function' ? `the function ${(step as { name: string }).name}; call it` : String(step)}`,
  )
}

/** `normalize` takes bytes as well: `toTensor` right before it is then no pass of its own. */
function fuse(steps: readonly BatchTransform[]): BatchTransform[] {
  const is = (name: string, step: BatchTransform | undefined) =>
    step !== undefined && step.name === name && isMarked(step)
  return steps.filter((step, at) => !(is('toTensor', step) && is('normalize', steps[at + 1])))
}

/** One transform, several, or a pipeline, as a pipeline. */
export function toPipeline(transform: Transform | readonly Transform[] | undefined): Pipeline {
  if (transform === undefined) return compose([])
  const list = Array.isArray(transform) ? (transform as readonly Transform[]) : [transform as Transform]
  return list.length === 1 && list[0]?.kind === 'pipeline' ? list[0] : compose(list)
}
