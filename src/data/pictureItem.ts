import { DataError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import { Collator, toTensors } from './collate.ts'
import { Picture } from './image/Picture.ts'
import type { RgbImage } from './image/RgbImage.ts'
import { RandomStream } from './random.ts'
import type { TableDescription } from './table/TableEncoder.ts'
import { rowMaker } from './table/TabularDataBunch.ts'
import { buildPipeline, type TransformDescription } from './transforms/describe.ts'
import type { Pipeline } from './transforms/Transform.ts'

/** A picture's file, what a file holds (JPEG, PNG … bytes), or decoded bytes. */
export type PictureSource = string | Uint8Array | RgbImage

/**
 * One picture as a batch of one, `[1, 3, H, W]`.
 * @throws DataError for what is no picture
 */
export async function pictureItem(
  { pictureSteps, batchSteps }: Pipeline,
  source: PictureSource,
  device?: string,
): Promise<{ x: Tensor }> {
  const encoded = typeof source === 'string' || source instanceof Uint8Array
  const picture = encoded ? await Picture.open(source) : Picture.of(source)
  const random = new RandomStream({ seed: 0 })
  for (const step of pictureSteps) step.apply(picture, random)
  const assembled = new Collator().assemble([{ x: await picture.bytes() }], () => 'the picture')
  const { x } = toTensors(assembled, device) as { x: Tensor }
  return { x: batchSteps.reduce((value, step) => step.apply(value, random), x) }
}

/** How items of the user's become batches of one, as data: for a Learner that is exported. */
export type ItemDescription =
  | { kind: 'picture'; steps: TransformDescription[] }
  | { kind: 'row'; table: TableDescription }

/** @throws DataError for a kind that is not known */
export function itemMaker(
  description: ItemDescription,
): (source: never) => Promise<{ x: Tensor | [Tensor, Tensor] }> {
  if (description?.kind === 'row') return rowMaker(description.table)
  if (description?.kind !== 'picture')
    throw new DataError(
      `there are no items of the kind ${(description as { kind: unknown } | undefined)?.kind}`,
    )
  const pipeline = buildPipeline(description.steps)
  return (source: PictureSource) => pictureItem(pipeline, source)
}
