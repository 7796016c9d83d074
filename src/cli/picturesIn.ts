import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { joinPath, kindOf, listPictures, readFolder } from '../data/image/listPictures.ts'
import { imageExtensions } from '../data/index.ts'

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

/** Whether `anneal train` wrote the folder: its figures are pictures, but none to learn. */
export function holdsResults(folder: string): boolean {
  return ['model.safetensors', 'history.csv'].some((name) => existsSync(join(folder, name)))
}

/** Names of the folders beside the class folders in `folder` that are for results: `out`, and what earlier runs wrote. */
export function resultFolders(folder: string, out?: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return []
  const names = foldersIn(folder).filter((name) => holdsResults(join(folder, name)))
  if (out === undefined) return names
  const parent = dirname(resolve(out))
  const inside = existsSync(parent) && realpathSync(parent) === realpathSync(folder)
  return inside ? [...names, basename(resolve(out))] : names
}
