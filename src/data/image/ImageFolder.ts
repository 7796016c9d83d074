import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { DataError } from '../../engine/errors.ts'
import { rejectUnknownOptions } from '../options.ts'
import { orLeaveOut } from '../skipAdvice.ts'
import type { Transform } from '../transforms/Transform.ts'
import { extensionSet, imageExtensions } from './extensions.ts'
import { ImageDataset } from './ImageDataset.ts'
import {
  addSkipped,
  byName,
  joinPath,
  kindOf,
  listPictures,
  noneSkipped,
  type PicturePath,
  readFolder,
  type SkippedFiles,
} from './listPictures.ts'
import { type CacheOption, pictureStores } from './PictureCache.ts'
import { readableName } from './pictureError.ts'

export interface ImageFolderOptions {
  /** What is done to each picture; one transform, several, or `transforms.compose([…])`. Default nothing. */
  transform?: Transform | readonly Transform[]
  /** Endings of the files that are pictures. Default `imageExtensions`. */
  extensions?: readonly string[]
  /** Classes that are known already, in their order; other folders are an error. Default: the folders' names, sorted. */
  classes?: readonly string[]
  /** What to do with a folder that is not among `classes`: 'throw' (default) a DataError, or 'skip' and count it. */
  onUnknownClass?: 'throw' | 'skip'
  /** Keep decoded pictures in memory or on disk, after the transforms that draw nothing. Default: no. */
  cache?: CacheOption
  /** Fewest classes that make sense. Default 2, or 1 if `classes` are given; pass 1 for pictures without classes. */
  minClasses?: number
}

/** What an `ImageFolder` left out. */
export interface SkippedInFolder extends SkippedFiles {
  /** Number of pictures in folders that are not among `classes`. */
  unknownClasses: Record<string, number>
}

interface ClassFolder {
  name: string
  path: PicturePath
}

/**
 * Pictures sorted into folders: `dir/ants/1.jpg`, `dir/bees/2.jpg`; folders below the class folders count as well. Classes
 * and files are in the order of their names, as in torchvision's `ImageFolder`. Hidden files and files with other endings
 * are skipped and counted in `skippedFiles`.
 *
 * @throws DataError if the folder is missing, has no class folders, fewer than `minClasses` of them, or one without pictures.
 */
export class ImageFolder extends ImageDataset {
  readonly path: string
  readonly skippedFiles: SkippedInFolder

  constructor(path: string, options: ImageFolderOptions = {}) {
    rejectUnknownOptions('ImageFolder', options, [
      'transform',
      'extensions',
      'classes',
      'onUnknownClass',
      'minClasses',
      'cache',
    ])
    const { transform, cache, ...listed } = options
    const { files, labels, classes, skipped } = listClassFolders(path, listed)
    super({ files, labels, classes, transform, cache: pictureStores(cache)() })
    this.path = path
    this.skippedFiles = skipped
  }
}

export interface ClassFolderOptions
  extends Pick<ImageFolderOptions, 'extensions' | 'classes' | 'onUnknownClass' | 'minClasses'> {
  /** What to do with a folder without pictures, unless `classes` are given: 'throw' (default), or leave it out of the classes. */
  emptyClasses?: 'throw' | 'leaveOut'
  /** Folders in `path` that are no classes. Default none. */
  exclude?: readonly string[]
  /** Whose options errors speak of. Default 'ImageFolder'. */
  owner?: 'ImageFolder' | 'fromFolder'
}

/** What `ImageFolder` finds. @throws DataError as it does */
export function listClassFolders(path: string, options: ClassFolderOptions) {
  const { extensions = imageExtensions, classes, onUnknownClass = 'throw', exclude = [] } = options
  const { minClasses = classes ? 1 : 2, emptyClasses = 'throw', owner = 'ImageFolder' } = options
  const endings = extensionSet(extensions)
  const skipped: SkippedInFolder = { ...noneSkipped(), unknownClasses: {} }
  const folders = classFolders(path, endings, skipped).filter(({ name }) => !exclude.includes(name))
  const listings = folders.map((folder) => ({ ...folder, ...listPictures(folder.path, endings) }))
  for (const listing of listings) addSkipped(skipped, listing.skipped)
  const used = emptyClasses === 'leaveOut' ? listings.filter(({ files }) => files.length > 0) : listings
  const names = classes ?? used.map(({ name }) => name)
  if (names.length === 0) throw noPictures(path, folders)
  if (names.length < minClasses) throw tooFewClasses(path, names, minClasses, owner)

  const files: PicturePath[] = []
  const labels: number[] = []
  for (const { name, path: folder, files: found, skipped: others } of used) {
    const label = names.indexOf(name)
    if (label < 0) {
      if (onUnknownClass === 'throw') throw unknownClass(path, name, names, owner)
      skipped.unknownClasses[name] = found.length
      continue
    }
    if (found.length === 0 && !classes) throw emptyClass(folder, extensions, others)
    for (const file of found) {
      files.push(file)
      labels.push(label)
    }
  }
  if (files.length === 0) throw noPictures(path, folders)
  return { files, labels: Int32Array.from(labels), classes: names, skipped }
}

/** The folders in `path`, by name. */
function classFolders(path: string, endings: ReadonlySet<string>, skipped: SkippedFiles): ClassFolder[] {
  checkFolder(path)
  const folders: ClassFolder[] = []
  let pictures = 0
  for (const entry of readFolder(path)) {
    const name = entry.name.toString()
    const full = joinPath(path, entry.name)
    if (name.startsWith('.')) skipped.hidden++
    else if (kindOf(entry, full) === 'folder') folders.push({ name, path: full })
    else {
      const ending = /\.[^.]*$/.exec(name)?.[0].toLowerCase() ?? ''
      if (endings.has(ending)) pictures++
      skipped.foreign[ending] = (skipped.foreign[ending] ?? 0) + 1
    }
  }
  if (folders.length > 0) return folders.sort((a, b) => byName(a.name, b.name))
  const found = pictures > 0 ? `${pictures} pictures that lie in no class folder` : 'no folders'
  throw new DataError(
    `${resolve(path)}: expected a folder for each class, such as ${path}/ants and ${path}/bees, but found ${found}. Sort the pictures into folders named after their classes`,
  )
}

/** Throws a DataError unless `path` is a folder. */
export function checkFolder(path: string): void {
  let what = 'this is a file, not a folder'
  try {
    if (statSync(path).isDirectory()) return
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    what = missing ? 'there is no such folder' : `the folder cannot be read (${(error as Error).message})`
  }
  throw new DataError(
    `${resolve(path)}: ${what}. Give the folder that holds the class folders (relative paths start at ${process.cwd()})`,
  )
}

function noPictures(path: string, folders: readonly ClassFolder[]): DataError {
  const names = folders.map(({ name }) => name)
  return new DataError(
    `${resolve(path)}: none of the folders ${quoted(names)} holds a picture that belongs to a class`,
  )
}

/** @internal A classifier needs more classes than were found. */
export function tooFewClasses(
  path: string,
  names: readonly string[],
  minClasses: number,
  owner: ClassFolderOptions['owner'],
): DataError {
  const meant = owner === 'ImageFolder' ? `, or pass minClasses: ${names.length} if this is meant` : ''
  return new DataError(
    `${resolve(path)}: found ${names.length === 1 ? 'one class only' : `${names.length} classes`}, ${quoted(names)}; a classifier needs at least ${minClasses}. Add a folder for each further class${meant}`,
  )
}

function emptyClass(
  folder: PicturePath,
  extensions: readonly string[],
  { foreign }: SkippedFiles,
): DataError {
  const others = Object.entries(foreign).map(([ending, count]) => `${count} ${ending || 'without ending'}`)
  return new DataError(
    `${readableName(folder)}: the class folder holds no pictures (${extensions.join(', ')})${others.length > 0 ? `, only other files: ${others.join(', ')}` : ''}. Add pictures, remove the folder, or pass extensions`,
  )
}

function unknownClass(
  path: string,
  name: string,
  names: readonly string[],
  owner: ClassFolderOptions['owner'],
): DataError {
  const [add, option] =
    owner === 'ImageFolder'
      ? ['add it to classes', "onUnknownClass: 'skip'"]
      : ['add the class to the training folder']
  return new DataError(
    `${resolve(path)}: the class '${name}' is not among the known classes ${quoted(names)}. Rename or remove the folder, ${add}${orLeaveOut('pictures', option)}`,
  )
}

/** @internal Names in an error: the first ten. */
export function quoted(names: readonly string[]): string {
  return `'${names.slice(0, 10).join("', '")}'${names.length > 10 ? ` and ${names.length - 10} more` : ''}`
}
