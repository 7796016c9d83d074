import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { describe, expect, it, vi } from 'vitest'
import {
  DataBunch,
  type FromFolderOptions,
  getTransforms,
  ImageDataBunch,
  ImageDataset,
  imagenetStats,
  transforms as T,
  TensorDataset,
} from '../../src/data/index.ts'
import { ConfigError, DataError } from '../../src/engine/errors.ts'
import { arange, manualSeed, type Tensor } from '../../src/engine/index.ts'
import { Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { applied, channel, draw, temporaryFolder, testPicture, toSharp, writePicture } from './pictures.ts'

const hymenoptera = fileURLToPath(new URL('../../../shared/data/hymenoptera_data', import.meta.url))
const fixture = JSON.parse(readFileSync(new URL('fixtures/transforms.json', import.meta.url), 'utf8'))

/** Ants are red, bees are yellow, a little different each; 12 for training, 7 for validation. */
async function insects({ train = 12, valid = 7, validName = 'val' } = {}): Promise<string> {
  const folder = temporaryFolder()
  const write = (part: string, count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, at) => {
        const name = at % 2 === 0 ? 'ants' : 'bees'
        const image = draw(20 + at, 16, (x) => [255, at % 2 === 0 ? 0 : 255, x + at])
        return writePicture(join(folder, part, name, `${String(at).padStart(2, '0')}.png`), image)
      }),
    )
  await Promise.all([write('train', train), write(validName, valid)])
  return folder
}

const targets = async (loader: AsyncIterable<{ y: Tensor }>) => {
  const all: number[] = []
  for await (const { y } of loader) all.push(...(y.toArray() as number[]))
  return all
}

describe('fromFolder', () => {
  it('has loaders as fastai has them', async () => {
    const data = await ImageDataBunch.fromFolder(await insects({ train: 23, valid: 7 }), {
      size: 8,
      batchSize: 5,
    })
    const sizes = async (loader: AsyncIterable<{ x: Tensor }>) => {
      const all: number[] = []
      for await (const { x } of loader) all.push(x.shape[0]!)
      return all
    }
    expect(await sizes(data.trainDl)).toEqual([5, 5, 5, 5])
    expect(await sizes(data.validDl!)).toEqual([5, 2])
    expect(await sizes(data.fixDl)).toEqual([5, 5, 5, 5, 3])
    expect(data.testDl).toBeNull()
    expect([data.classes, data.c, data.batchSize, data.device]).toEqual([['ants', 'bees'], 2, 5, 'cpu'])
    expect(data.lossFunction).toBe('crossEntropy')
    expect(String(data)).toMatch(/23 training pictures, 7 for validation; classes ants, bees; batch size 5/)
  })

  it('gives floats from 0 to 1, channels-last, without stats', async () => {
    const data = await ImageDataBunch.fromFolder(await insects(), { size: 8, batchSize: 4 })
    const { x, y } = await data.oneBatch('valid')
    expect([x.dtype, x.shape, x.strides]).toEqual(['float32', [4, 3, 8, 8], [192, 1, 24, 3]])
    expect(y.dtype).toBe('int64')
    const pixels = (x.toArray() as number[][][][]).map(([red, green]) => [red![3]![3], green![3]![3]])
    const labels = y.toArray() as number[]
    expect(pixels).toEqual(labels.map((label) => [1, label]))
  })

  it('normalises as torchvision does', async () => {
    const { mean, std, values } = fixture.normalized
    const folder = temporaryFolder()
    for (const part of ['train', 'valid']) {
      for (const name of ['a', 'b']) await writePicture(join(folder, part, name, '1.png'), testPicture())
    }
    const crop = T.centerCrop([2, 3])
    const ways: FromFolderOptions[] = [
      { transforms: { train: crop, valid: crop }, stats: { mean, std } },
      { transforms: { valid: T.compose([crop, T.toTensor(), T.normalize(mean, std)]) } },
    ]
    for (const options of ways) {
      const data = await ImageDataBunch.fromFolder(folder, { batchSize: 1, ...options })
      const { x } = await data.oneBatch('valid')
      expect(x.shape).toEqual([1, 3, 2, 3])
      const made = (x.toArray() as number[][][][]).flat(3)
      for (const [at, value] of made.entries()) expect(value).toBeCloseTo(values[at], 5)
      expect(data.stats).toEqual({ mean, std })
    }
  })

  it.each([
    ['cifar', 0.5, 0.0364],
    ['imagenet', 0.5, 0.0655],
  ])('grey comes out as fastai has it: %s', async (name, _, expected) => {
    const { cifarStats } = await import('../../src/data/stats.ts')
    const folder = temporaryFolder()
    for (const part of ['train/a', 'train/b', 'val/a']) {
      await writePicture(
        join(folder, part, '1.png'),
        draw(4, 4, () => [127, 127, 127]),
      )
    }
    const stats = name === 'cifar' ? cifarStats : imagenetStats
    const data = await ImageDataBunch.fromFolder(folder, { batchSize: 1, stats })
    const { x } = await data.oneBatch('valid')
    // 127 / 255 is 0.498, not quite the half of the figure
    expect(Math.abs((x.toArray() as number[][][][])[0]![0]![0]![0]! - expected)).toBeLessThan(0.01)
  })

  it('the same seed gives the same batches, whatever the number of workers', async () => {
    const folder = await insects()
    const run = async (workers: number, seed = 42) => {
      const data = await ImageDataBunch.fromFolder(folder, {
        size: 8,
        batchSize: 4,
        transforms: getTransforms(),
        seed,
        workers,
      })
      const all: unknown[] = []
      for (let epoch = 0; epoch < 2; epoch++) {
        for await (const { x, y } of data.trainDl) all.push([x.toArray(), y.toArray()])
      }
      return all
    }
    const expected = await run(0)
    expect(await run(1)).toEqual(expected)
    expect(await run(4)).toEqual(expected)
    expect(await run(4, 43)).not.toEqual(expected)
    // two epochs are augmented differently
    expect(expected.slice(0, 3)).not.toEqual(expected.slice(3))
  })

  it('fixDl shows the training pictures in order, untouched by augmentation', async () => {
    const folder = await insects()
    const data = await ImageDataBunch.fromFolder(folder, {
      size: 8,
      batchSize: 4,
      transforms: getTransforms(),
    })
    expect(await targets(data.fixDl)).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    const first = (await data.oneBatch('fix')).x.toArray()
    expect((await data.oneBatch('fix')).x.toArray()).toEqual(first)
  })

  it('batchSize can be changed', async () => {
    const data = await ImageDataBunch.fromFolder(await insects(), { size: 8, batchSize: 4, seed: 3 })
    data.batchSize = 6
    expect([data.trainDl.length, data.validDl!.length, data.batchSize]).toEqual([2, 2, 6])
    expect(data.trainDl.state().seed).toBe(3)
    expect(() => {
      data.batchSize = 13
    }).toThrow(DataError)
    expect(data.batchSize).toBe(6)
  })

  it('test pictures: with class folders, or without', async () => {
    const folder = await insects()
    const image = draw(9, 9, () => [1, 2, 3])
    await writePicture(join(folder, 'labelled/bees/1.png'), image)
    await writePicture(join(folder, 'plain/1.png'), image)
    const labelled = await ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4, test: 'labelled' })
    expect(await targets(labelled.testDl!)).toEqual([1])
    const plain = await ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4, test: 'plain' })
    expect((await plain.oneBatch('test')).x.shape).toEqual([1, 3, 8, 8])
  })
})

describe('cache', () => {
  const run = async (folder: string, options: FromFolderOptions) => {
    const data = await ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4, seed: 1, ...options })
    const epochs: unknown[] = []
    for (let epoch = 0; epoch < 3; epoch++) {
      for await (const { x, y } of data.trainDl) epochs.push([x.toArray(), y.toArray()])
      for await (const { x } of data.validDl!) epochs.push(x.toArray())
      for await (const { x } of data.fixDl) epochs.push(x.toArray())
    }
    return epochs
  }
  const transforms = { train: [T.randomHorizontalFlip(), T.randomLighting({ p: 1 })] }

  it('brings the same batches, epoch after epoch, and reads each file once', async () => {
    const folder = await insects()
    const expected = await run(folder, { transforms })
    expect(await run(folder, { transforms, cache: 'memory' })).toEqual(expected)
    // a cache that holds one picture of 8 x 8, and none of the others
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    expect(await run(folder, { transforms, cache: 200 })).toEqual(expected)
    expect(warned).toHaveBeenCalledTimes(1)
    expect(warned.mock.calls[0]![0]).toMatch(/the picture cache is full/)
    warned.mockRestore()
  })

  it('does not look at the files again', async () => {
    const folder = await insects()
    const data = await ImageDataBunch.fromFolder(folder, {
      size: 8,
      batchSize: 4,
      cache: 'memory',
      transforms,
    })
    const first = await targets(data.fixDl)
    rmSync(folder, { recursive: true })
    expect(await targets(data.fixDl)).toEqual(first)
    expect((await targets(data.trainDl)).length).toBe(12)
    await expect(targets(data.validDl!)).rejects.toThrow(DataError)
  })

  it.each([0, -5, 1.5, 'disk'])('%j is no size', async (cache) => {
    const made = ImageDataBunch.fromFolder(await insects(), { size: 8, batchSize: 4, cache: cache as never })
    await expect(made).rejects.toThrow(/cache is 'memory' or a number of bytes/)
  })
})

describe('sizes', () => {
  const shape = async (options: FromFolderOptions) => {
    const data = await ImageDataBunch.fromFolder(await insects(), { batchSize: 4, ...options })
    return [(await data.oneBatch()).x.shape.slice(2), (await data.oneBatch('valid')).x.shape.slice(2)]
  }

  it.each([
    [{ size: 8 }],
    [{ size: 8, resizeMethod: 'squish' }],
    [{ size: 8, resizeMethod: 'pad' }],
    [{ size: 8, transforms: getTransforms() }],
    [{ size: 8, resizeMethod: 'squish', transforms: getTransforms() }],
    [{ transforms: { train: T.randomResizedCrop(8) } }],
    [{ size: 8, transforms: { train: [T.randomResizedCrop(8), T.randomHorizontalFlip()] } }],
    [
      {
        transforms: {
          train: T.compose([T.resize([8, 8]), T.toTensor()]),
          valid: T.compose([T.resize(9), T.centerCrop(8)]),
        },
      },
    ],
  ] as [FromFolderOptions][])('%j', async (options) => {
    expect(await shape(options)).toEqual([
      [8, 8],
      [8, 8],
    ])
  })

  it('differ where training and validation each fix their own, or tell validation what training comes to', async () => {
    const sides = async (options: FromFolderOptions) => (await shape(options)).map(([height]) => height)
    const [crop, middle] = [T.randomResizedCrop(12), T.centerCrop(14)]
    expect(await sides({ transforms: { train: crop, valid: [T.resize(16), middle] } })).toEqual([12, 14])
    expect(await sides({ transforms: { train: [crop, T.pad(2)] } })).toEqual([16, 16])
    expect(await sides({ transforms: { train: [crop, T.resize(9)] } })).toEqual([9, 9])
    expect(await sides({ size: 16, transforms: { train: [crop, T.pad(2)] } })).toEqual([16, 16])
    expect(await sides({ size: 8, transforms: { train: T.pad(2) } })).toEqual([12, 8]) // before the transforms
  })

  it.each([
    [250, 1000],
    [1000, 250],
    [1, 40],
  ])('resizeMethod pad mirrors as often as a picture of %i x %i needs', async (height, width) => {
    const image = draw(width, height, (x, y) => [x % 256, y % 256, (x + y) % 256])
    const sources = new ImageDataset({ files: ['a'], images: [image], labels: [0], classes: ['a', 'b'] })
    const data = new ImageDataBunch(
      { train: sources, valid: null },
      { size: 48, resizeMethod: 'pad', batchSize: 1 },
    )
    const { x } = await data.oneBatch()
    expect(x.shape).toEqual([1, 3, 48, 48])
    const [pixels] = x.mul(255).round().toArray() as number[][][][]
    const shorter = Math.max(1, Math.round((48 * Math.min(height, width)) / Math.max(height, width)))
    const small = await applied(T.contain(48), image)
    // NumPy: np.pad(np.arange(n), before, mode='reflect') for n of 12, and of 1.
    const order = shorter === 1 ? () => 0 : (at: number) => 11 - Math.abs(((at - 18 + 220) % 22) - 11)
    for (const [c, plane] of pixels!.entries()) {
      const part = channel(small, c)
      for (let y = 0; y < 48; y++) {
        for (let x = 0; x < 48; x++) {
          const [row, column] = height < width ? [order(y), x] : [y, order(x)]
          if (plane[y]![x] !== part[row]![column]) throw new Error(`differs at ${c}, ${y}, ${x}`)
        }
      }
    }
  })

  it('[height, width]', async () => {
    expect(await shape({ size: [6, 10], transforms: getTransforms() })).toEqual([
      [6, 10],
      [6, 10],
    ])
  })

  it('that contradict one another, or are missing', async () => {
    const folder = await insects()
    const make = (options: FromFolderOptions) =>
      ImageDataBunch.fromFolder(folder, { batchSize: 4, ...options })
    await expect(make({ size: 8, transforms: { train: T.randomResizedCrop(9) } })).rejects.toThrow(
      /size is 8x8 .* but the transforms make pictures of 9x9/,
    )
    const padded = { train: [T.randomResizedCrop(8), T.pad(2)] }
    await expect(make({ size: 8, transforms: padded })).rejects.toThrow(
      /size is 8x8 .* but the transforms make pictures of 12x12/,
    )
    await expect((await make({})).oneBatch()).rejects.toThrow(
      /pictures of a batch must have one size, .* Pass size/,
    )
  })
})

describe('splits', () => {
  it('finds valid or val by itself', async () => {
    for (const validName of ['valid', 'val']) {
      const data = await ImageDataBunch.fromFolder(await insects({ validName }), { size: 8, batchSize: 4 })
      expect(data.validDs!.length).toBe(7)
    }
  })

  it('at random: pools all pictures, as fastai does', async () => {
    const folder = await insects({ train: 12, valid: 6 })
    const make = (seed: number) =>
      ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4, validPct: 0.2, seed })
    const data = await make(1)
    expect([data.trainDs.length, data.validDs!.length]).toEqual([15, 3])
    const files = async (seed: number) => {
      const { validDs } = await make(seed)
      return [0, 1, 2].map((index) => validDs!.describe!(index))
    }
    expect(await files(1)).toEqual(await files(1))
    expect(await files(1)).not.toEqual(await files(2))
  })

  it('at random, of a folder that holds the class folders itself', async () => {
    const folder = await insects()
    const data = await ImageDataBunch.fromFolder(join(folder, 'train'), {
      size: 8,
      batchSize: 4,
      validPct: 0.25,
    })
    expect([data.trainDs.length, data.validDs!.length]).toEqual([9, 3])
  })

  it('at random, beside folders that are no classes: what a Learner saves, logs, the test pictures', async () => {
    const folder = join(await insects(), 'train')
    const make = (options: FromFolderOptions = {}) =>
      ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4, validPct: 0.25, seed: 1, ...options })
    const before = await make()
    const learner = new Learner(before, new nn.Sequential(new nn.Flatten(), new nn.Linear(192, 2)))
    await learner.save('first')
    mkdirSync(join(folder, 'runs', 'monday'), { recursive: true })
    for (const data of [await make(), await make({ train: '.' })]) {
      expect(data.classes).toEqual(['ants', 'bees'])
      expect((data.validDs as ImageDataset).files.map((file) => basename(String(file)))).toEqual(
        (before.validDs as ImageDataset).files.map((file) => basename(String(file))),
      )
      expect(data.skippedFiles.foreign).toEqual({ '.safetensors': 1 })
    }
    await writePicture(join(folder, 'exam', 'bees', '1.png'), testPicture())
    expect((await make()).classes).toEqual(['ants', 'bees', 'exam'])
    expect((await make({ exclude: ['exam'] })).classes).toEqual(['ants', 'bees'])
    const tested = await make({ test: 'exam' })
    expect([tested.classes, tested.testDs!.length]).toEqual([['ants', 'bees'], 1])
    expect((await make()).classes).toEqual(['ants', 'bees', 'exam'])
  })

  it('without a seed follow from that of the engine', async () => {
    const folder = await insects()
    const run = async () => {
      manualSeed(5)
      const data = await ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4, validPct: 0.25 })
      return [data.validDs!.describe!(0), ...(await targets(data.trainDl))]
    }
    expect(await run()).toEqual(await run())
  })
})

describe('bad input', () => {
  const message = async (path: string, options: FromFolderOptions = {}) => {
    try {
      await ImageDataBunch.fromFolder(path, { size: 8, batchSize: 4, ...options })
    } catch (error) {
      expect(error).toBeInstanceOf(DataError)
      return (error as Error).message
    }
    throw new Error('no error')
  }

  it('no such folder', async () => {
    const path = join(temporaryFolder(), 'nowhere')
    expect(await message(path)).toMatch(new RegExp(`${path}: there is no such folder`))
  })

  it('no training or validation folder: says what there is and what to do', async () => {
    const folder = await insects({ validName: 'test' })
    expect(await message(folder)).toMatch(
      /expected the folders 'train' and 'valid' or 'val' .* found 'test', 'train'\. Name the folders .* validPct: 0\.2/,
    )
    expect(await message(join(folder, 'train'))).toMatch(/found 'ants', 'bees'/)
    expect(await message(folder, { valid: 'holdout' })).toMatch(/'train' and 'holdout'/)
  })

  it('a batch larger than the training set', async () => {
    expect(await message(await insects(), { batchSize: 64 })).toMatch(
      /a batch size of 64 is larger than the training set \(12 items\).*Choose batchSize <= 12/,
    )
  })

  it('one class only', async () => {
    const folder = temporaryFolder()
    await writePicture(join(folder, 'train/ants/1.png'), testPicture())
    mkdirSync(join(folder, 'val'))
    expect(await message(folder)).toMatch(/train: found one class only, 'ants'; .* further class$/)
    // Pooled too, of the folders or of their own folder.
    await writePicture(join(folder, 'val/ants/1.png'), testPicture())
    for (const dir of [folder, join(folder, 'train')])
      expect(await message(dir, { validPct: 0.5 })).toMatch(/found one class only, 'ants'; .* further class$/)
    await writePicture(join(folder, 'val/bees/1.png'), testPicture())
    const options = { validPct: 0.5, batchSize: 1, size: 8 }
    expect((await ImageDataBunch.fromFolder(folder, options)).classes).toEqual(['ants', 'bees'])
  })

  it('a class without pictures in a folder that is named, and no class at all beside it', async () => {
    const folder = await insects()
    mkdirSync(join(folder, 'train', 'wasps'))
    const text = /train\/wasps: the class folder holds no pictures/
    expect(await message(folder)).toMatch(text)
    expect(await message(folder, { validPct: 0.2 })).toMatch(text)
    const bare = temporaryFolder()
    mkdirSync(join(bare, 'models'))
    expect(await message(bare, { validPct: 0.2 })).toMatch(/none of the folders 'models' holds a picture/)
  })

  it('a class that only validation knows', async () => {
    const folder = await insects()
    await writePicture(join(folder, 'val/wasps/1.png'), testPicture())
    expect(await message(folder)).toMatch(
      /val: the class 'wasps' is not among the known classes 'ants', 'bees'/,
    )
    const data = await ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4, onError: 'skip' })
    expect(data.validDs!.length).toBe(7)
    expect(data.skippedFiles.unknownClasses).toEqual({ wasps: 1 })
  })

  it('a class that only the test pictures know, or leaves it out', async () => {
    const folder = await insects()
    for (const name of ['bees/1.png', 'wasps/1.png', 'wasps/2.png'])
      await writePicture(join(folder, 'test', name), testPicture())
    const options = { size: 8, batchSize: 4, validPct: 0.2, seed: 1, test: 'test' } as const
    rmSync(join(folder, 'val'), { recursive: true })
    await expect(ImageDataBunch.fromFolder(folder, options)).rejects.toThrow(
      /test: the class 'wasps' is not .* add the class to the training folder, or .* with onError: 'skip'$/,
    )
    const data = await ImageDataBunch.fromFolder(folder, { ...options, onError: 'skip' })
    expect(await targets(data.testDl!)).toEqual([1])
    await writePicture(join(folder, 'val/wasps/1.png'), testPicture())
    await writePicture(join(folder, 'val/ants/1.png'), testPicture())
    const { validPct: _, ...apart } = options
    const both = await ImageDataBunch.fromFolder(folder, { ...apart, onError: 'skip' })
    expect(both.skippedFiles.unknownClasses).toEqual({ wasps: 3 })
  })

  it('test folders none of which is a class, though they hold pictures', async () => {
    const folder = await insects()
    const options = { size: 8, batchSize: 4, test: 'test' } as const
    for (const name of ['Ants/1.png', 'Bees/2.png'])
      await writePicture(join(folder, 'test', name), testPicture())
    for (const onError of ['throw', 'skip'] as const) {
      expect(await message(folder, { ...options, onError })).toMatch(
        /test: none of the folders 'Ants', 'Bees' is among the known classes 'ants', 'bees'\. Name them .* without labels lie in the test folder itself/,
      )
    }
    // Beside pictures without labels as well.
    await writePicture(join(folder, 'test/3.png'), testPicture())
    expect(await message(folder, options)).toMatch(/none of the folders 'Ants', 'Bees' is/)
    const excluding = { ...options, exclude: ['Ants', 'Bees'] }
    const direct = await ImageDataBunch.fromFolder(folder, excluding)
    expect(await targets(direct.testDl!)).toEqual([0])
    const inner = await ImageDataBunch.fromFolder(folder, { ...options, test: 'test/Ants' })
    expect(await targets(inner.testDl!)).toEqual([0])
    mkdirSync(join(folder, 'test/Ants/notes'))
    const beside = await ImageDataBunch.fromFolder(folder, { ...options, test: 'test/Ants' })
    expect(beside.testDs!.length).toBe(1)
  })

  it('files that are no pictures: an error that names the file, or left out and listed', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const folder = await insects()
    writeFileSync(join(folder, 'train/ants/text.jpg'), 'this is text')
    writeFileSync(join(folder, 'train/bees/empty.jpg'), '')
    const whole = await toSharp(testPicture()).jpeg().toBuffer()
    writeFileSync(join(folder, 'val/bees/short.jpg'), whole.subarray(0, whole.length / 2))
    const strict = await ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4 })
    await expect(targets(strict.trainDl)).rejects.toThrow(/(text|empty)\.jpg: .*onError: 'skip'/)
    await expect(targets(strict.validDl!)).rejects.toThrow(/short\.jpg: the picture is cut short/)
    const lenient = await ImageDataBunch.fromFolder(folder, {
      size: 8,
      batchSize: 4,
      onError: 'skip',
      seed: 1,
    })
    expect((await targets(lenient.validDl!)).length).toBe(7)
    expect((await targets(lenient.fixDl)).length).toBe(12)
    await targets(lenient.trainDl)
    expect(lenient.skipped.map(({ item }) => item.split('/').at(-1)).sort()).toEqual([
      'empty.jpg',
      'short.jpg',
      'text.jpg',
    ])
    warned.mockRestore()
  })

  it('options that cannot be', async () => {
    const folder = await insects()
    const refuse = async (options: object, text: RegExp) => {
      const made = ImageDataBunch.fromFolder(folder, { batchSize: 4, ...options })
      await expect(made).rejects.toThrow(ConfigError)
      await expect(ImageDataBunch.fromFolder(folder, { batchSize: 4, ...options })).rejects.toThrow(text)
    }
    await refuse({ bs: 4 }, /unknown option bs/)
    await refuse({ transforms: T.compose([]) }, /pass \{ train, valid \}/)
    await refuse({ transforms: { training: [] } }, /unknown option training/)
    await refuse({ resizeMethod: 'stretch', size: 8 }, /'crop', 'pad', 'squish'/)
    await refuse({ validPct: 1.5 }, /validPct/)
    await refuse({ stats: { mean: [0.5], std: [0.5] } }, /three numbers each/)
    const pipeline = T.compose([T.resize(8), T.toTensor(), T.normalize([0, 0, 0], [1, 1, 1])])
    await refuse(
      { stats: imagenetStats, transforms: { train: pipeline, valid: pipeline } },
      /normalize already/,
    )
  })
})

describe('pipelines', () => {
  it('check their order', () => {
    expect(() => T.compose([T.normalize([0, 0, 0], [1, 1, 1])])).toThrow(/put toTensor\(\) before it/)
    expect(() => T.compose([T.toTensor(), T.resize(8)])).toThrow(/resize works on single pictures/)
    expect(() => T.compose([T.toTensor(), T.toTensor()])).toThrow(/twice/)
    expect(() => T.compose([T.resize as never])).toThrow(/the function resize; call it/)
  })

  it('nest', () => {
    const inner = T.compose([T.resize(8), T.centerCrop(8)])
    const outer = T.compose([inner, T.toTensor()])
    expect(outer.pictureSteps.map(({ name }) => name)).toEqual(['resize', 'centerCrop'])
    expect(outer.batchSteps.map(({ name }) => name)).toEqual(['toTensor'])
  })
})

describe('looking', () => {
  it('showBatch saves a picture', async () => {
    const data = await ImageDataBunch.fromFolder(await insects(), {
      size: 32,
      batchSize: 12,
      stats: imagenetStats,
      seed: 1,
    })
    const file = join(temporaryFolder(), 'batch.png')
    await (await data.showBatch({ rows: 2 })).save(file)
    const { width, height } = await sharp(file).metadata()
    expect(width).toBeGreaterThan(200)
    expect(height).toBeGreaterThan(200)
    expect(statSync(file).size).toBeGreaterThan(1000)
    // The normalising was undone: the colours drawn are there.
    const { data: pixels, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true })
    let coloured = 0
    for (let at = 0; at < pixels.length; at += info.channels) {
      if (pixels[at]! > 250 && pixels[at + 2]! < 60) coloured++
    }
    expect(coloured / (info.width * info.height)).toBeGreaterThan(0.3)
  })

  it('oneItem takes a file, its bytes, or decoded bytes', async () => {
    const folder = await insects()
    const data = await ImageDataBunch.fromFolder(folder, { size: 8, batchSize: 4, stats: imagenetStats })
    const file = join(folder, 'val/ants/00.png')
    const fromFile = await data.oneItem(file)
    expect(fromFile.x.shape).toEqual([1, 3, 8, 8])
    const first = (await data.oneBatch('valid')).x.index('0:1')
    expect(fromFile.x.toArray()).toEqual(first.toArray())
    expect((await data.oneItem(readFileSync(file))).x.toArray()).toEqual(first.toArray())
    expect((await data.oneItem(draw(9, 9, () => [0, 0, 0]))).x.shape).toEqual([1, 3, 8, 8])
    await expect(data.oneItem(join(folder, 'nothing.jpg'))).rejects.toThrow(DataError)
  })
})

describe('DataBunch.create', () => {
  it('of tensors', async () => {
    const train = new TensorDataset(arange(20).reshape([10, 2]), arange(10))
    const data = DataBunch.create(train, new TensorDataset(arange(6).reshape([3, 2]), arange(3)), {
      batchSize: 4,
    })
    expect((await targets(data.trainDl)).length).toBe(8)
    expect(await targets(data.validDl!)).toEqual([0, 1, 2])
    expect(await targets(data.fixDl)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect([data.classes, data.c, data.lossFunction]).toEqual([undefined, undefined, undefined])
  })

  it('without shuffling, or without validation data', async () => {
    const train = new TensorDataset(arange(20).reshape([10, 2]), arange(10))
    const data = DataBunch.create(train, null, { batchSize: 4, shuffle: false, dropLast: false })
    expect(await targets(data.trainDl)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(data.validDl).toBeNull()
    await expect(async () => data.oneBatch('valid')).rejects.toThrow(/no validation items/)
  })
})

describe.skipIf(!existsSync(hymenoptera))('ants and bees', () => {
  it('one epoch, augmented', async () => {
    const data = await ImageDataBunch.fromFolder(hymenoptera, {
      size: 64,
      batchSize: 16,
      transforms: getTransforms(),
      stats: imagenetStats,
      seed: 42,
    })
    expect((await targets(data.trainDl)).length).toBe(15 * 16)
    const labels = await targets(data.validDl!)
    expect(labels.length).toBe(153)
    expect(labels.filter((label) => label === 0).length).toBe(70)
    expect(data.skipped).toEqual([])
  })
})
