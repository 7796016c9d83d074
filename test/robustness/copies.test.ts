import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { addonFile } from '../../src/engine/addonFile.ts'
import { root, withBundle } from './bundle.ts'

test('copies of the library in one process work, and refuse each other’s tensors without harm', async () => {
  // Within the checkout, where it finds the packages; with an add-on of its own.
  const other = join(root, 'build', `copy-${process.pid}`)
  const addon = process.env.ANNEAL_ADDON ?? addonFile(join(root, 'build', 'Release'))
  try {
    mkdirSync(join(other, 'build', 'Release'), { recursive: true })
    writeFileSync(join(other, 'package.json'), '{}')
    copyFileSync(addon, join(other, 'build', 'Release', basename(addon)))
    await withBundle('library', (library) =>
      withBundle('copiesProcess', async (program) => {
        copyFileSync(library, join(other, 'library.mjs'))
        const { status, signal, stdout, stderr } = spawnSync(
          process.execPath,
          [program, library, join(other, 'library.mjs')],
          { encoding: 'utf8' },
        )
        expect(stderr).toBe('')
        expect(signal ?? status).toBe(0)
        const { forgotten, trained, wrong, foreign } = JSON.parse(stdout)
        expect(forgotten).toBeGreaterThan(0)
        expect(Object.keys(trained)).toEqual(['first', 'query', 'otherPath', 'forgotten'])
        expect(new Set(Object.values(trained)).size).toBe(1)
        expect(wrong).toEqual([])
        expect(foreign).toBe('14,3,7,uint8,3,1,2,2,1,1,0,0')
      }),
    )
  } finally {
    rmSync(other, { recursive: true, force: true })
  }
})
