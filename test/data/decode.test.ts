import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { inksToRgb } from '../../src/data/image/cmyk.ts'
import { readPictureHeader } from '../../src/data/image/decode.ts'
import { ImageDataset } from '../../src/data/image/ImageDataset.ts'
import { Picture } from '../../src/data/image/Picture.ts'
import { RandomStream } from '../../src/data/random.ts'
import { centerCrop } from '../../src/data/transforms/crop.ts'
import { resize } from '../../src/data/transforms/resize.ts'
import { DataError } from '../../src/engine/errors.ts'
import {
  difference,
  draw,
  smoothPicture,
  temporaryFolder,
  testPicture,
  toSharp,
  writePicture,
} from './pictures.ts'

const photographs = fileURLToPath(new URL('../../../shared/data/hymenoptera_data/val', import.meta.url))

/** The same steps on a file and on its decoded, upright bytes. */
async function bothWays(file: string, steps: (picture: Picture) => unknown) {
  const decoded = await (await Picture.open(file)).bytes()
  const fromFile = await Picture.open(file)
  const fromBytes = Picture.of(decoded)
  steps(fromFile)
  steps(fromBytes)
  return difference(await fromFile.bytes(), await fromBytes.bytes())
}

describe('kinds of files', () => {
  const image = smoothPicture(40, 30)
  const lossless = { mean: 0, max: 0 }
  const grey = (x: number, y: number) => Array(3).fill(x * 4 + y * 2)

  it.each([
    ['png', lossless],
    ['tiff', { mean: 2, max: 20 }],
    ['jpg', { mean: 2, max: 20 }],
    ['webp', { mean: 4, max: 30 }],
    ['avif', { mean: 4, max: 30 }],
    ['gif', { mean: 6, max: 60 }],
  ])('%s', async (ending, { mean, max }) => {
    const file = await writePicture(join(temporaryFolder(), `a.${ending}`), image)
    const picture = await Picture.open(file)
    expect([picture.width, picture.height]).toEqual([40, 30])
    const off = difference(await picture.bytes(), image)
    expect(off.mean).toBeLessThanOrEqual(mean)
    expect(off.max).toBeLessThanOrEqual(max)
  })

  it('what a file holds, without a file', async () => {
    const bytes = await toSharp(image).png().toBuffer()
    expect(difference(await (await Picture.open(bytes)).bytes(), image)).toEqual(lossless)
  })

  it('16 bits a channel', async () => {
    const file = join(temporaryFolder(), 'a.png')
    await toSharp(image).toColourspace('rgb16').png().toFile(file)
    expect((await sharp(file).metadata()).depth).toBe('ushort')
    expect(difference(await (await Picture.open(file)).bytes(), image).max).toBeLessThanOrEqual(1)
  })

  it('grey, of 8 and of 16 bits, and grey JPEG', async () => {
    const folder = temporaryFolder()
    const expected = draw(40, 30, grey)
    await toSharp(expected).toColourspace('b-w').png().toFile(join(folder, '8.png'))
    await toSharp(expected).toColourspace('grey16').png().toFile(join(folder, '16.png'))
    await toSharp(expected).toColourspace('b-w').jpeg({ quality: 100 }).toFile(join(folder, '8.jpg'))
    for (const name of ['8.png', '16.png', '8.jpg']) {
      expect((await sharp(join(folder, name)).metadata()).channels, name).toBe(1)
      const off = difference(await (await Picture.open(join(folder, name))).bytes(), expected)
      expect(off.max, name).toBeLessThanOrEqual(3)
    }
  })

  it('palette', async () => {
    const few = draw(20, 20, (x) => (x < 10 ? [250, 0, 10] : [0, 200, 30]))
    const file = join(temporaryFolder(), 'a.png')
    await toSharp(few).png({ palette: true, colours: 4 }).toFile(file)
    expect((await sharp(file).metadata()).isPalette).toBe(true)
    expect(difference(await (await Picture.open(file)).bytes(), few).max).toBeLessThanOrEqual(2)
  })

  describe("CMYK, by Pillow's formula", () => {
    interface InkCase {
      width: number
      height: number
      file: string
      rgb: string
    }
    const cases = JSON.parse(readFileSync(new URL('fixtures/cmyk.json', import.meta.url), 'utf8')) as Record<
      string,
      InkCase
    >

    it.each(Object.keys(cases))('%s', async (kind) => {
      const { width, height, file, rgb } = cases[kind]!
      const path = join(temporaryFolder(), 'inks')
      writeFileSync(path, Buffer.from(file, 'base64'))
      expect((await sharp(path).metadata()).space).toBe('cmyk')
      const expected = { data: new Uint8Array(Buffer.from(rgb, 'base64')), width, height }
      expect(difference(await (await Picture.open(path)).bytes(), expected)).toEqual(lossless)
      const steps = (picture: Picture) => picture.crop(2, 1, 13, 10).resize(4, 3).flipHorizontal()
      const small = await steps(Picture.of(expected)).bytes()
      expect(difference(await steps(await Picture.open(path)).bytes(), small)).toEqual(lossless)
      // in later epochs too, when the header is known
      const dataset = new ImageDataset({ files: [path], labels: [0], classes: ['a'] })
      for (let epoch = 0; epoch < 2; epoch++) {
        const { x } = await dataset.get(0, new RandomStream({ seed: 0 }))
        expect(difference(x, expected)).toEqual(lossless)
      }
    })

    it('what is transparent is laid on white', () => {
      // half of pure cyan, nothing of black
      const inks = Uint8Array.of(255, 0, 0, 0, 128, 0, 0, 0, 255, 0)
      expect([...inksToRgb(inks, 5)]).toEqual([127, 255, 255, 255, 255, 255])
    })
  })

  it('transparency is laid on white', async () => {
    const file = join(temporaryFolder(), 'a.png')
    const red = { r: 255, g: 0, b: 0 }
    await sharp({ create: { width: 4, height: 4, channels: 4, background: { ...red, alpha: 0.2 } } })
      .png()
      .toFile(file)
    const { data } = await (await Picture.open(file)).bytes()
    expect([...data.subarray(0, 3)]).toEqual([255, 204, 204])
  })

  it('the first frame of an animation', async () => {
    const frames = Buffer.concat([draw(6, 4, () => [255, 0, 0]).data, draw(6, 4, () => [0, 0, 255]).data])
    const file = join(temporaryFolder(), 'a.gif')
    const pages = { raw: { width: 6, height: 8, channels: 3, pageHeight: 4 } } as const
    await sharp(frames, pages)
      .gif({ delay: [100, 100] })
      .toFile(file)
    expect((await sharp(file).metadata()).pages).toBe(2)
    const picture = await (await Picture.open(file)).bytes()
    expect([picture.width, picture.height]).toEqual([6, 4])
    expect([...picture.data.subarray(0, 3)]).toEqual([255, 0, 0])
  })
})

describe('EXIF orientation', () => {
  // For each orientation, where the upright picture's corners (top left, top right) lie in the stored one.
  const upright = draw(32, 24, (x, y) => [x < 16 ? 220 : 20, y < 12 ? 220 : 20, 100])
  const stored: Record<number, (picture: Picture) => unknown> = {
    1: () => {},
    2: (picture) => picture.flipHorizontal(),
    3: (picture) => picture.flipHorizontal().flipVertical(),
    4: (picture) => picture.flipVertical(),
    5: (picture) => picture.transpose(),
    6: (picture) => picture.transpose().flipVertical(),
    7: (picture) => picture.transpose().flipVertical().flipHorizontal(),
    8: (picture) => picture.transpose().flipHorizontal(),
  }

  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    '%i comes out upright, and cut and resized like an upright one',
    async (orientation) => {
      const picture = Picture.of(upright)
      stored[orientation]!(picture)
      const file = join(temporaryFolder(), 'a.jpg')
      await toSharp(await picture.bytes())
        .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
        .withMetadata({ orientation })
        .toFile(file)
      expect((await sharp(file).metadata()).orientation).toBe(orientation)
      expect(await readPictureHeader({ source: file })).toEqual({ width: 32, height: 24 })
      expect(difference(await (await Picture.open(file)).bytes(), upright).max).toBeLessThan(12)
      for (const steps of [
        (p: Picture) => p.crop(3, 2, 20, 18).resize(10, 9),
        (p: Picture) => p.resize(16, 12).crop(1, 2, 11, 7).flipHorizontal(),
        (p: Picture) => p.crop(3, 2, 20, 18).resize(25, 30).flipVertical(),
      ]) {
        expect((await bothWays(file, steps)).max).toBeLessThanOrEqual(4)
      }
    },
  )
})

describe('one pass of decoding, cutting, resizing and mirroring', () => {
  const steps: [string, (picture: Picture) => unknown][] = [
    ['cut', (p) => p.crop(5, 7, 50, 31)],
    ['cut twice', (p) => p.crop(5, 7, 80, 60).crop(4, 3, 20, 25)],
    ['mirror', (p) => p.flipHorizontal()],
    ['mirror both ways', (p) => p.flipHorizontal().flipVertical()],
    ['mirror, then cut', (p) => p.flipHorizontal().crop(5, 7, 50, 31)],
    [
      'cut, mirror, cut, mirror',
      (p) => p.crop(2, 3, 90, 70).flipVertical().crop(4, 5, 60, 40).flipHorizontal(),
    ],
    ['reduce', (p) => p.resize(60, 45)],
    ['enlarge', (p) => p.resize(170, 140)],
    ['reduce one side, enlarge the other', (p) => p.resize(50, 130)],
    ['cut, reduce', (p) => p.crop(20, 10, 77, 63).resize(32, 32)],
    ['cut, enlarge, mirror', (p) => p.crop(20, 10, 40, 33).resize(64, 64).flipHorizontal()],
    ['reduce, cut', (p) => p.resize(90, 68).crop(11, 2, 64, 64)],
    [
      'mirror, reduce, cut, mirror',
      (p) => p.flipHorizontal().resize(90, 68).crop(11, 2, 64, 60).flipVertical(),
    ],
    [
      'cut, reduce, cut, mirror',
      (p) => p.crop(8, 4, 100, 80).resize(50, 40).crop(3, 5, 32, 32).flipHorizontal(),
    ],
    ['reduce, enlarge', (p) => p.resize(60, 45).resize(90, 90)],
    [
      'reduce, pad, cut',
      (p) => p.resize(60, 45).pad({ left: 2, top: 3, right: 4, bottom: 5 }, 'reflect').crop(1, 1, 50, 50),
    ],
    ['reduce, turn, mirror', (p) => p.resize(60, 45).transpose().flipHorizontal()],
  ]

  it.each(steps)('%s', async (_, change) => {
    const file = await writePicture(join(temporaryFolder(), 'a.png'), smoothPicture(120, 96))
    const off = await bothWays(file, change)
    expect(off.max).toBeLessThanOrEqual(2)
    expect(off.mean).toBeLessThan(0.5)
  })

  it('of a picture with hard edges differs a little where libvips reduces', async () => {
    const file = await writePicture(join(temporaryFolder(), 'a.png'), testPicture())
    const off = await bothWays(file, (p) => p.crop(1, 2, 55, 40).resize(20, 15))
    expect(off.max).toBeLessThanOrEqual(20)
    expect(off.mean).toBeLessThan(1)
  })

  it('of a large JPEG, which is shrunk while it is decoded', async () => {
    const file = join(temporaryFolder(), 'a.jpg')
    await toSharp(smoothPicture(1200, 900)).jpeg({ quality: 95 }).toFile(file)
    for (const change of [
      (p: Picture) => p.resize(96, 72),
      (p: Picture) => p.resize(120, 90).crop(12, 5, 64, 64).flipHorizontal(),
      (p: Picture) => p.crop(217, 120, 800, 640).resize(100, 80),
      (p: Picture) => p.flipVertical().crop(217, 120, 800, 640).resize(100, 80).crop(10, 9, 64, 64),
    ]) {
      const off = await bothWays(file, change)
      expect(off.max).toBeLessThanOrEqual(6)
      expect(off.mean).toBeLessThan(1)
    }
  })
})

describe.skipIf(!existsSync(photographs))('photographs', () => {
  const { photographs: expected } = JSON.parse(
    readFileSync(new URL('fixtures/transforms.json', import.meta.url), 'utf8'),
  ) as { photographs: Record<string, Record<string, number[]>> }

  it.each(Object.keys(expected))('resized and cut to %s as torchvision does it', async (sizes) => {
    const [shorter, size] = sizes.split(' ').map(Number) as [number, number]
    const cells = size === 224 ? 7 : 4
    const step = size / cells
    for (const [name, means] of Object.entries(expected[sizes]!)) {
      const picture = await Picture.open(join(photographs, name))
      for (const transform of [resize(shorter), centerCrop(size)]) {
        transform.apply(picture, new RandomStream({ seed: 0 }))
      }
      const { data } = await picture.bytes()
      const sums = new Float64Array(means.length)
      for (let at = 0; at < data.length; at++) {
        const [y, x] = [Math.floor(at / 3 / size), Math.floor(at / 3) % size]
        sums[(Math.floor(y / step) * cells + Math.floor(x / step)) * 3 + (at % 3)]! += data[at]! / step ** 2
      }
      const off = means.map((mean, at) => Math.abs(mean - sums[at]!))
      // Decoding is the same to the bit; libvips reduces in two steps where much is lost. A shift by half a pixel shows as 1 to 18.
      expect(Math.max(...off), name).toBeLessThan(size === 224 ? 0.5 : 2)
      expect(off.reduce((sum, value) => sum + value, 0) / off.length, name).toBeLessThan(
        size === 224 ? 0.15 : 0.5,
      )
    }
  })
})

describe('files that are no pictures', () => {
  const open = async (file: string) => (await Picture.open(file)).bytes()

  it.each([
    ['empty', '', /a\.jpg: the file is empty \(0 bytes\)/],
    ['text', 'not a picture at all', /a\.jpg: this is no picture that can be decoded/],
  ])('%s', async (_, contents, message) => {
    const file = join(temporaryFolder(), 'a.jpg')
    writeFileSync(file, contents)
    await expect(open(file)).rejects.toThrow(DataError)
    await expect(open(file)).rejects.toThrow(message)
    await expect(open(file)).rejects.toThrow(/onError: 'skip'/)
  })

  it('missing', async () => {
    await expect(open(join(temporaryFolder(), 'a.jpg'))).rejects.toThrow(
      /a\.jpg: the file cannot be read \(ENOENT/,
    )
  })

  it.each(['jpg', 'png', 'webp', 'tiff', 'gif', 'avif'])('cut short: %s', async (ending) => {
    const file = await writePicture(join(temporaryFolder(), `a.${ending}`), testPicture())
    const { length } = await readFile(file)
    truncateSync(file, Math.floor(length * 0.6))
    await expect(open(file)).rejects.toThrow(DataError)
    await expect(open(file)).rejects.toThrow(`a.${ending}: `)
  })

  it('many at a time: each error names its own file and what is wrong with it', async () => {
    const folder = temporaryFolder()
    const whole = await toSharp(testPicture()).jpeg().toBuffer()
    const files = Array.from({ length: 32 }, (_, at) => join(folder, `${at}.jpg`))
    for (const [at, file] of files.entries()) {
      writeFileSync(file, [whole.subarray(0, whole.length / 2), 'text', '', whole][at % 4]!)
    }
    const wrong = [/cut short or damaged/, /no picture that can be decoded/, /is empty/]
    const outcomes = await Promise.allSettled(files.map(open))
    for (const [at, outcome] of outcomes.entries()) {
      expect(outcome.status).toBe(at % 4 === 3 ? 'fulfilled' : 'rejected')
      if (outcome.status === 'fulfilled') continue
      const { message } = outcome.reason as Error
      expect(message).toContain(files[at])
      expect(message).toMatch(wrong[at % 4]!)
    }
  })

  it('cut short, but only where nothing is looked at', async () => {
    // A file that ends early is broken, whether or not the window reaches there: what comes must not depend on luck.
    const file = await writePicture(join(temporaryFolder(), 'a.jpg'), smoothPicture(400, 400))
    const { length } = await readFile(file)
    truncateSync(file, length - 300)
    const picture = await Picture.open(file)
    await expect(picture.crop(0, 350, 50, 50).bytes()).rejects.toThrow(/cut short/)
  })

  it('more pixels than memory', async () => {
    const file = join(temporaryFolder(), 'a.png')
    await sharp({ create: { width: 20_000, height: 10_000, channels: 3, background: '#000' } })
      .png()
      .toFile(file)
    await expect(open(file)).rejects.toThrow(/more than 178,956,970 pixels/)
  })

  it('names with line breaks are shown on one line', async () => {
    const file = join(temporaryFolder(), 'a\nb.jpg')
    writeFileSync(file, '')
    await expect(open(file)).rejects.toThrow(/a\\nb\.jpg: the file is empty/)
  })
})
