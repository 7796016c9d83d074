import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { jpegDecoder } from '../../src/data/image/decode.ts'
import { Picture } from '../../src/data/image/Picture.ts'
import type { RgbImage } from '../../src/data/image/RgbImage.ts'
import { RandomStream } from '../../src/data/random.ts'
import {
  decodeJpeg,
  hasJpegDecoder,
  jpegSize,
  type ResamplePlan,
  resamplePixels,
} from '../../src/engine/pictures.ts'
import { difference, temporaryFolder } from './pictures.ts'

interface Case {
  box: [left: number, top: number, width: number, height: number]
  size: [width: number, height: number]
  sha256: string
}
interface File {
  base64: string
  width: number
  height: number
  sha256?: string
  resized?: Case[]
  shrunk?: (Case & { scale: number })[]
}

const { files } = JSON.parse(readFileSync(new URL('fixtures/jpeg.json', import.meta.url), 'utf8')) as {
  files: Record<string, File>
}
// What is declined is decoded by sharp, which speaks about CMYK and arithmetic coding in its own way.
const decodable = Object.keys(files).filter((name) => name !== 'CMYK' && name !== 'arithmetic')
const bytesOf = (name: string) => Buffer.from(files[name]!.base64, 'base64')
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

function planOf(
  { width, height }: { width: number; height: number },
  [left, top, w, h]: Case['box'],
  [tw, th]: Case['size'] = [w, h],
): ResamplePlan {
  const target = { width: tw, height: th }
  const window = { left: 0, top: 0, ...target }
  return {
    width,
    height,
    box: { left, top, width: w, height: h },
    target,
    window,
    flipX: false,
    flipY: false,
  }
}

const wholeOf = (name: string) => {
  const { width, height } = files[name]!
  return decodeJpeg(bytesOf(name), planOf(files[name]!, [0, 0, width, height]))
}

afterEach(() => {
  jpegDecoder.allowed = true
})

describe.skipIf(!hasJpegDecoder())('JPEG files decoded by the engine', () => {
  it.each(decodable)('%s: as Pillow to the bit', async (name) => {
    const { width, height, sha256: expected } = files[name]!
    expect(await jpegSize(bytesOf(name))).toEqual({ width, height })
    expect(sha256((await wholeOf(name))!)).toBe(expected)
  })

  it.each(decodable)('%s: a window is what the whole picture has there', async (name) => {
    const { width, height } = files[name]!
    const whole = (await wholeOf(name))!
    const random = new RandomStream({ seed: 5 })
    for (let round = 0; round < 60; round++) {
      const [w, h] = [1 + random.integer(width), 1 + random.integer(height)]
      const [left, top] = [random.integer(width - w + 1), random.integer(height - h + 1)]
      const flips = { flipX: random.chance(0.5), flipY: random.chance(0.5) }
      const plan = { ...planOf(files[name]!, [left, top, w, h]), ...flips }
      const cut = await decodeJpeg(bytesOf(name), plan)
      expect(sha256(cut!), JSON.stringify(plan)).toBe(sha256(resamplePixels(whole, plan)))
    }
  })

  it.each(decodable)('%s: a part of a resized window likewise', async (name) => {
    const whole = (await wholeOf(name))!
    const random = new RandomStream({ seed: 6 })
    for (let round = 0; round < 20; round++) {
      // never so small that it would be shrunk while it is decoded
      const target = { width: 50 + random.integer(100), height: 40 + random.integer(100) }
      const [w, h] = [1 + random.integer(target.width), 1 + random.integer(target.height)]
      const [left, top] = [random.integer(target.width - w + 1), random.integer(target.height - h + 1)]
      const plan = {
        ...planOf(files[name]!, [11, 7, 140, 100]),
        target,
        window: { left, top, width: w, height: h },
        flipX: random.chance(0.5),
      }
      const cut = await decodeJpeg(bytesOf(name), plan)
      expect(sha256(cut!), JSON.stringify(plan)).toBe(sha256(resamplePixels(whole, plan)))
    }
  })

  it.each(decodable)('%s: resized as by Pillow, and shrunk before as by its draft()', async (name) => {
    for (const { box, size, sha256: expected } of [...files[name]!.resized!, ...files[name]!.shrunk!]) {
      const made = await decodeJpeg(bytesOf(name), planOf(files[name]!, box, size))
      expect(sha256(made!), `${box} to ${size}`).toBe(expected)
    }
  })

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('orientation %i', async (orientation) => {
    const plain = bytesOf('4:2:0')
    const { width, height } = files['4:2:0']!
    const turned = withOrientation(plain, orientation)
    const sizes = orientation < 5 ? { width, height } : { width: height, height: width }
    expect(await jpegSize(turned)).toEqual(sizes)
    const upright = Picture.of({ data: (await wholeOf('4:2:0'))!, width, height })
    if (orientation >= 5) upright.transpose()
    if ([2, 3, 6, 7].includes(orientation)) upright.flipHorizontal()
    if ([3, 4, 7, 8].includes(orientation)) upright.flipVertical()
    const whole = await upright.bytes()
    const random = new RandomStream({ seed: orientation })
    for (let round = 0; round < 20; round++) {
      const [w, h] = [20 + random.integer(60), 20 + random.integer(60)]
      const box: Case['box'] = [random.integer(sizes.width - w), random.integer(sizes.height - h), w, h]
      const plan = { ...planOf(sizes, box, [40, 50]), flipX: random.chance(0.5), flipY: random.chance(0.5) }
      Object.assign(plan.window, { left: 3, top: 5, width: 30, height: 40 })
      const made = { data: (await decodeJpeg(turned, plan))!, width: 30, height: 40 }
      const expected = { data: resamplePixels(whole.data, plan), width: 30, height: 40 }
      // Stored columns are resized first, which are rows of the upright picture in half of the cases.
      expect(difference(made, expected).max).toBeLessThanOrEqual(orientation < 5 ? 0 : 1)
    }
  })

  it('big-endian EXIF, and EXIF that is nonsense', async () => {
    const plain = bytesOf('4:4:4')
    expect(await jpegSize(withOrientation(plain, 6, 'MM'))).toEqual({ width: 115, height: 157 })
    for (const orientation of [0, 9, 65535]) {
      expect(await jpegSize(withOrientation(plain, orientation))).toEqual({ width: 157, height: 115 })
    }
    const whole = withOrientation(plain, 6)
    for (let length = 2; length < 60; length++) {
      // cut off anywhere, it says nothing, and nobody reads beyond its end
      const cut = Buffer.concat([whole.subarray(0, 2 + length), plain.subarray(2)])
      cut.writeUInt16BE(Math.max(2, length - 2), 4)
      await jpegSize(cut)
    }
  })

  it('declines what it does not do exactly', async () => {
    const whole = bytesOf('4:2:0')
    const declined: Record<string, Uint8Array> = {
      CMYK: bytesOf('CMYK'),
      'cut short': whole.subarray(0, whole.length - 10),
      'cut in the middle': whole.subarray(0, whole.length / 2),
      empty: new Uint8Array(0),
      'one byte': new Uint8Array([0xff]),
      text: Buffer.from('this is no picture'),
    }
    for (const [kind, bytes] of Object.entries(declined)) {
      expect(await decodeJpeg(bytes, planOf(files['4:2:0']!, [0, 0, 157, 115])), kind).toBeUndefined()
    }
    // of another size than was thought
    expect(await decodeJpeg(whole, planOf({ width: 200, height: 100 }, [0, 0, 200, 100]))).toBeUndefined()
  })

  it('whatever bytes are changed: it decodes or declines', async () => {
    const random = new RandomStream({ seed: 7 })
    for (const name of ['4:2:0', 'progressive', 'restarts', 'grey']) {
      for (let round = 0; round < 60; round++) {
        const broken = Buffer.from(bytesOf(name))
        const times = 1 + random.integer(8)
        for (let time = 0; time < times; time++) broken[random.integer(broken.length)] = random.integer(256)
        const size = await jpegSize(broken)
        if (!size || size.width * size.height > 1e6) continue
        const made = await decodeJpeg(broken, planOf(size, [0, 0, size.width, size.height], [20, 20]))
        if (made) expect(made.length).toBe(20 * 20 * 3)
      }
    }
  })
})

describe('JPEG files where the engine has no decoder', () => {
  // Both have the same arithmetic; where much is lost, sharp shrinks in its own way, which shows where colours change from
  // pixel to pixel (photographs are compared with torchvision's in decode.test.ts).
  it.each(decodable)('%s: sharp comes to the same', async (name) => {
    const file = join(temporaryFolder(), 'a.jpg')
    writeFileSync(file, bytesOf(name))
    const steps: [what: string, meanTolerance: number, (picture: Picture) => unknown][] = [
      ['whole', 0, () => {}],
      ['cut', 0, (p) => p.crop(20, 11, 77, 63)],
      ['cut, resize, mirror', 0, (p) => p.crop(13, 9, 120, 96).resize(70, 60).flipHorizontal()],
      ['enlarge, cut', 0, (p) => p.crop(30, 20, 40, 40).resize(64, 64).crop(5, 6, 50, 40)],
      ['shrink', 7, (p) => p.crop(13, 9, 130, 100).resize(30, 24)],
      ['shrink whole', 7, (p) => p.resize(17, 12)],
    ]
    for (const [what, meanTolerance, change] of steps) {
      const made: RgbImage[] = []
      for (const allowed of [true, false]) {
        jpegDecoder.allowed = allowed
        const picture = await Picture.open(file)
        change(picture)
        made.push(await picture.bytes())
      }
      const off = difference(made[0]!, made[1]!)
      expect(off.mean, what).toBeLessThanOrEqual(meanTolerance)
    }
  })
})

/** A JPEG file with an EXIF block that tells its orientation. */
function withOrientation(jpeg: Buffer, orientation: number, order: 'II' | 'MM' = 'II'): Buffer {
  const tiff = Buffer.alloc(8 + 2 + 12 + 4)
  const [write16, write32] =
    order === 'II'
      ? [tiff.writeUInt16LE.bind(tiff), tiff.writeUInt32LE.bind(tiff)]
      : [tiff.writeUInt16BE.bind(tiff), tiff.writeUInt32BE.bind(tiff)]
  tiff.write(order, 0, 'latin1')
  write16(42, 2)
  write32(8, 4)
  write16(1, 8)
  write16(0x0112, 10)
  write16(3, 12)
  write32(1, 14)
  write16(orientation, 18)
  const body = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff])
  const head = Buffer.from([0xff, 0xe1, 0, 0])
  head.writeUInt16BE(body.length + 2, 2)
  return Buffer.concat([jpeg.subarray(0, 2), head, body, jpeg.subarray(2)])
}
