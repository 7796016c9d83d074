import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { joinPath, kindOf, listPictures, type PicturePath, readFolder } from '../data/image/listPictures.ts'
import { imageExtensions } from '../data/index.ts'
import { ConfigError } from '../engine/errors.ts'

/** Paths of all pictures in a folder and those below it. */
export function picturesIn(folder: string): string[] {
  return listPictures(folder, new Set(imageExtensions)).files.map((path) => path.toString())
}

/** Names of the folders in a folder, links to folders among them, as training takes them for classes. */
export function foldersIn(folder: string): string[] {
  return readFolder(folder)
    .filter((entry) => kindOf(entry, joinPath(folder, entry.name)) === 'folder')
    .map(({ name }) => name.toString())
    .filter((name) => !name.startsWith('.'))
}

/** The figures that `anneal train` writes. */
export const figures = {
  lrFind: 'lr-find.png',
  losses: 'losses.png',
  confusion: 'confusion.png',
  topLosses: 'top-losses.png',
} as const

const figureNames = new Set<string>(Object.values(figures))

/** Whether a folder, or one below it, holds a picture that is not such a figure. `above`: where the search came from. */
function holdsPictures(folder: PicturePath, above: readonly string[] = []): boolean {
  const real = realpathSync(folder, 'buffer').toString('latin1')
  if (above.includes(real)) return false
  const entries = readFolder(folder)
    .filter(({ name }) => !name.toString().startsWith('.'))
    .map((entry) => {
      const path = joinPath(folder, entry.name)
      return { name: entry.name.toString(), path, kind: kindOf(entry, path) }
    })
  const isPicture = (name: string) =>
    imageExtensions.includes(extname(name).toLowerCase()) && !figureNames.has(name)
  return (
    entries.some(({ name, kind }) => kind === 'file' && isPicture(name)) ||
    entries.some(({ path, kind }) => kind === 'folder' && holdsPictures(path, [...above, real]))
  )
}

/** Whether `anneal train` wrote the folder, or what is in it, and nothing in it is to be learnt. */
export function holdsResults(folder: string): boolean {
  if (holdsPictures(folder)) return false
  return (
    ['model.safetensors', 'history.csv'].some((name) => existsSync(join(folder, name))) ||
    picturesIn(folder).length > 0
  )
}

/**
 * Names of the folders beside the class folders in `folder` that are for results: that of `out`, and what earlier runs wrote.
 * @throws ConfigError for an `out` in a class folder
 */
export function resultFolders(folder: string, out?: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return []
  const folders = foldersIn(folder)
  const names = folders.filter((name) => holdsResults(join(folder, name)))
  if (out === undefined) return names
  const own = folders.find((name) => below(join(folder, name), out) !== undefined) ?? below(folder, out)
  if (!own) return names
  if (folders.includes(own) && holdsPictures(join(folder, own))) {
    throw new ConfigError(
      `--out ${out}: ${join(folder, own)} holds pictures, which makes it a class, and results are none; choose a folder elsewhere`,
    )
  }
  return [...names, own]
}

/** The first step from `folder` to `path`, '' if they are the same; undefined if `path` is elsewhere. */
function below(folder: string, path: string): string | undefined {
  const [step = ''] = relative(realpathSync(folder), realPath(path)).split(sep, 1)
  return step === '..' || isAbsolute(step) ? undefined : step
}

/** `path` without links, as far as it is there. */
function realPath(path: string): string {
  const parent = dirname(resolve(path))
  if (existsSync(path)) return realpathSync(path)
  return parent === resolve(path) ? parent : join(realPath(parent), basename(path))
}
