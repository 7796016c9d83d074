import { mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ConfigError } from '../../src/engine/errors.ts'

/** Makes the folder that `--out` names, unless it is there. Returns its full path. */
export async function outputFolder(path: string): Promise<string> {
  const folder = resolve(path)
  try {
    await mkdir(folder, { recursive: true })
  } catch (cause) {
    throw new ConfigError(
      `--out ${path}: the folder ${folder} cannot be made (${(cause as Error).message})`,
      { cause },
    )
  }
  return folder
}
