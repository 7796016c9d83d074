import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { expect, it, vi } from 'vitest'
import { ProgressPictures } from '../../recipes/lib/ProgressPictures.ts'
import {
  basicGenerator,
  dcganGenerator,
  loadWeights,
  randn,
  readSafetensors,
  saveWeights,
} from '../../src/index.ts'
import * as models from '../../src/vision/models/index.ts'
import { drawColours, runRecipe, startRecipe, temporaryFolder } from './support.ts'

vi.setConfig({ testTimeout: 600_000 })

const small = ['--size', '16', '--features', '8', '--batch-size', '8', '--latent', '10', '--json']
const promised = [
  'fakes.png',
  'generator.safetensors',
  'history.csv',
  'last.safetensors',
  'losses.png',
  'progress',
  'progress.webp',
  'real.png',
]
const resultOf = (stdout: string) => JSON.parse(stdout.trimEnd().split('\n').at(-1)!)

it('progress pictures become an animation, in their order', async () => {
  const folder = await temporaryFolder()
  for (const [i, step] of [20, 0, 100].entries()) {
    const picture = sharp(Buffer.alloc(8 * 6 * 3, 60 * i), { raw: { width: 8, height: 6, channels: 3 } })
    await picture.png().toFile(join(folder, `step-${String(step).padStart(6, '0')}.png`))
  }
  const progress = new ProgressPictures({ folder, every: 20, noise: randn([1, 1, 1, 1]) })
  const file = join(folder, 'progress.webp')
  expect(await progress.animate(file)).toBe(3)
  const { pages, pageHeight, delay, loop } = await sharp(file, { animated: true }).metadata()
  expect({ pages, pageHeight, delay, loop }).toEqual({
    pages: 3,
    pageHeight: 6,
    delay: [200, 200, 2000],
    loop: 0,
  })
  const { data } = await sharp(file, { animated: true }).raw().toBuffer({ resolveWithObject: true })
  const frames = [0, 1, 2].map((i) => data[i * 6 * 8 * (data.length / (18 * 8))]!)
  for (const [i, value] of [60, 0, 120].entries()) expect(Math.abs(frames[i]! - value)).toBeLessThan(4)
})

it('dcgan trains, leaves what it promises, and goes on to the bit after a kill', async () => {
  const folder = await temporaryFolder()
  await drawColours(folder, { pictures: 20 })
  const run = (out: string) => ['--data', join(folder, 'pictures'), '--out', join(folder, out), ...small]
  const args = ['--epochs', '3', '--every', '2']
  const { code, stdout, stderr } = await runRecipe('dcgan', [...run('whole'), ...args])
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const out = join(folder, 'whole')
  expect((await readdir(out)).sort()).toEqual(promised)
  // 40 pictures make 5 steps an epoch.
  const result = resultOf(stdout)
  expect(result).toMatchObject({ epochs: 3, steps: 15, frames: 8, device: 'cpu' })
  expect(await readdir(join(out, 'progress'))).toHaveLength(8)
  expect((await sharp(join(out, 'progress.webp')).metadata()).width).toBe(8 * 18 - 2)
  await loadWeights(dcganGenerator({ size: 16, features: 8, latent: 10 }), join(out, 'generator.safetensors'))

  const { child, ended } = startRecipe('dcgan', [...run('killed'), ...args])
  const last = join(folder, 'killed', 'last.safetensors')
  while (!existsSync(last) && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5))
  child.kill('SIGKILL')
  await ended
  const resumed = await runRecipe('dcgan', [...run('killed'), ...args, '--resume'])
  expect(resumed.stderr).toBe('')
  const { genLoss, criticLoss, frames } = resultOf(resumed.stdout)
  expect({ genLoss, criticLoss, frames }).toEqual({
    genLoss: result.genLoss,
    criticLoss: result.criticLoss,
    frames: 8,
  })
  const tensors = async (name: string) => {
    const { tensors } = await readSafetensors(join(folder, name, 'generator.safetensors'))
    return Object.entries(tensors).map(([key, tensor]) => [key, tensor.toArray()])
  }
  expect(await tensors('killed')).toEqual(await tensors('whole'))
})

it('wgan trains with a penalty, measures, and says what is wrong', async () => {
  const folder = await temporaryFolder()
  await drawColours(folder, { pictures: 20 })
  const weights = join(folder, 'resnet18.safetensors')
  await saveWeights(models.resnet18({ numClasses: 4 }), weights)
  const args = ['--data', join(folder, 'pictures'), '--out', join(folder, 'out'), ...small]
  const more = ['--epochs', '2', '--every', '5', '--critic', '3', '--measure', weights]
  const { code, stdout, stderr } = await runRecipe('wgan', [...args, ...more])
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect((await readdir(join(folder, 'out'))).sort()).toEqual(promised)
  const result = resultOf(stdout)
  expect(result).toMatchObject({ epochs: 2, steps: 10, frames: 3 })
  expect(result.frechetDistances).toHaveLength(2)
  const generator = basicGenerator(16, 3, { features: 8, latent: 10, extraLayers: 1 })
  await loadWeights(generator, join(folder, 'out', 'generator.safetensors'))

  const wrong = await runRecipe('wgan', [...args, '--size', '20'])
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toMatch(/20 pixels cannot be halved.*16 or 32/)
  const nothing = await runRecipe('dcgan', ['--data', join(folder, 'none'), '--out', join(folder, 'out')])
  expect(nothing.code).toBe(1)
  expect(nothing.stderr).toMatch(/DataError.*none/)
  const unresumable = await runRecipe('dcgan', [
    ...args.slice(0, 2),
    '--out',
    join(folder, 'new'),
    ...small,
    '--resume',
  ])
  expect(unresumable.stderr).toMatch(/there is no checkpoint/)
})
