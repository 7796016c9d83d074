import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DataError } from '../engine/errors.ts'
import { byCodePoint } from './byCodePoint.ts'
import { extensionSet, imageExtensions } from './image/extensions.ts'
import { ImageDataset } from './image/ImageDataset.ts'
import {
  type ClassFolderOptions,
  checkFolder,
  listClassFolders,
  quoted,
  type SkippedInFolder,
  tooFewClasses,
} from './image/ImageFolder.ts'
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
  /** Names of folders that are no classes. */
  exclude: readonly string[] | undefined
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

/** What is common to the folders of one `dir`. */
interface Search {
  dir: string
  extensions: readonly string[]
  exclude: readonly string[]
  onError: 'throw' | 'skip'
  skippedFiles: SkippedInFolder
}

/**
 * Finds the pictures below `dir`: in the folders for training and validation, or, with `validPct`, all of them, split at
 * random. @throws DataError that says what was found instead.
 */
export function imageSources(dir: string, options: FolderSourceOptions): ImageSources {
  checkFolder(dir)
  const { train, validPct, extensions = imageExtensions, exclude = [], onError, test } = options
  const skippedFiles: SkippedInFolder = { ...noneSkipped(), unknownClasses: {} }
  const search: Search = { dir, extensions, exclude, onError, skippedFiles }
  const valid = options.valid ?? VALID_NAMES.find((name) => isFolder(join(dir, name)))
  const parts =
    validPct === undefined
      ? splitByFolder(search, train, valid)
      : splitAtRandom(search, { train, valid, test, validPct, seed: options.seed })
  return {
    ...parts,
    test: test === undefined ? undefined : testPictures(search, test, parts.train.classes),
    skippedFiles,
  }
}

/** The pictures of the class folders in one of the folders, what was left out of it being counted. */
function listed(
  { dir, extensions, exclude, skippedFiles }: Search,
  folder: string,
  options: Omit<ClassFolderOptions, 'extensions' | 'owner'>,
) {
  const { skipped, ...found } = listClassFolders(join(dir, folder), {
    ...options,
    extensions,
    exclude: [...exclude, ...(options.exclude ?? [])],
    owner: 'fromFolder',
  })
  addSkipped(skippedFiles, skipped)
  const unknown = skippedFiles.unknownClasses
  for (const [name, count] of Object.entries(skipped.unknownClasses)) {
    unknown[name] = (unknown[name] ?? 0) + count
  }
  return found
}

function splitByFolder(search: Search, train: string, valid: string | undefined) {
  const { dir, onError } = search
  const needed = `the folders '${train}' and '${valid ?? VALID_NAMES.join("' or '")}'`
  for (const name of [train, valid]) {
    if (name !== undefined && isFolder(join(dir, name))) continue
    throw new DataError(
      `${resolve(dir)}: expected ${needed} with a folder for each class in them, but found ${foldersIn(dir)}. Name the folders with train: '…' and valid: '…', or pass validPct: 0.2 to keep a random fifth of the pictures for validation`,
    )
  }
  const found = listed(search, train, {})
  const { classes } = found
  return {
    train: new ImageDataset(found),
    valid: new ImageDataset(listed(search, valid!, { classes, onUnknownClass: onError })),
  }
}

/** fastai's `valid_pct`: all pictures that can be found are pooled. */
function splitAtRandom(
  search: Search,
  {
    train,
    valid,
    test,
    validPct,
    seed,
  }: Pick<FolderSourceOptions, 'train' | 'valid' | 'test' | 'seed'> & {
    validPct: number
  },
) {
  const { dir } = search
  const given = [train, valid].filter((name) => name !== undefined && isFolder(join(dir, name))) as string[]
  const pooled = given.length > 0 ? given : ['.']
  const folders = pooled.map((name) =>
    // Beside the class folders in `dir` itself lie others: a Learner's `models`, logs, the test pictures.
    resolve(dir, name) === resolve(dir)
      ? listed(search, name, {
          minClasses: 1,
          emptyClasses: 'leaveOut',
          exclude: [...pooled, ...(test === undefined ? [] : [test])],
        })
      : listed(search, name, { minClasses: 1 }),
  )
  const classes = [...new Set(folders.flatMap((folder) => folder.classes))].sort(byCodePoint)
  if (classes.length < 2) throw tooFewClasses(dir, classes, 2, 'fromFolder')
  const files: PicturePath[] = folders.flatMap((folder) => folder.files)
  const labels = folders.flatMap((folder) =>
    Array.from(folder.labels, (label) => classes.indexOf(folder.classes[label]!)),
  )
  const all = new ImageDataset({ files, labels: Int32Array.from(labels), classes })
  const split = randomSplit(all.length, validPct, seed())
  return { train: all.subset(split.train), valid: all.subset(split.valid) }
}

/**
 * Test pictures in folders keep these as their labels; those that lie in the test folder itself, and have none, get class 0.
 * @throws DataError where no folder with pictures is a class: they may be names that are spelt in another way
 */
function testPictures(search: Search, test: string, classes: readonly string[]): ImageDataset {
  const { dir, extensions, exclude, onError, skippedFiles } = search
  const folder = join(dir, test)
  checkFolder(folder)
  if (classes.some((name) => isFolder(join(folder, name)))) {
    return new ImageDataset(listed(search, test, { classes, onUnknownClass: onError }))
  }
  const endings = extensionSet(extensions)
  const others = folderNames(folder).filter((name) => !exclude.includes(name))
  const unknown = others.filter((name) => listPictures(join(folder, name), endings).files.length > 0)
  if (unknown.length > 0) {
    throw new DataError(
      `${resolve(folder)}: none of the folders ${quoted(unknown)} is among the known classes ${quoted(classes)}. Name them as the training folder names the classes; pictures without labels lie in the test folder itself, which may be a folder in a folder, such as test: '${test}/${unknown[0]}'`,
    )
  }
  const { files, skipped } = listPictures(folder, endings, { below: false })
  addSkipped(skippedFiles, skipped)
  if (files.length === 0) {
    throw new DataError(`${resolve(folder)}: the test folder holds no pictures (${extensions.join(', ')})`)
  }
  return new ImageDataset({ files, labels: new Int32Array(files.length), classes })
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory()
}

/** Names of the folders in a folder, hidden ones aside. */
function folderNames(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => !name.startsWith('.') && isFolder(join(dir, name)))
    .sort(byCodePoint)
}

function foldersIn(dir: string): string {
  const names = folderNames(dir)
  return names.length === 0 ? 'no folders' : quoted(names)
}
