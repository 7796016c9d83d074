import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { drawShapes, shapeNames } from '../../recipes/lib/drawShapes.ts'
import { runRecipe, temporaryFolder } from './support.ts'

vi.setConfig({ testTimeout: 600_000 })

describe('drawShapes', () => {
  const options = { train: 2, valid: 1, size: 48, seed: 3 }
  const first = (folder: string, part = 'train') => readFile(join(folder, part, 'star', '0000.jpg'))

  it('draws the same pictures for the same seed, others for another, and none twice', async () => {
    const folder = await temporaryFolder()
    const [a, b, c] = ['a', 'b', 'c'].map((name) => join(folder, name)) as [string, string, string]
    await drawShapes(a, options)
    await drawShapes(b, { ...options, train: 4 })
    await drawShapes(c, { ...options, seed: 4 })
    expect(await readdir(join(a, 'train'))).toEqual(shapeNames)
    expect(await readdir(join(a, 'train', 'star'))).toEqual(['0000.jpg', '0001.jpg'])
    expect((await first(a)).equals(await first(b))).toBe(true)
    expect((await first(a)).equals(await first(c))).toBe(false)
    expect((await first(a)).equals(await first(a, 'valid'))).toBe(false)
  })
})

describe('demo', () => {
  it('leaves figures and a model, and fails when it has learnt too little', async () => {
    const out = await temporaryFolder()
    const args = [
      '--out',
      out,
      '--size',
      '32',
      '--train',
      '4',
      '--valid',
      '3',
      '--batch-size',
      '4',
      '--epochs',
      '1',
    ]
    const { code, stdout, stderr } = await runRecipe('demo', args)
    expect(await readdir(out)).toEqual(
      expect.arrayContaining(['batch.png', 'best.safetensors', 'confusion.png', 'losses.png', 'lr-find.png']),
    )
    expect(stdout).toMatch(/\d % of 18 held-out pictures named rightly/)
    expect(stderr).toMatch(/less than the 95 %/)
    expect(code).toBe(1)
  })
})
