import { ImageDataset } from '../data/image/ImageDataset.ts'
import type { PicturePath } from '../data/image/listPictures.ts'
import { TensorDataset } from '../data/TensorDataset.ts'
import { TableDataset } from '../data/table/TableDataset.ts'
import { nodeCrypto } from '../io/builtins.ts'
import type { BatchLoader, LearnerData } from './data.ts'

/** What a fit trains on, in a few bytes; parts that cannot be told are left out. */
export type DataFingerprint = {
  /** Which items, in which order, with which targets. */
  items?: string
  /** How an item becomes numbers. */
  encoding?: string
  classes?: string
}

/** Contents of files and tensors of inputs are not read: a million items take about a second. */
export async function fingerprintOf(data: LearnerData): Promise<DataFingerprint> {
  const item = data.describeItem?.()
  const items = await itemsOf(data.trainDl.dataset)
  return {
    ...(items && { items: digest(items) }),
    ...(item && { encoding: digest([JSON.stringify(item)]) }),
    ...(data.classes && { classes: digest([JSON.stringify(data.classes)]) }),
  }
}

const titles = {
  items: 'the training items, their order or their targets are others',
  encoding: 'items become numbers in another way (statistics, categories, sizes)',
  classes: 'the classes are others',
} as const satisfies Record<keyof DataFingerprint, string>

/** How data differ, in words. What is not known of those of then is not compared. */
export function fingerprintDifferences(then: DataFingerprint, now: DataFingerprint): string[] {
  const names = Object.keys(titles) as (keyof DataFingerprint)[]
  return names
    .filter((name) => then[name] !== undefined && then[name] !== now[name])
    .map((name) => titles[name])
}

type Bytes = string | Uint8Array

async function itemsOf(dataset: BatchLoader['dataset']): Promise<Bytes[] | undefined> {
  if (dataset instanceof TableDataset) {
    return [bytesOf(Int32Array.from(dataset.rows)), await dataset.targetBytes()]
  }
  if (dataset instanceof ImageDataset) {
    const { files, labels, labelSets, masks = [] } = dataset
    return [namesOf(files), bytesOf(labels), JSON.stringify(labelSets ?? []), namesOf(masks)]
  }
  // Whole numbers only: what random numbers were made of may differ in the last bit from device to device.
  if (dataset instanceof TensorDataset && dataset.y.shape.length === 1 && dataset.y.dtype === 'int64') {
    return [await dataset.y.bytes()]
  }
  return undefined
}

/** Without their folders: data may have moved. */
function namesOf(files: readonly PicturePath[]): string {
  const texts = files.map((file) => (typeof file === 'string' ? file : file.toString('latin1')))
  return texts.map((text) => text.slice(text.lastIndexOf('/') + 1)).join('\n') // basename takes four times as long
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

function digest(parts: readonly Bytes[]): string {
  const hash = nodeCrypto().createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return hash.digest('hex').slice(0, 32)
}
