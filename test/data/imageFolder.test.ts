import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { torchvisionExtensions } from '../../src/data/image/extensions.ts'
import { ImageDataset } from '../../src/data/image/ImageDataset.ts'
import { ImageFolder } from '../../src/data/image/ImageFolder.ts'
import { RandomStream } from '../../src/data/random.ts'
import { sortedByValue, sortedLabels } from '../../src/data/sortedLabels.ts'
import { centerCrop } from '../../src/data/transforms/crop.ts'
import { resize } from '../../src/data/transforms/resize.ts'
import { DataError } from '../../src/engine/errors.ts'
import { draw, temporaryFolder, writePicture } from './pictures.ts'

const hymenoptera = fileURLToPath(new URL('../../../shared/data/hymenoptera_data', import.meta.url))
const random = new RandomStream({ seed: 0 })

/** Empty files of these names; listing does not look into them. */
function folderOf(...names: string[]): string {
  const folder = temporaryFolder()
  for (const name of names) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), '')
  }
  return folder
}

const names = (folder: ImageFolder) => folder.files.map((file) => String(file).slice(folder.path.length + 1))

describe('listing', () => {
  it('classes and files are in the order of their names, folders below count', () => {
    const folder = new ImageFolder(
      folderOf('bees/b.jpg', 'bees/a.png', 'ants/10.jpg', 'ants/9.jpg', 'ants/more/1.jpg', 'ants/Z.jpg'),
    )
    expect(folder.classes).toEqual(['ants', 'bees'])
    expect(names(folder)).toEqual([
      'ants/10.jpg',
      'ants/9.jpg',
      'ants/Z.jpg',
      'ants/more/1.jpg',
      'bees/a.png',
      'bees/b.jpg',
    ])
    expect([...folder.labels]).toEqual([0, 0, 0, 0, 1, 1])
    expect(folder.length).toBe(6)
  })

  it('classes and files are in the order of Python’s sorted, beyond UTF-16 too', () => {
    // sorted(['😀', 'ﬀ', 'z', '😀a', '\ue000', 'é', '𝔸'])
    const sorted = ['z', 'é', '\ue000', 'ﬀ', '𝔸', '😀', '😀a']
    const folder = new ImageFolder(folderOf(...[...sorted].reverse().map((name) => `${name}/1.jpg`)))
    expect(folder.classes).toEqual(sorted)
    const files = sorted.map((name) => `a/${name}.jpg`)
    expect(names(new ImageFolder(folderOf('b/1.jpg', ...[...files].reverse())))).toEqual([
      ...files,
      'b/1.jpg',
    ])
    expect(sortedLabels([...sorted].reverse())).toEqual(sorted)
    expect(sortedByValue(['1', '01', '0'])).toEqual(['0', '01', '1'])
  })

  it('knows pictures by their endings, in capitals too', () => {
    const endings = ['jpg', 'JPG', 'jpeg', 'png', 'webp', 'gif', 'tif', 'tiff', 'avif', 'Jpeg']
    const folder = new ImageFolder(folderOf('b/1.jpg', ...endings.map((ending, at) => `a/${at}.${ending}`)))
    expect(folder.length).toBe(endings.length + 1)
  })

  it('skips and counts hidden and foreign files', () => {
    const folder = new ImageFolder(
      folderOf(
        'a/1.jpg',
        'b/1.jpg',
        'a/notes.txt',
        'a/Notes.TXT',
        'a/README',
        'a/.DS_Store',
        'a/._1.jpg',
        '.cache/1.jpg',
        'labels.csv',
        'b/.hidden/2.jpg',
      ),
    )
    expect(names(folder)).toEqual(['a/1.jpg', 'b/1.jpg'])
    expect(folder.skippedFiles).toEqual({
      hidden: 4,
      foreign: { '.txt': 2, '': 1, '.csv': 1 },
      unusable: 0,
      unknownClasses: {},
    })
  })

  it('takes other endings if told so', () => {
    const path = folderOf('a/1.jpg', 'a/2.gif', 'b/1.jpg')
    const folder = new ImageFolder(path, { extensions: ['gif', '.JPG'] })
    expect(folder.length).toBe(3)
    const torchvision = new ImageFolder(path, { extensions: torchvisionExtensions })
    expect(torchvision.length).toBe(2)
    expect(torchvision.skippedFiles.foreign).toEqual({ '.gif': 1 })
  })

  it('follows links, but not in circles', () => {
    const path = folderOf('a/1.jpg', 'b/1.jpg', 'b/deep/2.jpg')
    symlinkSync(join(path, 'b'), join(path, 'b', 'deep', 'again'))
    symlinkSync(join(path, 'a', '1.jpg'), join(path, 'a', 'linked.jpg'))
    symlinkSync(join(path, 'gone.jpg'), join(path, 'a', 'broken.jpg'))
    symlinkSync(join(path, 'self'), join(path, 'a', 'self'))
    symlinkSync(join(path, 'self'), join(path, 'self'))
    const folder = new ImageFolder(path)
    expect(names(folder)).toEqual(['a/1.jpg', 'a/linked.jpg', 'b/1.jpg', 'b/deep/2.jpg'])
    expect(folder.skippedFiles.unusable).toBe(3)
  })

  it('finds files whose names are no text, and reads them', async () => {
    const path = folderOf('a/1.jpg', 'b/1.jpg')
    const image = draw(4, 4, () => [10, 20, 30])
    const proper = await writePicture(join(path, 'b', '2.png'), image)
    const { renameSync } = await import('node:fs')
    renameSync(
      proper,
      Buffer.concat([Buffer.from(`${path}/b/`), Buffer.from([0x66, 0xff, 0xfe]), Buffer.from('.png')]),
    )
    const folder = new ImageFolder(path)
    expect(folder.length).toBe(3)
    expect(Buffer.isBuffer(folder.files[2])).toBe(true)
    const { x, y } = await folder.get(2, random)
    expect(y).toBe(1)
    expect([...x.data.subarray(0, 3)]).toEqual([10, 20, 30])
  })

  it('lists many files at once', () => {
    const path = temporaryFolder()
    for (const name of ['a', 'b']) {
      mkdirSync(join(path, name))
      for (let at = 0; at < 2000; at++) writeFileSync(join(path, name, `${at}.jpg`), '')
    }
    expect(new ImageFolder(path).length).toBe(4000)
  })
})

describe('items', () => {
  it('are upright bytes after the transforms, and the index of the class', async () => {
    const path = temporaryFolder()
    await writePicture(
      join(path, 'a/1.png'),
      draw(6, 4, () => [1, 2, 3]),
    )
    await writePicture(
      join(path, 'b/1.png'),
      draw(4, 8, () => [4, 5, 6]),
    )
    const folder = new ImageFolder(path, { transform: [resize(4), centerCrop(2)] })
    const item = await folder.get(1, random)
    expect(item).toEqual({ x: { data: expect.anything(), width: 2, height: 2 }, y: 1 })
    expect([...item.x.data]).toEqual([4, 5, 6, 4, 5, 6, 4, 5, 6, 4, 5, 6])
    const other = folder.withTransform([])
    expect((await other.get(0, random)).x.width).toBe(6)
    expect(folder.subset([1]).files).toEqual([folder.files[1]])
    await expect(folder.get(2, random)).rejects.toThrow(/no picture 2: the dataset has 2/)
  })

  it('need a label each', () => {
    expect(() => new ImageDataset({ files: ['a.jpg'], labels: [], classes: ['a'] })).toThrow(
      /1 files, but 0 labels/,
    )
  })

  it('which are numbers of classes', () => {
    const files = ['a.jpg', 'b.jpg']
    const made = (labels: unknown) => () =>
      new ImageDataset({ files, labels: labels as number[], classes: ['a', 'b'] })
    for (const [labels, got] of [
      [[0, 2], '2'],
      [[0, -1], '-1'],
      [[0, 1.7], '1.7'],
      [Float32Array.of(0, Number.NaN), 'NaN'],
      [Int32Array.of(0, 7), '7'],
      [[0, [1]], '[1]'],
      [[0, '1'], '"1"'],
      [[[0], [1, 7]], '[1, 7]'],
      [[[0], [0.5]], '[0.5]'],
      [[[0], 1], '1'],
    ] as const) {
      expect(made(labels), got).toThrow(DataError)
      expect(made(labels)).toThrow(`b.jpg: the label is ${got}, but`)
      expect(made(labels)).toThrow(/there are 2 classes/)
    }
    expect(made(new Uint8Array([0, 1]))().labels).toEqual(Int32Array.of(0, 1))
    expect(made([[], [1, 0]])().labelSets).toEqual([[], [1, 0]])
  })
})

describe('folders that cannot be used', () => {
  const make = (path: string, options = {}) => {
    try {
      new ImageFolder(path, options)
    } catch (error) {
      expect(error).toBeInstanceOf(DataError)
      return (error as Error).message
    }
    throw new Error('no error')
  }

  it('missing: says where it looked', () => {
    const path = join(temporaryFolder(), 'nowhere')
    expect(make(path)).toContain(path)
    expect(make(path)).toMatch(/there is no such folder\. Give the folder that holds the class folders/)
  })

  it('a file', () => {
    expect(make(join(folderOf('a/1.jpg'), 'a/1.jpg'))).toMatch(/this is a file, not a folder/)
  })

  it('empty, or with pictures but no class folders', () => {
    expect(make(temporaryFolder())).toMatch(/expected a folder for each class, .* but found no folders/)
    expect(make(folderOf('1.jpg', '2.jpg'))).toMatch(/found 2 pictures that lie in no class folder/)
  })

  it('one class only, unless that is meant', () => {
    const path = folderOf('faces/1.jpg')
    expect(make(path)).toMatch(/one class only, 'faces'; a classifier needs at least 2/)
    expect(new ImageFolder(path, { minClasses: 1 }).length).toBe(1)
  })

  it('a class without pictures', () => {
    expect(make(folderOf('a/1.jpg', 'b/x.txt', 'b/y.txt'))).toMatch(
      /b: the class folder holds no pictures .* 2 \.txt/,
    )
  })

  it('a class that is not among the known ones, or skips it and counts', () => {
    const path = folderOf('a/1.jpg', 'wasps/1.jpg', 'wasps/2.jpg')
    const classes = ['a', 'b']
    expect(make(path, { classes })).toMatch(
      /the class 'wasps' is not among the known classes 'a', 'b'\. .* add it to classes, or .* with onUnknownClass: 'skip'$/,
    )
    const folder = new ImageFolder(path, { classes, onUnknownClass: 'skip' })
    expect(folder.length).toBe(1)
    expect(folder.classes).toEqual(classes)
    expect(folder.skippedFiles.unknownClasses).toEqual({ wasps: 2 })
  })

  it('unknown options', () => {
    expect(() => new ImageFolder('.', { transforms: [] } as never)).toThrow(/unknown option transforms/)
  })
})

describe.skipIf(!existsSync(hymenoptera))('ants and bees', () => {
  it('has as many pictures as the tutorial, and a GIF', () => {
    const train = new ImageFolder(join(hymenoptera, 'train'))
    const valid = new ImageFolder(join(hymenoptera, 'val'))
    expect([train.length, valid.length]).toEqual([245, 153])
    const asTorchvision = new ImageFolder(join(hymenoptera, 'train'), { extensions: torchvisionExtensions })
    expect(asTorchvision.length).toBe(244)
    expect(asTorchvision.skippedFiles.foreign).toEqual({ '.gif': 1 })
    expect(valid.classes).toEqual(['ants', 'bees'])
  })
})
