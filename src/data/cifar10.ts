import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { DataError } from '../engine/errors.ts'
import { ImageDataBunch } from './ImageDataBunch.ts'
import { fromPlanes } from './idx.ts'
import { ImageDataset } from './image/ImageDataset.ts'
import type { ImageDataBunchOptions } from './imageDataBunchOptions.ts'
import { cifarStats } from './stats.ts'

/** In the order of their numbers, which is that of the alphabet. */
const CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
const SIDE = 32
const RECORD = 1 + 3 * SIDE * SIDE
const TRAIN = [1, 2, 3, 4, 5].map((part) => `data_batch_${part}.bin`)

/**
 * CIFAR-10 (Krizhevsky 2009), 50,000 pictures to train on and 10,000 for validation, from either form: the binary one
 * (`data_batch_1.bin` … `test_batch.bin`, in `dir` or in `dir/cifar-10-batches-bin`), or pictures in `dir/train/<class>` and
 * `dir/test/<class>`. Normalised with `cifarStats` unless `stats` says otherwise.
 * @throws DataError for files that are missing or cut short
 */
export async function cifar10(dir: string, options: ImageDataBunchOptions = {}): Promise<ImageDataBunch> {
  const all = { stats: cifarStats, ...options }
  const binary = [dir, join(dir, 'cifar-10-batches-bin')].find((folder) =>
    existsSync(join(folder, TRAIN[0]!)),
  )
  if (binary !== undefined) {
    const [train, valid] = [await readBatches(binary, TRAIN), await readBatches(binary, ['test_batch.bin'])]
    return new ImageDataBunch({ train, valid }, { ...all, path: dir })
  }
  if (existsSync(join(dir, 'train')) && existsSync(join(dir, 'test'))) {
    return ImageDataBunch.fromFolder(dir, { ...all, train: 'train', valid: 'test' })
  }
  throw new DataError(
    `${resolve(dir)}: this is not CIFAR-10: expected data_batch_1.bin … data_batch_5.bin and test_batch.bin (the binary form, here or in cifar-10-batches-bin), or folders train and test with a folder for each class`,
  )
}

async function readBatches(folder: string, names: readonly string[]): Promise<ImageDataset> {
  const parts = await Promise.all(names.map((name) => readBatch(join(folder, name))))
  return new ImageDataset({
    files: parts.flatMap(({ files }) => files),
    labels: Int32Array.from(parts.flatMap(({ labels }) => labels)),
    images: parts.flatMap(({ images }) => images),
    classes: CLASSES,
  })
}

async function readBatch(file: string) {
  const name = resolve(file)
  const bytes = await readFile(file).catch((cause: Error) => {
    throw new DataError(`${name}: the file cannot be read (${cause.message})`, { cause })
  })
  const count = bytes.length / RECORD
  if (!Number.isInteger(count) || count === 0) {
    throw new DataError(
      `${name}: the file has ${bytes.length} bytes, which is no multiple of ${RECORD} (a label and a picture): it is cut short or no batch of CIFAR-10's binary form`,
    )
  }
  const labels = Array.from({ length: count }, (_, at) => bytes[at * RECORD]!)
  const odd = labels.findIndex((label) => label >= CLASSES.length)
  if (odd >= 0)
    throw new DataError(
      `${name}, picture ${odd}: the label is ${labels[odd]}, but CIFAR-10 has classes 0 to 9`,
    )
  return {
    labels,
    files: labels.map((_, at) => `${name}#${at}`),
    images: labels.map((_, at) => fromPlanes(bytes, at * RECORD + 1, SIDE * SIDE, SIDE, SIDE)),
  }
}
