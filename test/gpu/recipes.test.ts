// Every recipe for a few steps on a GPU, in a process of its own as a user starts it, on tables and pictures that are drawn here.
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import { drawColours, runRecipe, temporaryFolder } from '../recipes/support.ts'

vi.setConfig({ testTimeout: 300_000 })

const short = ['--epochs', '1', '--batch-size', '4']
const drawn = ['--size', '32', '--count', '10']
const gan = ['--size', '16', '--features', '8', '--latent', '10', '--every', '2']
const recipes: Record<string, readonly string[]> = {
  'house-prices': ['--rows', '100', '--epochs', '1', '--batch-size', '16'],
  multilabel: [...short, ...drawn],
  segmentation: [...short, ...drawn],
  'lenet-cifar10': short,
  'transfer-resnet18': [...short, '--head-epochs', '1', '--size', '32'],
  dcgan: [...short, ...gan],
  wgan: [...short, ...gan, '--critic', '1'],
}
/** Those that want pictures, and the folders in which they look for them. */
const pictures: Record<string, Readonly<Record<string, number>>> = {
  'lenet-cifar10': { train: 4, test: 2 },
  'transfer-resnet18': { train: 4, val: 2 },
  dcgan: { train: 4 },
  wgan: { train: 4 },
}

const { devices, emulated } = addon.cudaInfo()

// Sanitizers would watch over sharp and the drawing of figures as well, which are not ours; steps.test.ts is for them.
const skipped = devices.length === 0 || process.env.ANNEAL_SANITIZED !== undefined

describe.skipIf(skipped)('recipes on a GPU', () => {
  // A ResNet takes minutes in the emulation, which has one thread for a whole GPU: there only the small networks train.
  const small = ['house-prices', 'lenet-cifar10', 'dcgan', 'wgan']
  const runs = Object.entries(recipes).filter(([name]) => !emulated || small.includes(name))
  it.each(runs)('%s', async (name, options) => {
    const folder = await temporaryFolder()
    const parts = pictures[name]
    if (parts) await drawColours(folder, parts)
    const { code, stdout, stderr } = await runRecipe(name, [
      ...(parts ? ['--data', folder] : []),
      ...['--out', join(folder, 'out'), '--device', 'cuda', '--json'],
      ...options,
    ])
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({ device: 'cuda:0' })
  })

  it.skipIf(emulated)('demo', async () => {
    const out = await temporaryFolder()
    const pictures = ['--size', '32', '--train', '4', '--valid', '1']
    const run = await runRecipe('demo', ['--out', out, '--device', 'cuda', ...short, ...pictures])
    // So few steps teach it too little, as it says.
    expect(run.stderr).toContain('less than the 95 %')
    expect(run.stdout).toMatch(/\d % of 6 held-out pictures named rightly/)
  })
})
