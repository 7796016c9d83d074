import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DataError } from '../engine/errors.ts'
import { extensionSet, imageExtensions } from './image/extensions.ts'
import { ImageDataset } from './image/ImageDataset.ts'
import { checkFolder, ImageFolder, type SkippedInFolder } from './image/ImageFolder.ts'
import { addSkipped, listPictures, noneSkipped, type PicturePath } from './image/listPictures.ts'
import { randomSplit } from './split.ts'

export interface FolderSourceOptions {
  train: string
  valid: string | undefined
  test: string | undefined
  validPct: number | undefined
  /** For the random split. */
  seed: () => number
  extensions: readonly string[] | undefined
  onError: 'throw' | 'skip'
}

/** Training, validation and test pictures, without transforms. */
export interface ImageSources {
  train: ImageDataset
  valid: ImageDataset
  test: ImageDataset | undefined
  skippedFiles: SkippedInFolder
}

const VALID_NAMES = ['valid', 'val']

/**
 * Finds the pictures below `dir`: in the folders for training and validation, or, with `validPct`, all of them, split at
 * random. @throws DataError that says what was found instead.
 */
export function imageSources(dir: string, options: FolderSourceOptions): ImageSources {
  checkFolder(dir)
  const { train, validPct, extensions = imageExtensions, onError } = options
  const skippedFiles: SkippedInFolder = { ...noneSkipped(), unknownClasses: {} }
  const note = (folder: ImageFolder) => {
    addSkipped(skippedFiles, folder.skippedFiles)
    Object.assign(skippedFiles.unknownClasses, folder.skippedFiles.unknownClasses)
    return folder
  }
  const valid = options.valid ?? VALID_NAMES.find((name) => isFolder(join(dir, name)))
  const parts =
    validPct === undefined
      ? splitByFolder(dir, train, valid, { extensions, onError }, note)
      : splitAtRandom(dir, train, valid, { ...options, validPct, extensions }, note)
  const test =
    options.test === undefined ? undefined : testPictures(join(dir, options.test), parts.train, extensions)
  return { ...parts, test, skippedFiles }
}

function splitByFolder(
  dir: string,
  train: string,
  valid: string | undefined,
  { extensions, onError }: { extensions: readonly string[]; onError: 'throw' | 'skip' },
  note: (folder: ImageFolder) => ImageFolder,
) {
  const needed = `the folders '${train}' and '${valid ?? VALID_NAMES.join("' or '")}'`
  for (const name of [train, valid]) {
    if (name !== undefined && isFolder(join(dir, name))) continue
    throw new DataError(
      `${resolve(dir)}: expected ${needed} with a folder for each class in them, but found ${foldersIn(dir)}. Name the folders with train: '…' and valid: '…', or pass validPct: 0.2 to keep a random fifth of the pictures for validation`,
    )
  }
  const trainFolder = note(new ImageFolder(join(dir, train), { extensions }))
  const { classes } = trainFolder
  const validFolder = note(
    new ImageFolder(join(dir, valid!), { extensions, classes, onUnknownClass: onError }),
  )
  return { train: trainFolder as ImageDataset, valid: validFolder as ImageDataset }
}

/** fastai's `valid_pct`: all pictures that can be found are pooled. */
function splitAtRandom(
  dir: string,
  train: string,
  valid: string | undefined,
  { validPct, seed, extensions }: { validPct: number; seed: () => number; extensions: readonly string[] },
  note: (folder: ImageFolder) => ImageFolder,
) {
  const pooled = [train, valid].filter((name) => name !== undefined && isFolder(join(dir, name))) as string[]
  const roots = pooled.length > 0 ? pooled.map((name) => join(dir, name)) : [dir]
  const folders = roots.map((root) =>
    note(new ImageFolder(root, { extensions, minClasses: pooled.length > 0 ? 1 : 2 })),
  )
  const classes = [...new Set(folders.flatMap((folder) => folder.classes))].sort()
  const files: PicturePath[] = folders.flatMap((folder) => folder.files)
  const labels = folders.flatMap((folder) =>
    Array.from(folder.labels, (label) => classes.indexOf(folder.classes[label]!)),
  )
  const all = new ImageDataset({ files, labels: Int32Array.from(labels), classes })
  const split = randomSplit(all.length, validPct, seed())
  return { train: all.subset(split.train), valid: all.subset(split.valid) }
}

/** Test pictures in class folders keep their labels; others, which have none, get class 0. */
function testPictures(folder: string, train: ImageDataset, extensions: readonly string[]): ImageDataset {
  checkFolder(folder)
  const { classes } = train
  if (classes.some((name) => isFolder(join(folder, name)))) {
    return new ImageFolder(folder, { extensions, classes, onUnknownClass: 'throw' })
  }
  const { files } = listPictures(folder, extensionSet(extensions))
  if (files.length === 0) {
    throw new DataError(`${resolve(folder)}: the test folder holds no pictures (${extensions.join(', ')})`)
  }
  return new ImageDataset({ files, labels: new Int32Array(files.length), classes })
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory()
}

function foldersIn(dir: string): string {
  const names = readdirSync(dir).filter((name) => !name.startsWith('.') && isFolder(join(dir, name)))
  if (names.length === 0) return 'no folders'
  const more = names.length > 10 ? ` and ${names.length - 10} more` : ''
  return `'${names.sort().slice(0, 10).join("', '")}'${more}`
}
