import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { DataError } from '../../engine/errors.ts'
import { rejectUnknownOptions } from '../options.ts'
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
  /** What to do with a folder that is not among `classes`: 'throw' (default), or 'skip' and count it. */
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
    const { transform, extensions = imageExtensions, classes, onUnknownClass = 'throw' } = options
    const minClasses = options.minClasses ?? (classes ? 1 : 2)
    const endings = extensionSet(extensions)
    const skipped: SkippedInFolder = { ...noneSkipped(), unknownClasses: {} }
    const folders = classFolders(path, endings, skipped)
    const names = classes ?? folders.map(({ name }) => name)
    if (names.length < minClasses) throw tooFewClasses(path, names, minClasses)

    const files: PicturePath[] = []
    const labels: number[] = []
    for (const { name, path: folder } of folders) {
      const listing = listPictures(folder, endings)
      addSkipped(skipped, listing.skipped)
      const label = names.indexOf(name)
      if (label < 0) {
        if (onUnknownClass === 'throw') throw unknownClass(path, name, names)
        skipped.unknownClasses[name] = listing.files.length
        continue
      }
      if (listing.files.length === 0 && !classes) throw emptyClass(folder, extensions, listing.skipped)
      for (const file of listing.files) {
        files.push(file)
        labels.push(label)
      }
    }
    if (files.length === 0) {
      throw new DataError(`${resolve(path)}: none of the class folders ${quoted(names)} holds a picture`)
    }
    const cache = pictureStores(options.cache)()
    super({ files, labels: Int32Array.from(labels), classes: names, transform, cache })
    this.path = path
    this.skippedFiles = skipped
  }
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

function tooFewClasses(path: string, names: readonly string[], minClasses: number): DataError {
  return new DataError(
    `${resolve(path)}: found ${names.length === 1 ? 'one class only' : `${names.length} classes`}, ${quoted(names)}; a classifier needs at least ${minClasses}. Add a folder for each further class, or pass minClasses: ${names.length} if this is meant`,
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

function unknownClass(path: string, name: string, names: readonly string[]): DataError {
  return new DataError(
    `${resolve(path)}: the class '${name}' is not among the known classes ${quoted(names)}. Rename or remove the folder, add the class to the training folder, or leave such pictures out with onError: 'skip'`,
  )
}

function quoted(names: readonly string[]): string {
  return `'${names.slice(0, 10).join("', '")}'${names.length > 10 ? ` and ${names.length - 10} more` : ''}`
}
