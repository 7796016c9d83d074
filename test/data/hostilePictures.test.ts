import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, it, vi } from 'vitest'
import { DataLoader } from '../../src/data/DataLoader.ts'
import { ImageDataBunch } from '../../src/data/ImageDataBunch.ts'
import { ImageDataset } from '../../src/data/image/ImageDataset.ts'
import { ImageFolder } from '../../src/data/image/ImageFolder.ts'
import { Picture } from '../../src/data/image/Picture.ts'
import { RandomStream } from '../../src/data/random.ts'
import * as T from '../../src/data/transforms/index.ts'
import { getTransforms } from '../../src/data/transforms/index.ts'
import { DataError } from '../../src/engine/errors.ts'
import { smoothPicture, temporaryFolder, toSharp, writePicture } from './pictures.ts'

/** A JPEG file whose header claims another size than it has. */
function claiming(jpeg: Buffer, width: number, height: number): Buffer {
  const changed = Buffer.from(jpeg)
  const frame = changed.findIndex((byte, at) => byte === 0xff && changed[at + 1] === 0xc0)
  changed.writeUInt16BE(height, frame + 5)
  changed.writeUInt16BE(width, frame + 7)
  return changed
}

function pngClaiming(png: Buffer, width: number, height: number): Buffer {
  const changed = Buffer.from(png)
  changed.writeUInt32BE(width, 16)
  changed.writeUInt32BE(height, 20)
  changed.writeUInt32BE(crc32(changed.subarray(12, 29)), 29)
  return changed
}

/** Two classes of good pictures, and among them everything that can be wrong with one. The names of the bad files come with it. */
async function hostileFolder(): Promise<{ folder: string; bad: Record<string, RegExp> }> {
  const folder = temporaryFolder()
  const image = smoothPicture(60, 48)
  const [jpeg, png] = [await toSharp(image).jpeg().toBuffer(), await toSharp(image).png().toBuffer()]
  for (const name of ['a/1.jpg', 'b/1.jpg', 'a/2.png', 'b/2.webp'])
    await writePicture(join(folder, name), image)
  const put = (name: string | Buffer, bytes: Uint8Array | string) => {
    const path = Buffer.concat([Buffer.from(`${folder}/a/`), Buffer.from(name)])
    writeFileSync(path, bytes)
  }
  // good, if odd
  put('a PNG.jpg', png)
  put('two\nlines.jpg', jpeg)
  put(Buffer.from('caf\xe9.jpg', 'latin1'), jpeg)
  put(Buffer.from('\xff\xfe.png', 'latin1'), png)
  put('trailing.jpg', Buffer.concat([jpeg, Buffer.from('what a camera adds')]))
  // bad
  put('empty.jpg', '')
  put('text.jpg', 'not a picture at all')
  put('markers only.jpg', Buffer.from([0xff, 0xd8, 0xff, 0xd9]))
  put('short.jpg', jpeg.subarray(0, jpeg.length - 40))
  put('half.jpg', jpeg.subarray(0, jpeg.length / 2))
  put('half.png', png.subarray(0, png.length / 2))
  put('bomb.jpg', claiming(jpeg, 65000, 65000))
  put('bomb.png', pngClaiming(png, 20_000, 10_000))
  put(Buffer.from('gone\n\xe9.jpg', 'latin1'), '')
  // nothing that is read
  symlinkSync('.', join(folder, 'a', 'around'))
  symlinkSync('nowhere', join(folder, 'a', 'dangling.jpg'))
  symlinkSync('loop.jpg', join(folder, 'a', 'loop.jpg'))
  execFileSync('mkfifo', [join(folder, 'a', 'pipe.jpg')])
  return {
    folder,
    bad: {
      'empty.jpg': /is empty/,
      'text.jpg': /no picture that can be decoded/,
      'markers only.jpg': /./,
      'short.jpg': /cut short or damaged/,
      'half.jpg': /cut short or damaged/,
      'half.png': /cut short or damaged/,
      'bomb.jpg': /more than 178,956,970 pixels/,
      'bomb.png': /more than 178,956,970 pixels/,
      'gone\\n\ufffd.jpg': /is empty/,
    },
  }
}

const pipelines: [string, T.PictureTransform[]][] = [
  ['a window', [T.randomResizedCrop(24), T.randomHorizontalFlip()]],
  ['the middle', [T.resize(30), T.centerCrop(24)]],
  ['a warp', (getTransforms().train as T.PictureTransform[]).map((step) => step.withSize?.(24) ?? step)],
]

describe('a folder full of bad pictures', () => {
  it('left out, counted and listed, whatever is done to pictures and by however many', async () => {
    const { folder, bad } = await hostileFolder()
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    for (const [what, steps] of pipelines) {
      for (const workers of [0, 3]) {
        const transform = what === 'a warp' ? [T.cover(24), ...steps] : steps
        const dataset = new ImageFolder(folder, { transform })
        expect(dataset.length).toBe(9 + Object.keys(bad).length)
        expect(dataset.skippedFiles.unusable).toBe(4)
        const loader = new DataLoader(dataset, { batchSize: 4, workers, onError: 'skip', seed: 1 })
        let good = 0
        for await (const { x } of loader) {
          expect(x.shape.slice(1)).toEqual([3, 24, 24])
          good += x.shape[0]!
        }
        expect(good, what).toBe(9)
        const reasons = Object.fromEntries(
          loader.skipped.map(({ item, reason }) => [item.split('/').at(-1)!, reason]),
        )
        expect(Object.keys(reasons).sort(), what).toEqual(Object.keys(bad).sort())
        for (const [name, pattern] of Object.entries(bad)) expect(reasons[name], what).toMatch(pattern)
      }
    }
    expect(warned).toHaveBeenCalledTimes(6)
    warned.mockRestore()
  }, 120_000)

  it('an error that names the file otherwise, and the loader can be left', async () => {
    const { folder, bad } = await hostileFolder()
    const dataset = new ImageFolder(folder, { transform: T.randomResizedCrop(24) })
    for (const workers of [0, 2]) {
      const loader = new DataLoader(dataset, { batchSize: 3, workers, shuffle: true, seed: 2 })
      const run = (async () => {
        for await (const _ of loader);
      })()
      await expect(run).rejects.toThrow(DataError)
      const names = Object.keys(bad).map((name) => name.replace('\ufffd', '.'))
      await expect(run).rejects.toThrow(
        new RegExp(names.map((name) => `/a/${name.replaceAll('\\', '\\\\')}`).join('|')),
      )
    }
  })

  it('rows that a header claims and the file lacks come out grey, as with Pillow', async () => {
    const jpeg = await toSharp(smoothPicture(60, 48)).jpeg().toBuffer()
    const picture = await Picture.open(claiming(jpeg, 60, 400))
    const { data } = await picture.crop(0, 200, 60, 100).bytes()
    expect(new Set(data)).toEqual(new Set([128]))
  })

  it('a pipe that is given for a file is not waited for', async () => {
    const folder = temporaryFolder()
    const good = await writePicture(join(folder, 'good.png'), smoothPicture(4, 4))
    const pipes: (string | Buffer)[] = [
      join(folder, 'pipe.jpg'),
      Buffer.from(`${folder}/pipe\xe9.png`, 'latin1'),
    ]
    for (const pipe of pipes)
      execFileSync('sh', ['-c', 'mkfifo "$(printf "$0")"', pipe.toString('latin1').replace('\xe9', '\\351')])
    const labels = { labels: [0], classes: ['a'] }
    try {
      for (const file of pipes) {
        for (const parts of [
          { files: [file], ...labels },
          { files: [good], masks: [file], ...labels },
        ]) {
          const item = new ImageDataset(parts).get(0, new RandomStream({ seed: 0 }))
          const late = new Promise((_, reject) => setTimeout(reject, 3000, new Error('still waiting')))
          const error: unknown = await Promise.race([item, late]).catch((reason: unknown) => reason)
          expect(error).toBeInstanceOf(DataError)
          expect((error as Error).message).toMatch(/pipe.*: .*\(it is a folder, a pipe or a device\)/)
        }
      }
    } finally {
      // Lets go of whoever waits.
      for (const pipe of pipes) closeSync(openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK))
    }
  })

  it('predictions from what is no picture', async () => {
    const folder = temporaryFolder()
    for (const name of ['train/a/1.jpg', 'train/b/1.jpg', 'valid/a/1.jpg'])
      await writePicture(join(folder, name), smoothPicture(30, 30))
    const data = await ImageDataBunch.fromFolder(folder, { size: 16, batchSize: 1 })
    await expect(data.oneItem(Buffer.from('text'))).rejects.toThrow(DataError)
    await expect(data.oneItem(join(folder, 'missing.jpg'))).rejects.toThrow(
      /missing\.jpg: the file cannot be read/,
    )
    await expect(data.oneItem(new Uint8Array(0))).rejects.toThrow(/is empty/)
  })
})

describe.skipIf(!existsSync('/proc/self/task'))('threads', () => {
  const threads = () => readdirSync('/proc/self/task').length

  it('none is left when the loader has ended, early or not', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'a'))
    for (let at = 0; at < 24; at++)
      await writePicture(join(folder, at % 2 ? 'a' : 'b', `${at}.jpg`), smoothPicture(300, 300))
    const dataset = new ImageFolder(folder, { transform: T.randomResizedCrop(64) })
    const epoch = async (workers: number, stop: number) => {
      for await (const _ of new DataLoader(dataset, { batchSize: 4, workers, seed: 1 })) {
        if (--stop === 0) break
      }
    }
    await epoch(2, 0) // what Node and libvips start with the first picture stays
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const before = threads()
    for (const [workers, stop] of [
      [0, 0],
      [1, 2],
      [3, 0],
    ] as const) {
      await epoch(workers, stop)
      await vi.waitFor(() => expect(threads()).toBe(before), 20_000)
    }
  }, 60_000)
})
