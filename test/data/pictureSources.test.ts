import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import sharp from 'sharp'
import { describe, expect, it, vi } from 'vitest'
import {
  cifar10,
  DataLoader,
  GanDataBunch,
  ImageDataBunch,
  ImageDataset,
  mnist,
  readIdx,
  transforms as T,
} from '../../src/data/index.ts'
import { ConfigError, DataError } from '../../src/engine/errors.ts'
import { manualSeed, type Tensor } from '../../src/engine/index.ts'
import { Learner, metrics } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { draw, ramp, temporaryFolder, writePicture } from './pictures.ts'

/** Ten pictures, each of one grey: 10, 20 … 100; cats are dark, dogs are bright. */
async function pets(): Promise<{ dir: string; names: string[] }> {
  const dir = temporaryFolder()
  const names = Array.from({ length: 10 }, (_, at) => `images/${at < 5 ? 'cat' : 'big_dog'}_${at}.png`)
  await Promise.all(
    names.map((name, at) =>
      writePicture(
        join(dir, name),
        draw(8, 6, () => Array(3).fill(10 * (at + 1))),
      ),
    ),
  )
  return { dir, names }
}
const settings = { size: 4, batchSize: 2, seed: 5, validPct: 0.2 }

/** The grey of each picture, and its target, of all loaders. */
async function contents(data: ImageDataBunch): Promise<Map<number, unknown>> {
  const all = new Map<number, unknown>()
  for (const loader of [data.fixDl, data.validDl!]) {
    for await (const { x, y } of loader) {
      const greys = (x.toArray() as number[][][][]).map((picture) => Math.round(picture[0]![0]![0]! * 255))
      for (const [at, target] of (y.toArray() as unknown[]).entries()) all.set(greys[at]!, target)
    }
  }
  return new Map([...all].sort(([a], [b]) => a - b))
}
const catsAndDogs = new Map(Array.from({ length: 10 }, (_, at) => [10 * (at + 1), at < 5 ? 1 : 0]))

describe('one label for each picture', () => {
  it('by lists, by a function, by a pattern, by a CSV file: the same data', async () => {
    const { dir, names } = await pets()
    const labelOf = (path: string) => (path.includes('cat') ? 'cat' : 'big_dog')
    const lines = names.map((name) => `${name.slice(7, -4)},${labelOf(name)}`)
    writeFileSync(join(dir, 'labels.csv'), `name,label\n${lines.join('\n')}\n`)
    const pattern = /\/([^/]+)_\d+\.png$/
    const made = await Promise.all([
      ImageDataBunch.fromLists(dir, names, names.map(labelOf), settings),
      ImageDataBunch.fromNameFunc(dir, names, labelOf, settings),
      ImageDataBunch.fromNameRegex(dir, names, pattern, settings),
      ImageDataBunch.fromNameRegex(dir, names, pattern.source, settings),
      ImageDataBunch.fromCsv(dir, { ...settings, folder: 'images', suffix: '.png' }),
    ])
    for (const data of made) {
      expect([data.classes, data.c, data.lossFunction]).toEqual([['big_dog', 'cat'], 2, 'crossEntropy'])
      expect([data.trainDs.length, data.validDs!.length]).toEqual([8, 2])
      expect(await contents(data)).toEqual(catsAndDogs)
      const files = (data.validDs as ImageDataset).files
      expect(files).toEqual((made[0]!.validDs as ImageDataset).files)
    }
  })

  it('labels that are numbers stand in the order of their values, texts in that of texts, as in fastai', async () => {
    const { dir, names } = await pets()
    const twice = [...names, ...names]
    const numbers = twice.map((_, at) => (at * 7) % 12)
    const { validPct: _, ...shared } = settings
    const rest = { ...shared, validIndices: [19] }
    const order = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11']
    const asTexts = order.toSorted()
    const lists = (labels: readonly (string | number)[]) => ImageDataBunch.fromLists(dir, twice, labels, rest)
    const data = await lists(numbers)
    expect(data.classes).toEqual(order)
    expect([...(data.trainDs as ImageDataset).labels]).toEqual(numbers.slice(0, 19))
    expect((await lists(numbers.map(String))).classes).toEqual(asTexts)
    expect((await lists([10, 9, ...numbers.slice(2).map(String)])).classes).toEqual(
      [...new Set(['10', '9', ...numbers.slice(2).map(String)])].sort(),
    )
    const several = await ImageDataBunch.fromLists(
      dir,
      twice,
      numbers.map((label) => [label, 100]),
      rest,
    )
    expect(several.classes).toEqual([...order, '100'])

    const numberOf = (path: string) => 3 * Math.min(8, Number(/\d+(?=\.png)/.exec(path)![0])) - 3
    const byFunction = await ImageDataBunch.fromNameFunc(dir, names, numberOf, { ...rest, validIndices: [9] })
    expect(byFunction.classes).toEqual(['-3', '0', '3', '6', '9', '12', '15', '18', '21'])

    const csv = async (labels: readonly unknown[], more: object = {}) => {
      writeFileSync(
        join(dir, 'labels.csv'),
        `name,label\n${twice.map((name, at) => `${name},${labels[at]}`).join('\n')}\n`,
      )
      return (await ImageDataBunch.fromCsv(dir, { ...rest, ...more })).classes
    }
    expect(await csv(numbers)).toEqual(order)
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue()
    expect(await csv(numbers.with(19, 3.5), { onError: 'skip' })).toEqual(asTexts)
    expect(warned.mock.calls[0]![0]).not.toMatch(/onError/)
    warned.mockRestore()
    expect(await csv(numbers.map((label) => (label === 3 ? 'three' : label)))).toEqual(
      asTexts.map((name) => (name === '3' ? 'three' : name)).sort(),
    )
    expect(await csv(numbers, { labelDelimiter: ' ' })).toEqual(asTexts)
  })

  it('finds the pictures by itself, and counts what it skips', async () => {
    const { dir } = await pets()
    writeFileSync(join(dir, 'images', 'notes.txt'), '')
    writeFileSync(join(dir, 'images', '.hidden.png'), '')
    const data = await ImageDataBunch.fromNameRegex(dir, /\/([^/]+)_\d+\.png$/, settings)
    expect(await contents(data)).toEqual(catsAndDogs)
    expect(data.skippedFiles).toMatchObject({ hidden: 1, foreign: { '.txt': 1 } })
    const byFunction = await ImageDataBunch.fromNameFunc(
      dir,
      (path) => Number(path.includes('cat')),
      settings,
    )
    expect(byFunction.classes).toEqual(['0', '1'])
  })

  it('a chosen split, and a column that says so', async () => {
    const { dir, names } = await pets()
    const labels = names.map((_, at) => at % 2)
    const { validPct: _, ...rest } = settings
    const data = await ImageDataBunch.fromLists(dir, names, labels, { ...rest, validIndices: [3, 0] })
    expect((data.validDs as ImageDataset).files).toEqual([join(dir, names[0]!), join(dir, names[3]!)])
    const lines = names.map((name, at) => `${at < 2 ? 'true' : 'false'};${at % 2};${name}`)
    writeFileSync(join(dir, 'list.csv'), lines.join('\n'))
    const columns = {
      csv: 'list.csv',
      header: false,
      separator: ';',
      fileColumn: 2,
      labelColumn: 1,
      validColumn: 0,
    }
    const listed = await ImageDataBunch.fromCsv(dir, { ...rest, ...columns })
    expect((listed.validDs as ImageDataset).files).toEqual(names.slice(0, 2).map((name) => join(dir, name)))
  })

  it('labels that only validation knows, rows without a label, pictures that are none: file and row, or left out and listed', async () => {
    const { dir, names } = await pets()
    const rows = names.map((name, at) => `${name},${at === 9 ? 'fish' : at % 2},${at > 6}`)
    rows[2] = `${names[2]},,false`
    rows[4] = 'images/broken.png,0,false'
    writeFileSync(join(dir, 'images', 'broken.png'), 'no picture')
    writeFileSync(join(dir, 'labels.csv'), `name,label,valid\n${rows.join('\n')}\nodd,row\n`)
    const { validPct: _, ...rest } = settings
    const options = { ...rest, batchSize: 1, validColumn: 'valid' }
    const csv = (text: string) => writeFileSync(join(dir, 'labels.csv'), text)
    await expect(ImageDataBunch.fromCsv(dir, options)).rejects.toThrow(
      /labels\.csv, line 12: the row has 2 fields/,
    )
    csv(`name,label,valid\n${rows.join('\n')}\n`)
    await expect(ImageDataBunch.fromCsv(dir, options)).rejects.toThrow(
      /labels\.csv, line 4: the row has no label/,
    )
    csv(`name,label,valid\n${rows.with(2, `${names[2]},1,false`).join('\n')}\n`)
    await expect(ImageDataBunch.fromCsv(dir, options)).rejects.toThrow(
      /big_dog_9\.png \(.*labels\.csv, line 11\): the label 'fish' is not among the classes '0', '1'/,
    )
    await expect(ImageDataBunch.fromCsv(dir, { ...options, labelColumn: 'lable' })).rejects.toThrow(
      /no column 'lable'; the columns are 'name', 'label', 'valid'/,
    )

    csv(`name,label,valid\n${rows.join('\n')}\nodd,row\n`)
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const data = await ImageDataBunch.fromCsv(dir, { ...options, onError: 'skip' })
    for await (const _ of data.trainDl);
    for await (const _ of data.fixDl);
    const lines = data.skipped.map(({ reason }) => /line (\d+)/.exec(reason)?.[1])
    expect(lines.sort()).toEqual(['11', '12', '4', '6'])
    expect(data.skipped.find(({ reason }) => reason.includes('line 6'))?.reason).toMatch(
      /broken\.png.*no picture/,
    )
    warn.mockRestore()
    expect(data.validDs!.length).toBe(2)
  })

  it('a chosen split of a file is not shifted by rows that are left out', async () => {
    const { dir, names } = await pets()
    const rows = names.map((name, at) => `${name},${at % 2},${[0, 6, 7].includes(at)}`)
    const { validPct: _, ...rest } = settings
    const options = { ...rest, onError: 'skip', batchSize: 1 } as const
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    for (const header of [true, false]) {
      const broken = rows.with(1, 'only,two').with(3, `${names[3]},,true`).with(7, `${names[7]},fish,true`)
      writeFileSync(join(dir, 'labels.csv'), `${header ? 'name,label,valid\n' : ''}${broken.join('\n')}\n`)
      for (const split of [{ validIndices: [7, 6, 3, 1, 0] }, { validColumn: 2 }]) {
        const data = await ImageDataBunch.fromCsv(dir, { ...options, ...split, header })
        expect((data.validDs as ImageDataset).files).toEqual([0, 6].map((at) => join(dir, names[at]!)))
        expect((data.trainDs as ImageDataset).files).toEqual(
          [2, 4, 5, 8, 9].map((at) => join(dir, names[at]!)),
        )
        expect(data.skipped.map(({ index }) => index)).toEqual([1, 3, 7])
      }
      const beyond = ImageDataBunch.fromCsv(dir, { ...options, validIndices: [10], header })
      await expect(beyond).rejects.toThrow(/10 is no picture; they are counted from 0 to 9/)
    }
    warn.mockRestore()
  })

  it('refuses what cannot be', async () => {
    const { dir, names } = await pets()
    const all = (labels: never) => ImageDataBunch.fromLists(dir, names, labels, settings)
    await expect(all([1] as never)).rejects.toThrow(/10 files, but 1 labels/)
    await expect(all(names.map(() => 'same') as never)).rejects.toThrow(/same label, 'same'/)
    await expect(ImageDataBunch.fromNameRegex(dir, /nothing/, settings)).rejects.toThrow(
      /finds no label in this path/,
    )
    await expect(ImageDataBunch.fromNameFunc(dir, () => undefined as never, settings)).rejects.toThrow(
      DataError,
    )
    await expect(ImageDataBunch.fromNameFunc(dir, 'cat' as never, settings)).rejects.toThrow(ConfigError)
    await expect(ImageDataBunch.fromCsv(dir, settings)).rejects.toThrow(/labels\.csv: there is no such file/)
    const odd = { ...settings, validIndices: [1] }
    await expect(ImageDataBunch.fromLists(dir, names, names, odd)).rejects.toThrow(/exclude each other/)
  })
})

describe('several labels for each picture', () => {
  it('space-separated become rows of zeros and ones', async () => {
    const { dir, names } = await pets()
    const words = [
      'clear',
      'clear road',
      'road water',
      '',
      'water',
      'clear',
      'road',
      'water clear',
      'clear',
      'road',
    ]
    const rows = names.map((name, at) => `${name},${words[at]},${at > 7}`)
    writeFileSync(join(dir, 'labels.csv'), `name,tags,valid\n${rows.join('\n')}\n`)
    const { validPct: _, ...rest } = settings
    const data = await ImageDataBunch.fromCsv(dir, { ...rest, labelDelimiter: ' ', validColumn: 'valid' })
    expect([data.classes, data.lossFunction]).toEqual([
      ['clear', 'road', 'water'],
      'binaryCrossEntropyWithLogits',
    ])
    const { y } = await data.oneBatch()
    expect([y.dtype, y.shape]).toEqual(['float32', [2, 3]])
    const found = [...(await contents(data)).values()]
    const expected = words.map((text) => data.classes.map((name) => Number(text.split(' ').includes(name))))
    expect(found).toEqual(expected)
    await (await data.showBatch({ rows: 2 })).save(join(dir, 'batch.png'))
  })

  it('can be learned from', async () => {
    manualSeed(1)
    const { dir, names } = await pets()
    const labels = names.map((_, at) => (at < 5 ? ['dark', 'any'] : ['any']))
    const { validPct: _, ...rest } = settings
    const data = await ImageDataBunch.fromLists(dir, names, labels, { ...rest, validIndices: [0, 9] })
    const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(48, 2))
    const learner = new Learner(data, model, {
      metrics: [metrics.named('right', metrics.accuracyThreshold())],
      silent: true,
      path: dir,
    })
    await learner.fit(30, { lr: 0.05 })
    expect((await learner.validate()).right).toBe(1)
  })
})

describe('masks', () => {
  const classes = Array.from({ length: 61 }, (_, at) => String(at))

  /** A picture whose red is the value of its mask at the same place. */
  async function marked(): Promise<ImageDataset> {
    const dir = temporaryFolder()
    const value = (x: number, y: number) => Math.floor(x / 8) * 10 + Math.floor(y / 8)
    await writePicture(
      join(dir, 'picture.png'),
      draw(48, 40, (x, y) => [value(x, y), 0, 255]),
    )
    const grey = Uint8Array.from({ length: 48 * 40 }, (_, at) => value(at % 48, Math.floor(at / 48)))
    await sharp(grey, { raw: { width: 48, height: 40, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(join(dir, 'mask.png'))
    return new ImageDataset({
      files: [join(dir, 'picture.png')],
      labels: [],
      masks: [join(dir, 'mask.png')],
      classes,
    })
  }

  it('come as class indices', async () => {
    const { x, y } = await new DataLoader(await marked(), { batchSize: 1, seed: 0 }).first()
    expect([y.dtype, y.shape]).toEqual(['int64', [1, 40, 48]])
    const red = (x as Tensor).index(':', 0).toArray()
    expect(y.toArray()).toEqual(red)
  })

  it.each([
    ['flips and quarter turns', [T.randomDihedral()]],
    ['windows', [T.randomCrop(20)]],
    ['padding', [T.pad(3, { paddingMode: 'reflect' }), T.randomHorizontalFlip()]],
  ])('move with the picture: %s', async (_, transform) => {
    const dataset = (await marked()).withTransform(transform)
    for (let seed = 0; seed < 6; seed++) {
      const { x, y } = await new DataLoader(dataset, { batchSize: 1, seed }).first()
      expect(y.toArray()).toEqual((x as Tensor).index(':', 0).toArray())
    }
  })

  it('keep their values where pictures are mixed, and are not lit', async () => {
    const steps = [
      T.randomRotate({ p: 1 }),
      T.randomZoom({ p: 1 }),
      T.randomResizedCrop(32),
      T.randomLighting({ p: 1 }),
    ]
    const dataset = (await marked()).withTransform(steps.slice(0, 3))
    const values = new Set([0, 1, 2, 3, 4, 5].flatMap((x) => [0, 1, 2, 3, 4].map((y) => x * 10 + y)))
    for (let seed = 0; seed < 6; seed++) {
      const { x, y } = await new DataLoader(dataset, { batchSize: 1, seed }).first()
      const mask = (y.flatten().toArray() as number[]).map(Number)
      expect(mask.every((value) => values.has(value))).toBe(true)
      // Only at the borders of the fields does the mixed picture differ.
      const red = (x as Tensor).index(':', 0).flatten().toArray() as number[]
      const same = mask.filter((value, at) => Math.abs(value - red[at]!) <= 1).length
      expect(same / mask.length).toBeGreaterThan(0.6)
      const lit = await new DataLoader((await marked()).withTransform(steps), { batchSize: 1, seed }).first()
      expect(lit.y.toArray()).toEqual(y.toArray())
    }
  })

  it('keep small values of 16-bit files, and refuse large ones and colours', async () => {
    const dir = temporaryFolder()
    const picture = await writePicture(join(dir, 'picture.png'), ramp(2))
    const mask = async (name: string, values: number[]) => {
      const raw = { width: 2, height: 2, channels: 1 } as const
      await sharp(Uint16Array.from(values), { raw })
        .toColourspace('grey16')
        .png({ bitdepth: 16 } as object)
        .toFile(join(dir, name))
      return join(dir, name)
    }
    const read = (file: string) =>
      new DataLoader(
        new ImageDataset({ files: [picture], masks: [file], labels: [], classes: ['a', 'b', 'c'] }),
      ).first()
    const { y } = await read(await mask('small.png', [0, 2, 1, 2]))
    expect((y.flatten().toArray() as number[]).map(Number)).toEqual([0, 2, 1, 2])
    await expect(read(await mask('large.png', [0, 2, 1, 256]))).rejects.toThrow(
      /large\.png: a mask holds the value 256/,
    )
    const red = draw(2, 2, () => [1, 0, 0])
    await expect(read(await writePicture(join(dir, 'red.png'), red))).rejects.toThrow(
      /red\.png: .*has colours/,
    )
  })

  it('keep whole numbers of files with 32 bits, and refuse others', async () => {
    const dir = temporaryFolder()
    const picture = await writePicture(join(dir, 'picture.png'), ramp(2))
    // An uncompressed grey TIFF: numbers without a sign (1), with one (2), or floating (3).
    const mask = (
      name: string,
      values: Int16Array | Int32Array | Uint32Array | Float32Array,
      format: number,
    ) => {
      const entries = [
        [256, 2],
        [257, 2],
        [258, values.BYTES_PER_ELEMENT * 8],
        [259, 1],
        [262, 1],
        [273, 122],
        [277, 1],
        [279, values.byteLength],
        [339, format],
      ] as const
      const head = Buffer.alloc(122)
      head.write('II*\0\x08\0\0\0', 'latin1')
      head.writeUInt16LE(entries.length, 8)
      for (const [at, [tag, value]] of entries.entries()) {
        head.writeUInt16LE(tag, 10 + at * 12)
        head.writeUInt16LE(4, 12 + at * 12)
        head.writeUInt32LE(1, 14 + at * 12)
        head.writeUInt32LE(value, 18 + at * 12)
      }
      writeFileSync(join(dir, name), Buffer.concat([head, Buffer.from(values.buffer)]))
      return join(dir, name)
    }
    const read = async (file: string) => {
      const classes = Array.from({ length: 256 }, (_, at) => String(at))
      const { y } = await new DataLoader(
        new ImageDataset({ files: [picture], masks: [file], labels: [], classes }),
      ).first()
      return (y.flatten().toArray() as number[]).map(Number)
    }
    const good = [0, 2, 255, 7]
    expect(await read(mask('a.tif', Int16Array.from(good), 2))).toEqual(good)
    expect(await read(mask('b.tif', Int32Array.from(good), 2))).toEqual(good)
    expect(await read(mask('c.tif', Uint32Array.from(good), 1))).toEqual(good)
    expect(await read(mask('d.tif', Float32Array.from(good), 3))).toEqual(good)
    const bad: [string, RegExp][] = [
      [mask('e.tif', Int32Array.of(0, 2, 300, 1), 2), /e\.tif: a mask holds the value 300/],
      [mask('f.tif', Int32Array.of(0, 2, -1, 1), 2), /f\.tif: a mask holds the value -1/],
      [mask('g.tif', Uint32Array.of(0, 70000, 1, 1), 1), /the value 70000/],
      [mask('h.tif', Float32Array.of(0, 2.5, 1, 1), 3), /the value 2.5/],
      [mask('i.tif', Float32Array.of(0, Number.NaN, 1, 1), 3), /the value NaN/],
      [mask('j.tif', Int16Array.of(0, 2, -4, 1), 2), /the value -4/],
    ]
    for (const [file, message] of bad) await expect(read(file)).rejects.toThrow(message)
  })

  it('must fit their pictures and classes', async () => {
    const { files, masks } = await marked()
    const few = new ImageDataset({ files, masks: masks!, labels: [], classes: ['a', 'b'] })
    await expect(new DataLoader(few).first()).rejects.toThrow(
      /mask\.png: the mask holds the value \d+, but there are 2 classes/,
    )
    const small = await writePicture(join(temporaryFolder(), 'small.png'), ramp(4))
    const unlike = new ImageDataset({ files, masks: [small], labels: [], classes })
    await expect(new DataLoader(unlike).first()).rejects.toThrow(
      /small\.png: the mask is 4x4, but its picture .*48x40/,
    )
  })
})

describe('cifar10', () => {
  /** Records of the binary form: the label, then planes of red, green and blue. */
  const batch = (labels: number[]) =>
    Buffer.concat(
      labels.map((label) =>
        Buffer.concat([
          Buffer.of(label),
          Buffer.alloc(1024, 10 * label),
          Buffer.alloc(1024, 1),
          Buffer.alloc(1024, 2),
        ]),
      ),
    )

  function binary(): string {
    const dir = temporaryFolder()
    const folder = join(dir, 'cifar-10-batches-bin')
    mkdirSync(folder)
    for (let part = 1; part <= 5; part++)
      writeFileSync(join(folder, `data_batch_${part}.bin`), batch([part, 0]))
    writeFileSync(join(folder, 'test_batch.bin'), batch([9, 3, 7]))
    return dir
  }

  it('from the binary form', async () => {
    const data = await cifar10(binary(), { batchSize: 5, seed: 1 })
    expect([data.trainDs.length, data.validDs!.length, data.c]).toEqual([10, 3, 10])
    const { x, y } = await data.oneBatch('valid')
    expect([x.shape, y.toArray()]).toEqual([
      [3, 3, 32, 32],
      [9, 3, 7],
    ])
    const [red, green, blue] = (x.toArray() as number[][][][])[0]!.map((plane) => plane[31]![5]!)
    expect(red).toBeCloseTo((90 / 255 - 0.491) / 0.247, 5)
    expect(green).toBeCloseTo((1 / 255 - 0.482) / 0.243, 5)
    expect(blue).toBeCloseTo((2 / 255 - 0.447) / 0.261, 5)
    expect(data.classes[(y.toArray() as number[])[0]!]).toBe('truck')
  })

  it('from folders of pictures', async () => {
    const dir = temporaryFolder()
    for (const part of ['train', 'test']) {
      for (const name of ['bird', 'cat'])
        await writePicture(
          join(dir, part, name, '1.png'),
          draw(32, 32, () => [1, 2, 3]),
        )
    }
    const data = await cifar10(dir, { batchSize: 1 })
    expect([data.trainDs.length, data.validDs!.length, data.classes]).toEqual([2, 2, ['bird', 'cat']])
    expect((await data.oneBatch('valid')).x.shape).toEqual([1, 3, 32, 32])
  })

  it('names files that are cut short, and folders that hold something else', async () => {
    const dir = binary()
    const file = join(dir, 'cifar-10-batches-bin', 'data_batch_3.bin')
    writeFileSync(file, batch([1]).subarray(0, 3000))
    await expect(cifar10(dir)).rejects.toThrow(
      /data_batch_3\.bin: the file has 3000 bytes, which is no multiple of 3073/,
    )
    writeFileSync(file, batch([1, 17]))
    await expect(cifar10(dir)).rejects.toThrow(/data_batch_3\.bin, picture 1: the label is 17/)
    await expect(cifar10(temporaryFolder())).rejects.toThrow(/this is not CIFAR-10/)
  })
})

describe('IDX files', () => {
  const header = (type: number, shape: number[]) => {
    const bytes = Buffer.alloc(4 + 4 * shape.length)
    bytes.set([0, 0, type, shape.length])
    for (const [at, size] of shape.entries()) bytes.writeUInt32BE(size, 4 + 4 * at)
    return bytes
  }
  const idx = (type: number, shape: number[], body: Buffer) => Buffer.concat([header(type, shape), body])

  it('of every type, packed or not', async () => {
    const dir = temporaryFolder()
    const float = Buffer.alloc(8)
    float.writeFloatBE(1.5, 0)
    float.writeFloatBE(-2, 4)
    const cases: [Buffer, number[]][] = [
      [idx(8, [3], Buffer.of(1, 2, 255)), [1, 2, 255]],
      [idx(9, [2], Buffer.of(1, 255)), [1, -1]],
      [idx(11, [2], Buffer.of(1, 0, 255, 254)), [256, -2]],
      [idx(12, [1], Buffer.of(0, 1, 0, 0)), [65536]],
      [idx(13, [2], float), [1.5, -2]],
    ]
    for (const [bytes, values] of cases) {
      for (const content of [bytes, gzipSync(bytes)]) {
        const file = join(dir, 'file')
        writeFileSync(file, content)
        expect(Array.from((await readIdx(file)).data)).toEqual(values)
      }
    }
  })

  it('MNIST: four files, grey as three channels', async () => {
    const dir = temporaryFolder()
    const write = (part: string, labels: number[], pack: (bytes: Buffer) => Buffer) => {
      const pixels = Buffer.concat(labels.map((label) => Buffer.alloc(6, label * 20)))
      writeFileSync(join(dir, `${part}-images-idx3-ubyte.gz`), pack(idx(8, [labels.length, 2, 3], pixels)))
      writeFileSync(join(dir, `${part}-labels-idx1-ubyte`), idx(8, [labels.length], Buffer.from(labels)))
    }
    write('train', [5, 0, 4, 1], gzipSync)
    write('t10k', [7, 2], gzipSync)
    const data = await mnist(dir, { batchSize: 2, seed: 1 })
    expect([data.trainDs.length, data.c]).toEqual([4, 8])
    const { x, y } = await data.oneBatch('valid')
    expect([x.shape, y.toArray()]).toEqual([
      [2, 3, 2, 3],
      [7, 2],
    ])
    for (const plane of (x.toArray() as number[][][][])[0]!) {
      expect(plane[1]![2]).toBeCloseTo((140 / 255 - 0.131) / 0.308, 5)
    }
    writeFileSync(join(dir, 't10k-labels-idx1-ubyte'), idx(8, [1], Buffer.of(1)))
    await expect(mnist(dir)).rejects.toThrow(/expected pictures \[N, H, W\] and as many labels/)
  })

  it('MNIST of pictures that are no bytes, or labels that are no classes', async () => {
    const dir = temporaryFolder()
    const write = (name: string, bytes: Buffer) => writeFileSync(join(dir, name), bytes)
    for (const part of ['train', 't10k']) {
      write(`${part}-images-idx3-ubyte`, idx(8, [2, 1, 1], Buffer.of(1, 2)))
      write(`${part}-labels-idx1-ubyte`, idx(8, [2], Buffer.of(0, 1)))
    }
    expect((await mnist(dir, { batchSize: 1 })).c).toBe(2)
    for (const label of [-1, 70_000]) {
      const body = Buffer.alloc(8)
      body.writeInt32BE(label, 4)
      write('t10k-labels-idx1-ubyte', idx(12, [2], body))
      await expect(mnist(dir)).rejects.toThrow(
        new RegExp(`t10k-labels-idx1-ubyte: label 1 is ${label}; labels are whole numbers from 0`),
      )
    }
    write('t10k-labels-idx1-ubyte', idx(12, [2], Buffer.of(0, 0, 0, 0, 0, 0, 0, 2)))
    expect((await mnist(dir, { batchSize: 1 })).c).toBe(3)
    // 300 and 511 would be 44 and 255.
    write('train-images-idx3-ubyte', idx(11, [2, 1, 1], Buffer.of(1, 44, 1, 255)))
    await expect(mnist(dir)).rejects.toThrow(DataError)
    await expect(mnist(dir)).rejects.toThrow(
      /train-images-idx3-ubyte: expected pictures of bytes .* Int16Array/,
    )
  })

  it('of as many pictures as EMNIST has', async () => {
    const dir = temporaryFolder()
    const count = 145_600
    for (const [part, length] of [
      ['train', count],
      ['t10k', 1],
    ] as const) {
      writeFileSync(join(dir, `${part}-images-idx3-ubyte`), idx(8, [length, 1, 1], Buffer.alloc(length)))
      writeFileSync(join(dir, `${part}-labels-idx1-ubyte`), idx(8, [length], Buffer.alloc(length, 25)))
    }
    const data = await mnist(dir, { batchSize: 1 })
    expect([data.trainDs.length, data.c]).toEqual([count, 26])
  })

  it.each([
    ['other bytes', Buffer.from('hello, world'), /this is no IDX file/],
    ['nothing', Buffer.alloc(0), /this is no IDX file/],
    ['too few', idx(8, [9], Buffer.of(1, 2)), /cut short or damaged: \[9\] needs 17 bytes, but it has 10/],
    ['a broken gzip', gzipSync(Buffer.alloc(99)).subarray(0, 15), /cut short or damaged/],
  ])('refuses %s', async (_, bytes, message) => {
    const file = join(temporaryFolder(), 'bad')
    writeFileSync(file, bytes)
    await expect(readIdx(file)).rejects.toThrow(message)
    await expect(readIdx(file)).rejects.toThrow(file)
  })
})

describe('GanDataBunch', () => {
  it.each([8, [8, 8] as const])('cuts the middle out, size %j', async (size) => {
    const dir = temporaryFolder()
    // Only what is cut off is not black.
    await writePicture(
      join(dir, '0.png'),
      draw(24, 8, (x) => (x < 8 || x >= 16 ? [255, 255, 255] : [0, 0, 0])),
    )
    const data = await GanDataBunch.fromFolder(dir, { size, noise: 1, batchSize: 1, seed: 1 })
    expect((await data.oneBatch()).y.max().item()).toBe(-1)
  })

  it('noise as input, pictures from -1 to 1 as target, the same for any number of workers', async () => {
    const dir = temporaryFolder()
    await Promise.all(
      Array.from({ length: 8 }, (_, at) =>
        writePicture(
          join(dir, 'any', `${at}.png`),
          draw(10, 8, (x) => [x < 5 ? 0 : 255, 51, 255]),
        ),
      ),
    )
    const made: unknown[] = []
    for (const workers of [0, 1, 4]) {
      const data = await GanDataBunch.fromFolder(dir, { size: 8, noise: 64, batchSize: 4, seed: 3, workers })
      const { x, y } = await data.oneBatch()
      expect([x.shape, y.shape]).toEqual([
        [4, 64, 1, 1],
        [4, 3, 8, 8],
      ])
      expect([y.min().item(), y.max().item()]).toEqual([-1, 1])
      expect(y.index(0, 1, 0, 0).item()).toBeCloseTo(-0.6, 5)
      expect(Math.abs(x.mean().item())).toBeLessThan(0.25)
      expect(Math.abs(x.std().item() - 1)).toBeLessThan(0.2)
      made.push([x.toArray(), y.toArray()])
    }
    expect(made[1]).toEqual(made[0])
    expect(made[2]).toEqual(made[0])
  })
})

it('a link to itself and to the folder above do not hang the search', async () => {
  const { dir } = await pets()
  symlinkSync('loop', join(dir, 'loop'))
  symlinkSync('..', join(dir, 'images', 'up'))
  const data = await ImageDataBunch.fromNameRegex(dir, /\/([^/]+)_\d+\.png$/, settings)
  expect(data.trainDs.length + data.validDs!.length).toBe(10)
  expect(data.skippedFiles.unusable).toBeGreaterThan(0)
})
