import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { readSafetensors } from '../../src/index.ts'
import { drawColours, runRecipe, temporaryFolder } from './support.ts'

vi.setConfig({ testTimeout: 600_000 })

it('lenet-cifar10 learns to tell colours apart and leaves what it promises', async () => {
  const folder = await temporaryFolder()
  await drawColours(folder, { train: 48, test: 8 }, ['a', 'b', 'c'])
  const out = join(folder, 'out')
  const args = ['--data', folder, '--out', out, '--batch-size', '8', '--epochs', '6', '--json']
  const { code, stdout, stderr } = await runRecipe('lenet-cifar10', args)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect((await readdir(out)).sort()).toEqual([
    'best.safetensors',
    'confusion.png',
    'history.csv',
    'losses.png',
    'lr-find.png',
  ])
  const result = JSON.parse(stdout.trimEnd().split('\n').at(-1)!)
  expect(result).toMatchObject({ epochs: 6, device: 'cpu' })
  expect(result.accuracy).toBeGreaterThan(0.9)
  expect((await readFile(join(out, 'history.csv'), 'utf8')).trimEnd().split('\n')).toHaveLength(7)
  const { tensors } = await readSafetensors(join(out, 'best.safetensors'))
  expect(tensors['head.4.weight']?.shape).toEqual([3, 84])
})
