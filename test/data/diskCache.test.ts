import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { ImageDataBunch } from '../../src/data/ImageDataBunch.ts'
import { DiskCache } from '../../src/data/image/DiskCache.ts'
import { jpegDecoder } from '../../src/data/image/decode.ts'
import { ImageDataset } from '../../src/data/image/ImageDataset.ts'
import type { FromFolderOptions } from '../../src/data/imageDataBunchOptions.ts'
import { RandomStream } from '../../src/data/random.ts'
import * as T from '../../src/data/transforms/index.ts'
import { ConfigError, DataError } from '../../src/engine/errors.ts'
import { fillUp, smallDisk } from '../learner/smallDisk.ts'
import { smoothPicture, temporaryFolder, writePicture } from './pictures.ts'

const version = vi.hoisted(() => ({ now: '1.0.0' }))
vi.mock(import('../../src/packageFolder.ts'), async (original) => ({
  ...(await original()),
  packageVersion: () => version.now,
}))

async function pictures(): Promise<string> {
  const folder = temporaryFolder()
  for (const split of ['train', 'valid']) {
    for (let at = 0; at < 6; at++) {
      const name = join(folder, split, at % 2 ? 'a' : 'b', `${at}.jpg`)
      await writePicture(name, smoothPicture(20 + at, 30 - at))
    }
  }
  return folder
}

async function run(folder: string, options: FromFolderOptions): Promise<unknown[]> {
  const transforms = T.getTransforms()
  const data = await ImageDataBunch.fromFolder(folder, {
    size: 8,
    batchSize: 3,
    seed: 1,
    transforms,
    ...options,
  })
  const epochs: unknown[] = []
  for (let epoch = 0; epoch < 2; epoch++) {
    for await (const { x, y } of data.trainDl) epochs.push([x.toArray(), y.toArray()])
    for await (const { x } of data.validDl!) epochs.push(x.toArray())
  }
  return epochs
}

const filesIn = (folder: string) => readdirSync(folder).map((name) => join(folder, name))

describe('pictures kept on disk', () => {
  it('the same batches, in this program and the next, and each picture is written once', async () => {
    const folder = await pictures()
    const cache = { folder: join(temporaryFolder(), 'kept') }
    const expected = await run(folder, {})
    expect(await run(folder, { cache })).toEqual(expected)
    const first = filesIn(cache.folder)
    expect(first.length).toBe(1)
    const size = readFileSync(first[0]!).length
    // a cache of its own, as in another program; what is there already is not written again
    expect(await run(folder, { cache })).toEqual(expected)
    expect(filesIn(cache.folder)).toEqual(first)
    expect(readFileSync(first[0]!).length).toBe(size)
  })

  it('does not look at the pictures again, but notes that one was changed', async () => {
    const folder = await pictures()
    const cache = new DiskCache({ folder: temporaryFolder() })
    const file = join(folder, 'train', 'a', '1.jpg')
    const read = async (store: DiskCache) => {
      const dataset = new ImageDataset({
        files: [file],
        labels: [0],
        classes: ['a'],
        transform: T.resize([4, 4]),
        cache: store,
      })
      return (await dataset.get(0, new RandomStream({ seed: 0 }))).x.data
    }
    const before = await read(cache)
    const bytes = readFileSync(file)
    const times = new Date(1_700_000_000_000)
    // the same size and time, but no picture any more
    writeFileSync(file, Buffer.alloc(bytes.length))
    utimesSync(file, times, times)
    await expect(read(new DiskCache({ folder: cache.folder }))).rejects.toThrow(DataError)
    writeFileSync(file, bytes)
    utimesSync(file, times, times)
    const again = new DiskCache({ folder: cache.folder })
    expect(await read(again)).toEqual(before)
    writeFileSync(file, Buffer.alloc(bytes.length))
    utimesSync(file, times, times)
    expect(await read(again)).toEqual(before)
    expect(await read(new DiskCache({ folder: cache.folder }))).toEqual(before)
  })

  it('what another decoder or version has made of a file is not taken for what this one would', async () => {
    const folder = await pictures()
    const cache = { folder: temporaryFolder() }
    const file = join(folder, 'train', 'a', '1.jpg')
    const read = async () => {
      const parts = { files: [file], labels: [0], classes: ['a'], cache: new DiskCache(cache) }
      return (await new ImageDataset(parts).get(0, new RandomStream({ seed: 0 }))).x.data
    }
    const times = new Date(1_700_000_000_000)
    utimesSync(file, times, times)
    const before = await read()
    // The same to look at, but only what was kept can be read.
    writeFileSync(file, Buffer.alloc(readFileSync(file).length))
    utimesSync(file, times, times)
    expect(await read()).toEqual(before)
    version.now = '1.0.1'
    await expect(read()).rejects.toThrow(DataError)
    version.now = '1.0.0'
    expect(await read()).toEqual(before)
    if (!jpegDecoder.usable) return
    jpegDecoder.allowed = false
    await expect(read()).rejects.toThrow(DataError)
    jpegDecoder.allowed = true
    expect(await read()).toEqual(before)
  })

  it('a file that is replaced is not kept as what it was', async () => {
    const folder = await pictures()
    const [file, other] = [join(folder, 'train', 'a', '1.jpg'), join(folder, 'train', 'a', '3.jpg')]
    const cache = new DiskCache({ folder: temporaryFolder() })
    const kept = { data: new Uint8Array(3), width: 1, height: 1 }
    const times = new Date(1_700_000_000_000)
    utimesSync(file, times, times)
    const bytes = readFileSync(file)
    expect(await cache.get('', 0, file)).toBeUndefined()
    writeFileSync(file, readFileSync(other))
    await cache.add('', 0, file, kept)
    expect(await cache.get('', 0, file)).toBeUndefined()
    writeFileSync(file, bytes)
    utimesSync(file, times, times)
    await cache.add('', 0, file, kept)
    for (const store of [cache, new DiskCache({ folder: cache.folder })])
      expect((await store.get('', 0, file))?.data).toEqual(kept.data)
  })

  it('what was cut off or damaged is decoded anew', async () => {
    const folder = await pictures()
    const cache = { folder: temporaryFolder() }
    const expected = await run(folder, { cache })
    const [whole] = filesIn(cache.folder) as [string]
    const bytes = readFileSync(whole)
    for (const damage of [
      () => truncateSync(whole, Math.floor(bytes.length * 0.6)),
      () =>
        writeFileSync(
          whole,
          bytes.map((value, at) => (at > 200 && at % 400 === 0 ? value ^ 1 : value)),
        ),
      () => writeFileSync(whole, Buffer.alloc(bytes.length)),
      () => writeFileSync(whole, ''),
      () =>
        writeFileSync(
          whole,
          Buffer.concat([bytes.subarray(0, 40), Buffer.alloc(8, 255), bytes.subarray(48)]),
        ),
    ]) {
      for (const other of filesIn(cache.folder)) if (other !== whole) rmSync(other)
      damage()
      expect(await run(folder, { cache })).toEqual(expected)
    }
  })

  it('several programs share a folder', async () => {
    const folder = await pictures()
    const cache = { folder: temporaryFolder() }
    const [a, b] = await Promise.all([run(folder, { cache }), run(folder, { cache })])
    expect(a).toEqual(b)
    expect(filesIn(cache.folder).length).toBe(2)
    cpSync(folder, `${folder}-moved`, { recursive: true })
    expect(await run(`${folder}-moved`, { cache })).toEqual(a)
    rmSync(`${folder}-moved`, { recursive: true })
  })

  it('no more than maxBytes, which is said once', async () => {
    const folder = await pictures()
    const cache = { folder: temporaryFolder(), maxBytes: 1000 }
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const expected = await run(folder, {})
    expect(await run(folder, { cache })).toEqual(expected)
    expect(warned.mock.calls.map(([text]) => text)).toEqual([
      expect.stringMatching(/no more pictures are kept there/),
    ])
    warned.mockRestore()
    for (const file of filesIn(cache.folder)) expect(readFileSync(file).length).toBeLessThanOrEqual(1000)
  })

  it('on a full disk keeps what it has, says so once, and goes on', async ({ skip }) => {
    const disk = smallDisk(temporaryFolder())
    if (disk === null) return skip('no rights to mount a file system')
    const folder = await pictures()
    const cache = { folder: join(disk, 'kept'), maxBytes: 2 ** 30 }
    const expected = await run(folder, {})
    expect(await run(folder, { cache, batchSize: 3 })).toEqual(expected)
    const before = filesIn(cache.folder).map((file) => readFileSync(file))
    expect(before).toHaveLength(1)
    fillUp(disk)
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    // Other pictures, for which there is no room.
    const others = await pictures()
    expect(await run(others, { cache })).toEqual(expected)
    expect(warned.mock.calls.map(([text]) => text)).toEqual([
      expect.stringMatching(/no more pictures are kept there \((ENOSPC|no space)/),
    ])
    warned.mockRestore()
    expect(filesIn(cache.folder).map((file) => readFileSync(file))).toEqual(expect.arrayContaining(before))
    expect(await run(folder, { cache })).toEqual(expected)
  })

  it("transforms of one's own are done anew: their name says nothing", async () => {
    const folder = await pictures()
    const cache = new DiskCache({ folder: temporaryFolder() })
    const file = join(folder, 'train', 'a', '1.jpg')
    const fill = (value: number): T.PictureTransform => ({
      kind: 'picture',
      name: 'fill',
      parameters: {},
      deterministic: true,
      apply: (picture) => void picture.map((image) => ({ ...image, data: image.data.map(() => value) })),
    })
    for (const value of [3, 5]) {
      const transform = [T.resize([2, 2]), fill(value)]
      const dataset = new ImageDataset({ files: [file], labels: [0], classes: ['a'], transform, cache })
      const { x } = await dataset.get(0, new RandomStream({ seed: 0 }))
      expect([...x.data]).toEqual(Array(12).fill(value))
    }
  })

  it('folders and options that cannot be', () => {
    const file = join(temporaryFolder(), 'a')
    writeFileSync(file, '')
    expect(() => new DiskCache({ folder: join(file, 'b') })).toThrow(DataError)
    expect(() => new DiskCache({ folder: file })).toThrow(/pictures cannot be kept there/)
    expect(() => new DiskCache({ folder: '' })).toThrow(ConfigError)
    expect(() => new DiskCache({ folder: temporaryFolder(), maxBytes: -1 })).toThrow(/maxBytes/)
  })
})
