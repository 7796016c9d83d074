import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of this package: the nearest one above with a package.json, from src and from dist alike. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder)
    if (above === folder) throw new Error(`no package.json above ${fileURLToPath(import.meta.url)}`)
    folder = above
  }
  return folder
}

/** The version in this package's package.json. */
export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageFolder(), 'package.json'), 'utf8')) as { version: string })
    .version
}

/** The installed version of a dependency, read from its package.json (which its exports may hide). */
export function versionOf(name: string): string {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(name))
    for (;;) {
      const found = readManifest(join(folder, 'package.json'))
      if (found?.name === name && found.version) return found.version
      if (folder === dirname(folder)) return 'unknown'
      folder = dirname(folder)
    }
  } catch {
    return 'missing'
  }
}

function readManifest(file: string): { name?: string; version?: string } | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string }
  } catch {
    return undefined // no package.json in this folder; the next one up may have it
  }
}
