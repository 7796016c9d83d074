import { copyFile, mkdir, readdir, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it, vi } from 'vitest'
import { manualSeed, models, readSafetensors, saveWeights } from '../../src/index.ts'
import { drawColours, runRecipe, startRecipe, temporaryFolder } from './support.ts'

// Each run is a process that trains a ResNet18, on whatever machine this is.
vi.setConfig({ testTimeout: 600_000 })

const stack = /^ {4}at /m
const small = ['--size', '32', '--batch-size', '4', '--head-epochs', '1', '--epochs', '2']

async function pictures(validation = 'val'): Promise<{ data: string; out: string }> {
  const folder = await temporaryFolder()
  const data = join(folder, 'data')
  await drawColours(data, { train: 10, [validation]: 4 })
  return { data, out: join(folder, 'deep', 'out') }
}

describe('transfer-resnet18', () => {
  it('leaves history, figures and the best model, and ends with a line of JSON', async () => {
    const { data, out } = await pictures()
    const { code, stdout, stderr } = await runRecipe('transfer-resnet18', [
      '--data',
      data,
      '--out',
      out,
      '--json',
      ...small,
    ])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect((await readdir(out)).sort()).toEqual([
      'best.safetensors',
      'class-activations.png',
      'confusion.png',
      'history.csv',
      'losses.png',
      'lr-find.png',
      'top-losses.png',
    ])
    const figures = ['class-activations', 'confusion', 'losses', 'lr-find', 'top-losses']
    for (const figure of figures.map((name) => `${name}.png`)) {
      const { format, width } = await sharp(join(out, figure)).metadata()
      expect(format).toBe('png')
      expect(width).toBeGreaterThan(200)
    }

    const result = JSON.parse(stdout.trimEnd().split('\n').at(-1)!)
    expect(Object.keys(result).sort()).toEqual([
      'accuracy',
      'device',
      'epochs',
      'imagesPerSecond',
      'seconds',
      'ttaAccuracy',
      'validLoss',
    ])
    expect(result).toMatchObject({ epochs: 3, device: 'cpu' })
    expect(result.imagesPerSecond).toBeGreaterThan(0)

    const [head, ...rows] = (await readFile(join(out, 'history.csv'), 'utf8')).trimEnd().split('\n')
    expect(head!.split(',').slice(0, 4)).toEqual(['epoch', 'trainLoss', 'validLoss', 'accuracy'])
    expect(rows.map((row) => row.split(',')[0])).toEqual(['0', '1', '2'])
    // The best of both stages is what is kept, and what is reported is measured anew with it.
    const accuracies = rows.map((row) => Number(row.split(',')[3]))
    expect(result.accuracy).toBeCloseTo(Math.max(...accuracies), 6)
    const { tensors } = await readSafetensors(join(out, 'best.safetensors'))
    expect(Object.keys(tensors).length).toBeGreaterThan(100)
  })

  it('takes weights of another number of classes and a folder named valid; the same seed gives the same numbers', async () => {
    const { data, out } = await pictures('valid')
    manualSeed(1)
    const weights = join(data, 'weights.safetensors')
    await saveWeights(models.resnet18({ numClasses: 7 }), weights)
    const args = ['--data', data, '--weights', weights, '--json', ...small]
    const results = []
    for (const run of ['one', 'two']) {
      const { code, stdout, stderr } = await runRecipe('transfer-resnet18', [
        ...args,
        '--out',
        join(out, run),
      ])
      expect(stderr).toBe('')
      expect(code).toBe(0)
      expect(stdout).toMatch(/Stage 1: the head/)
      const { accuracy, validLoss } = JSON.parse(stdout.trimEnd().split('\n').at(-1)!)
      results.push({ accuracy, validLoss })
    }
    expect(results[1]).toEqual(results[0])
  })

  it('leaves the best model readable when it is killed', async () => {
    const { data, out } = await pictures()
    const args = ['--data', data, '--out', out, '--size', '32', '--batch-size', '4', '--head-epochs', '500']
    const { child, ended } = startRecipe('transfer-resnet18', args)
    const file = join(out, 'best.safetensors')
    const alive = () => child.exitCode === null
    while (alive() && !(await stat(file).catch(() => undefined)))
      await new Promise((go) => setTimeout(go, 50))
    child.kill('SIGKILL')
    await ended
    const { tensors } = await readSafetensors(file)
    expect(Object.keys(tensors).length).toBeGreaterThan(100)
  })

  describe('on bad data', () => {
    const failing = async (args: string[]) => {
      const { code, stderr } = await runRecipe('transfer-resnet18', [...args, ...small])
      expect(stderr).not.toMatch(stack)
      expect(code).toBe(1)
      return stderr
    }

    it('names a folder that is not there', async () => {
      const folder = await temporaryFolder()
      const missing = join(folder, 'missing')
      expect(await failing(['--data', missing, '--out', join(folder, 'out')])).toContain(missing)
    })

    it('misses the validation pictures', async () => {
      const folder = await temporaryFolder()
      await drawColours(folder, { train: 4 })
      expect(await failing(['--data', folder, '--out', join(folder, 'out')])).toMatch(/no folder val/)
    })

    it('misses a second class', async () => {
      const folder = await temporaryFolder()
      await drawColours(folder, { train: 4, val: 2 }, ['ants'])
      expect(await failing(['--data', folder, '--out', join(folder, 'out')])).toMatch(/one class.*'ants'/)
    })

    it('names a picture that is cut short', async () => {
      const { data, out } = await pictures()
      const picture = join(data, 'train', 'red', '3.jpg')
      await truncate(picture, Math.round(0.9 * (await stat(picture)).size))
      expect(await failing(['--data', data, '--out', out])).toContain(join('red', '3.jpg'))
    })

    it('names a picture that is none', async () => {
      const { data, out } = await pictures()
      await copyFile(new URL(import.meta.url), join(data, 'train', 'blue', '1.jpg'))
      expect(await failing(['--data', data, '--out', out])).toContain(join('blue', '1.jpg'))
    })

    it('says that a batch is larger than the training set', async () => {
      const { data, out } = await pictures()
      const { code, stderr } = await runRecipe('transfer-resnet18', [
        '--data',
        data,
        '--out',
        out,
        '--batch-size',
        '64',
      ])
      expect(code).toBe(1)
      expect(stderr).toMatch(/64.*20/)
      expect(stderr).not.toMatch(stack)
    })

    it('names weights that are not there, or that are no weights', async () => {
      const { data, out } = await pictures()
      const missing = join(data, 'missing.pth')
      expect(await failing(['--data', data, '--out', out, '--weights', missing])).toContain(missing)
      const picture = join(data, 'weights.pth')
      await copyFile(join(data, 'val', 'red', '0.jpg'), picture)
      expect(await failing(['--data', data, '--out', out, '--weights', picture])).toContain(picture)
    })

    it('names devices that there are not', async () => {
      const { data, out } = await pictures()
      expect(await failing(['--data', data, '--out', out, '--device', 'abacus'])).toMatch(/abacus/)
    })

    it('says where it cannot write', async () => {
      const { data } = await pictures()
      await mkdir(join(data, 'folder'), { recursive: true })
      const inTheWay = join(data, 'train', 'red', '0.jpg')
      expect(await failing(['--data', data, '--out', inTheWay])).toContain(inTheWay)
    })
  })
})
