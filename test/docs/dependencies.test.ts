import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

// What CONTRIBUTING.md and SECURITY.md say of dependencies, against package.json and package-lock.json.

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')

interface Manifest {
  scripts: Record<string, string>
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
  allowScripts: Record<string, boolean>
}
const manifest = JSON.parse(read('package.json')) as Manifest
const { packages } = JSON.parse(read('package-lock.json')) as {
  packages: Record<
    string,
    { resolved?: string; integrity?: string; hasInstallScript?: boolean; dev?: boolean }
  >
}
const installed = Object.entries(packages).filter(([path]) => path !== '')

describe('dependencies', () => {
  test('each has a line in CONTRIBUTING.md that tells whom it is for', () => {
    const section = read('CONTRIBUTING.md').split('## Dependencies\n')[1]!.split('\n## ')[0]!
    const rows = section.split('\n').filter((line) => line.startsWith('| `'))
    const named = rows.flatMap((row) => {
      const [, names, use] = row.split('|').map((cell) => cell.trim())
      const kind = use!.startsWith('users') ? 'dependencies' : 'devDependencies'
      return [...names!.matchAll(/`([^`]+)`/g)].map((match) => `${kind} ${match[1]}`)
    })
    const present = (['dependencies', 'devDependencies'] as const).flatMap((kind) =>
      Object.keys(manifest[kind]).map((name) => `${kind} ${name}`),
    )
    expect(named.sort()).toEqual(present.sort())
  })

  test('nothing runs at installation', () => {
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare']) {
      expect(manifest.scripts).not.toHaveProperty(name)
    }
    expect(existsSync(join(root, 'binding.gyp'))).toBe(false) // npm would build it unasked
    const wanting = installed.filter(([, entry]) => entry.hasInstallScript)
    for (const [path, { dev }] of wanting) {
      const name = path.replace(/^.*node_modules\//, '')
      expect(manifest.allowScripts, `${name} wants to run a script`).toHaveProperty([name], false)
      expect(dev, name).toBe(true)
    }
  })

  test('each package comes from a registry, with its checksum', () => {
    expect(installed.length).toBeGreaterThan(100)
    for (const [path, { integrity, resolved }] of installed) {
      expect(integrity, path).toMatch(/^sha512-/)
      if (resolved !== undefined) expect(resolved, path).toMatch(/^https:\/\//)
    }
  })
})
