import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes a folder and those above it, where they are missing. Not mkdir's `recursive`, which in Node 20 never ends below /proc: there
 * making fails with ENOENT though the parent is there.
 * @throws the system's error; EEXIST where something else has the name
 */
export async function makeFolders(folder: string): Promise<void> {
  const make = () => mkdir(folder).catch((cause: NodeJS.ErrnoException) => cause)
  let failure = await make()
  if (failure?.code === 'ENOENT' && dirname(folder) !== folder) {
    await makeFolders(dirname(folder))
    failure = await make()
  }
  if (failure && !(failure.code === 'EEXIST' && (await isFolder(folder)))) throw failure
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found?.isDirectory() === true
}
