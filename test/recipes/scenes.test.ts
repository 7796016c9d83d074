import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it, vi } from 'vitest'
import { drawScenes } from '../../recipes/lib/drawScenes.ts'
import { shapeNames } from '../../recipes/lib/drawShapes.ts'
import { runRecipe, temporaryFolder } from './support.ts'

vi.setConfig({ testTimeout: 600_000 })

const small = ['--count', '12', '--size', '32', '--batch-size', '4', '--epochs', '1', '--json']

describe('drawScenes', () => {
  it('draws masks and labels that agree, and the same for the same seed', async () => {
    const folder = await temporaryFolder()
    const [a, b] = [join(folder, 'a'), join(folder, 'b')]
    await drawScenes(a, { count: 6, size: 64, seed: 1 })
    await drawScenes(b, { count: 8, size: 64, seed: 1 })
    const [head, ...lines] = (await readFile(join(a, 'labels.csv'), 'utf8')).trimEnd().split('\n')
    expect(head).toBe('name,labels')
    expect(lines).toHaveLength(6)
    for (const [index, line] of lines.entries()) {
      const [name, labels] = line.split(',') as [string, string]
      const mask = await sharp(join(a, 'masks', name.replace('jpg', 'png')))
        .toColourspace('b-w')
        .raw()
        .toBuffer({ resolveWithObject: true })
      expect(mask.info).toMatchObject({ width: 64, height: 64, channels: 1 })
      const present = [...new Set(mask.data)].filter((value) => value > 0).sort((x, y) => x - y)
      expect(present.map((value) => shapeNames[value - 1])).toEqual(labels.split(' '))
      const files = await Promise.all([a, b].map((dir) => readFile(join(dir, 'pictures', name))))
      expect(files[0]!.equals(files[1]!), `picture ${index}`).toBe(true)
    }
  })
})

describe.each([
  ['segmentation', 'unet', ['accuracy', 'device', 'epochs', 'iou', 'seconds']],
  ['multilabel', 'multilabel', ['device', 'epochs', 'f1', 'meanF1', 'seconds']],
])('%s', (recipe, model, keys) => {
  it('leaves figures and a model, and ends with a line of JSON', async () => {
    const out = await temporaryFolder()
    const { code, stdout, stderr } = await runRecipe(recipe, ['--out', out, ...small])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(await readdir(out)).toEqual(
      expect.arrayContaining(['batch.png', 'losses.png', 'results.png', `${model}.safetensors`]),
    )
    expect(Object.keys(JSON.parse(stdout.trimEnd().split('\n').at(-1)!)).sort()).toEqual(keys)
  })
})
