import { defined } from './DataBunch.ts'
import { DataLoader } from './DataLoader.ts'
import type { TensorBatch } from './Dataset.ts'
import type { ImageDataset, ImageSample } from './image/ImageDataset.ts'
import type { ShowImagesOptions } from './showImages.ts'

/** Some items as one batch, and the places that those which could be read have among the indices asked for. */
export type ChosenItems = TensorBatch & { places: readonly number[] }

/**
 * Items of a loader's dataset by their index, as one batch on `device`. The loader's `onError` says what happens to those that cannot
 * be read. @throws DataError if none of them can
 */
export async function chosenItems(
  { dataset, onError }: DataLoader<ImageSample, TensorBatch>,
  indices: readonly number[],
  device: string | undefined,
): Promise<ChosenItems> {
  const loader = new DataLoader<ImageSample, TensorBatch>((dataset as ImageDataset).subset(indices), {
    ...defined({ device }),
    batchSize: indices.length,
    seed: 0,
    numberDtype: 'int64',
    onError,
  })
  const batch = await loader.first()
  return { ...batch, places: loader.indicesOf(batch)! }
}

/** What is said of each item, of those at `places` only. */
export function onlyAt<Options extends Omit<ShowImagesOptions, 'stats' | 'count'>>(
  places: readonly number[],
  options: Options,
): Options {
  const { titles, titleColors, overlays } = options
  const pick = <T>(list: readonly T[] | undefined) => list && places.map((place) => list[place] as T)
  return {
    ...options,
    ...defined({ titles: pick(titles), titleColors: pick(titleColors), overlays: pick(overlays) }),
  }
}
