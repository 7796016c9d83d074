import { type Dirent, readdirSync, realpathSync, statSync } from 'node:fs'
import { DataError } from '../../engine/errors.ts'
import { byCodePoint } from '../byCodePoint.ts'
import { readableName } from './pictureError.ts'

/** Path of a picture's file. A name that is not valid UTF-8 comes as its bytes. */
export type PicturePath = string | Buffer

/** What lay in a folder and is not used. */
export interface SkippedFiles {
  /** Names that begin with a dot; a hidden folder counts once. */
  hidden: number
  /** Files with other endings, counted by their ending ('' for none). */
  foreign: Record<string, number>
  /** Links that lead nowhere or in a circle, and things that are neither files nor folders. */
  unusable: number
}

export interface PictureListing {
  /** Folder by folder, each in the order of names. */
  files: PicturePath[]
  skipped: SkippedFiles
}

export function noneSkipped(): SkippedFiles {
  return { hidden: 0, foreign: {}, unusable: 0 }
}

/** Adds `other` to `total`. */
export function addSkipped(total: SkippedFiles, other: SkippedFiles): void {
  total.hidden += other.hidden
  total.unusable += other.unusable
  for (const [ending, count] of Object.entries(other.foreign)) {
    total.foreign[ending] = (total.foreign[ending] ?? 0) + count
  }
}

/** Names in the order of their code points: that of torchvision, and the same on every machine. */
export function byName(a: PicturePath, b: PicturePath): number {
  if (typeof a === 'string' && typeof b === 'string') return byCodePoint(a, b)
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/**
 * All pictures in a folder and the folders below it, known by their endings (`extensions`: lower case with dot). Links are
 * followed, circles of them are not. With `below: false` those in the folder itself only.
 * @throws DataError for a folder that cannot be read.
 */
export function listPictures(
  folder: PicturePath,
  extensions: ReadonlySet<string>,
  { below = true } = {},
): PictureListing {
  const skipped = noneSkipped()
  const folders: { path: PicturePath; files: PicturePath[] }[] = []

  const visit = (path: PicturePath, above: readonly string[]) => {
    const real = realpathSync(path, 'buffer').toString('latin1')
    if (above.includes(real)) {
      skipped.unusable++
      return
    }
    const files: PicturePath[] = []
    folders.push({ path, files })
    for (const entry of readFolder(path)) {
      const name = entry.name.toString()
      if (name.startsWith('.')) {
        skipped.hidden++
        continue
      }
      const full = joinPath(path, entry.name)
      const kind = kindOf(entry, full)
      const ending = /\.[^.]*$/.exec(name)?.[0].toLowerCase() ?? ''
      if (kind === 'folder') {
        if (below) visit(full, [...above, real])
      } else if (kind === 'unusable') skipped.unusable++
      else if (extensions.has(ending)) files.push(full)
      else skipped.foreign[ending] = (skipped.foreign[ending] ?? 0) + 1
    }
  }

  visit(folder, [])
  folders.sort((a, b) => byName(a.path, b.path))
  return { files: folders.flatMap(({ files }) => files.sort(byName)), skipped }
}

/** A folder's entries. Names that are not valid UTF-8 come as bytes. @throws DataError if it cannot be read. */
export function readFolder(path: PicturePath): Dirent<string | Buffer>[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
    if (!entries.some(({ name }) => name.includes('\ufffd'))) return entries
    // What is not UTF-8 was decoded to replacement characters, which would not find the file again.
    const raw = readdirSync(path, { withFileTypes: true, encoding: 'buffer' })
    return raw.map((entry) =>
      isText(entry.name) ? Object.assign(entry, { name: entry.name.toString() }) : entry,
    )
  } catch (error) {
    throw new DataError(`${readableName(path)}: the folder cannot be read (${(error as Error).message})`, {
      cause: error,
    })
  }
}

export function joinPath(folder: PicturePath, name: PicturePath): PicturePath {
  if (typeof folder === 'string' && typeof name === 'string') return `${folder}/${name}`
  return Buffer.concat([Buffer.from(folder), Buffer.from('/'), Buffer.from(name)])
}

export function kindOf(entry: Dirent<string | Buffer>, path: PicturePath): 'file' | 'folder' | 'unusable' {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'folder'
  // A link, or a file system that does not tell.
  try {
    const found = statSync(path)
    if (found.isFile()) return 'file'
    return found.isDirectory() ? 'folder' : 'unusable'
  } catch {
    return 'unusable'
  }
}

function isText(name: Buffer): boolean {
  return Buffer.from(name.toString()).equals(name)
}
