import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { cropBytes } from '../../src/data/image/bytes.ts'
import { Picture } from '../../src/data/image/Picture.ts'
import type { RgbImage } from '../../src/data/image/RgbImage.ts'
import { identityMatrix, type Matrix } from '../../src/data/image/warp.ts'
import { rotation, symmetricWarp, zoom } from '../../src/data/transforms/affine.ts'
import { compose } from '../../src/data/transforms/compose.ts'
import { centerCrop, cropPad, pad, randomCrop } from '../../src/data/transforms/crop.ts'
import { buildPipeline, describePipeline } from '../../src/data/transforms/describe.ts'
import { randomHorizontalFlip, randomVerticalFlip } from '../../src/data/transforms/flip.ts'
import { lightingTable } from '../../src/data/transforms/lighting.ts'
import { contain, cover, resize } from '../../src/data/transforms/resize.ts'
import type { PictureTransform } from '../../src/data/transforms/Transform.ts'
import { toTensor } from '../../src/data/transforms/tensors.ts'
import { ConfigError, DataError, ShapeError } from '../../src/engine/errors.ts'
import { applied, channel, difference, draw, ramp, testPicture } from './pictures.ts'

const fixture = JSON.parse(readFileSync(new URL('fixtures/transforms.json', import.meta.url), 'utf8')) as {
  deterministic: Record<string, { width: number; height: number; base64: string }>
}

function torchvision(name: string): RgbImage {
  const { width, height, base64 } = fixture.deterministic[name]!
  return { data: new Uint8Array(Buffer.from(base64, 'base64')), width, height }
}

/** Cut and resized as torchvision's `resized_crop`. */
function resizedCrop(
  top: number,
  left: number,
  height: number,
  width: number,
  size: number,
): PictureTransform {
  return {
    kind: 'picture',
    name: 'resizedCrop',
    parameters: {},
    apply: (picture) => void picture.crop(left, top, width, height).resize(size, size),
  }
}

describe('on decoded pictures, equal torchvision to the bit', () => {
  const cases: [string, PictureTransform][] = [
    ['resize 24', resize(24)],
    ['resize 12', resize(12)],
    ['resize 70', resize(70)],
    ['resize [30, 50]', resize([30, 50])],
    ['resize [20, 75]', resize([20, 75])],
    ['resize [60, 20]', resize([60, 20])],
    ['bicubic 24', resize(24, { interpolation: 'bicubic' })],
    ['bicubic 70', resize(70, { interpolation: 'bicubic' })],
    ['bicubic [20, 75]', resize([20, 75], { interpolation: 'bicubic' })],
    ['bicubic [60, 20]', resize([60, 20], { interpolation: 'bicubic' })],
    ['bicubic [44, 5]', resize([44, 5], { interpolation: 'bicubic' })],
    [
      'bicubic 24, cropped',
      {
        kind: 'picture',
        name: 'bicubicCropped',
        parameters: {},
        apply: (picture) => void picture.flipHorizontal().resize(33, 24, 'bicubic').crop(4, 3, 20, 16),
      },
    ],
    ['centerCrop [21, 30]', centerCrop([21, 30])],
    ['centerCrop 51', centerCrop(51)],
    ['pad constant', pad([1, 2, 3, 4], { fill: [10, 20, 30] })],
    ['pad edge', pad([5, 3], { paddingMode: 'edge' })],
    ['pad reflect', pad([7, 4, 2, 6], { paddingMode: 'reflect' })],
    ['pad symmetric', pad(6, { paddingMode: 'symmetric' })],
    ['resizedCrop smaller', resizedCrop(5, 9, 33, 40, 16)],
    ['resizedCrop larger', resizedCrop(20, 30, 15, 11, 24)],
    ['resizedCrop mixed', resizedCrop(3, 1, 36, 12, 20)],
    ['horizontal flip', randomHorizontalFlip(1)],
    ['vertical flip', randomVerticalFlip(1)],
  ]

  it('the cases are those of the fixture', () => {
    expect(cases.map(([name]) => name).sort()).toEqual(Object.keys(fixture.deterministic).sort())
  })

  it.each(cases)('%s', async (name, transform) => {
    const made = await applied(transform, testPicture())
    const expected = torchvision(name)
    expect([made.width, made.height]).toEqual([expected.width, expected.height])
    expect(Buffer.from(made.data).equals(expected.data)).toBe(true)
  })
})

describe("fastai's figures on a picture of 4 by 4 that counts from 0 to 15", () => {
  const warped = async (matrix: Matrix, image = ramp(4)) =>
    channel(await Picture.of(image).warp(matrix).bytes())

  it('rotation by 90 degrees', async () => {
    expect(await warped(rotation(90, 4, 4))).toEqual([
      [3, 7, 11, 15],
      [2, 6, 10, 14],
      [1, 5, 9, 13],
      [0, 4, 8, 12],
    ])
  })

  it('zoom 2: the first row is 3.75 4.25 4.75 5.25', async () => {
    // sixteen times as bright, so that the fractions can be seen in bytes
    const bright = draw(4, 4, (x, y) => Array(3).fill((y * 4 + x) * 16))
    const [first] = await warped(zoom(2), bright)
    expect(first).toEqual([60, 68, 76, 84])
  })

  it('centre crop 2', async () => {
    expect(channel(await applied(cropPad(2), ramp(4)))).toEqual([
      [5, 6],
      [9, 10],
    ])
  })

  it('reflection padding 1: the top row is 5 4 5 6 7 6', async () => {
    const [top] = channel(await applied(pad(1, { paddingMode: 'reflect' }), ramp(4)))
    expect(top).toEqual([5, 4, 5, 6, 7, 6])
  })

  it.each([
    [0, [0, 1, 2, 3]],
    [1, [12, 13, 14, 15]],
    [2, [3, 2, 1, 0]],
    [3, [15, 14, 13, 12]],
    [4, [0, 4, 8, 12]],
    [5, [12, 8, 4, 0]],
    [6, [3, 7, 11, 15]],
    [7, [15, 11, 7, 3]],
  ])('dihedral %i', async (position, expected) => {
    const picture = Picture.of(ramp(4))
    if (position & 1) picture.flipVertical()
    if (position & 2) picture.flipHorizontal()
    if (position & 4) picture.transpose()
    expect(channel(await picture.bytes())[0]).toEqual(expected)
  })

  it.each([
    // brightness 0.4 and 0.6 on 0.5 and 0.25, contrast 0.8 and 1.25 on 0.25
    [0.4, 1, 0.25, 0.1818182],
    [0.6, 1, 0.25, 0.3333333],
    [0.5, 0.8, 0.25, 0.2934079],
    [0.5, 1.25, 0.25, 0.2020928],
  ])('lighting %f, %f takes %f to %f', (change, scale, value, expected) => {
    const table = lightingTable(change, scale)
    const below = Math.floor(value * 255)
    const part = value * 255 - below
    const between = (table[below]! * (1 - part) + table[below + 1]! * part) / 255
    expect(Math.abs(between - expected)).toBeLessThan(1 / 255)
  })

  it('lighting that changes nothing changes nothing', () => {
    expect([...lightingTable(0.5, 1)]).toEqual(Array.from({ length: 256 }, (_, byte) => byte))
  })
})

describe('warps', () => {
  it('the identity keeps every byte', async () => {
    const image = testPicture()
    expect(await Picture.of(image).warp(identityMatrix).bytes()).toEqual(image)
  })

  it('a symmetric warp by nothing is the identity', () => {
    const matrix = symmetricWarp({ right: 0, left: 0, bottom: 0, top: 0 })
    for (const [at, value] of matrix.entries()) expect(value).toBeCloseTo(identityMatrix[at]!, 12)
  })

  it('a symmetric warp takes the corners where it says', () => {
    const [a, b, c, d, e, f, g, h, i] = symmetricWarp({ right: 0.1, left: -0.2, bottom: 0.05, top: 0.15 })
    const at = (u: number, v: number) => {
      const w = g * u + h * v + i
      return [(a * u + b * v + c) / w, (d * u + e * v + f) / w]
    }
    const near = (point: number[], x: number, y: number) => {
      expect(point[0]).toBeCloseTo(x, 10)
      expect(point[1]).toBeCloseTo(y, 10)
    }
    near(at(-1, -1), -1.15, -0.8)
    near(at(-1, 1), -1.05, 0.8)
    near(at(1, -1), 1.15, -1.1)
    near(at(1, 1), 1.05, 1.1)
  })

  it('two quarter turns in one resampling are a half turn', async () => {
    const image = testPicture()
    const square = cropBytes(image, { left: 0, top: 0, width: 40, height: 40 })
    const quarter = rotation(90, 40, 40)
    const turned = await Picture.of(square).warp(quarter).warp(quarter).bytes()
    expect(turned).toEqual(
      cropBytes(square, { left: 0, top: 0, width: 40, height: 40, flipX: true, flipY: true }),
    )
  })

  it('a rotation keeps angles in a picture that is not square', async () => {
    // A disc stays a disc: it covers the same pixels after any turn about its middle, but for its ragged edge. (Sheared by
    // the sides' ratio of 2 it would differ by more than 50. Further out lie its reflections.)
    const disc = draw(81, 41, (x, y) => Array(3).fill((x - 40) ** 2 + (y - 20) ** 2 < 15 ** 2 ? 200 : 0))
    const turned = await Picture.of(disc)
      .warp(rotation(37, 81, 41))
      .bytes()
    const middle = { left: 24, top: 4, width: 33, height: 33 }
    expect(difference(cropBytes(turned, middle), cropBytes(disc, middle)).mean).toBeLessThan(8)
  })

  it('a crop after a warp is the window of the whole warped picture', async () => {
    const image = testPicture()
    const matrix = rotation(12, image.width, image.height)
    const whole = await Picture.of(image).warp(matrix).bytes()
    const window = { left: 7, top: 3, width: 30, height: 25 }
    const cut = await Picture.of(image).warp(matrix).crop(7, 3, 30, 25).bytes()
    expect(cut).toEqual(cropBytes(whole, window))
  })
})

describe('sizes', () => {
  const sized = (transform: PictureTransform, width: number, height: number) => {
    const picture = Picture.of(draw(width, height, () => [0, 0, 0]))
    transform.apply(picture, undefined as never)
    return [picture.width, picture.height]
  }

  it('cover and contain keep the aspect ratio: fastai takes 30x60 to 20x40 and 10x20', () => {
    expect(sized(cover(20), 30, 60)).toEqual([20, 40])
    expect(sized(contain(20), 30, 60)).toEqual([10, 20])
    expect(sized(cover([10, 40]), 30, 60)).toEqual([40, 80])
    expect(sized(contain([10, 40]), 30, 60)).toEqual([5, 10])
  })

  it('a picture far from square keeps at least one pixel', () => {
    expect(sized(contain(10), 1000, 3)).toEqual([10, 1])
    expect(sized(resize(1), 3, 1)).toEqual([3, 1])
  })
})

describe('resized by the bicubic filter', () => {
  it('bytes that were given stay, and flat colours stay flat', async () => {
    const image = testPicture()
    const before = image.data.slice()
    for (const [width, height] of [
      [61, 20],
      [30, 44],
      [7, 90],
    ] as const) {
      await Picture.of(image).resize(width, height, 'bicubic').bytes()
      expect(image.data).toEqual(before)
      const flat = await Picture.of(draw(61, 44, () => [0, 77, 255]))
        .resize(width, height, 'bicubic')
        .bytes()
      expect(new Set(flat.data)).toEqual(new Set([0, 77, 255]))
    }
  })

  it('keeps the values of masks', async () => {
    const mask = { ...ramp(4) }
    const values = new Set(mask.data)
    const { data } = await (await Picture.openMask(mask)).resize(11, 7, 'bicubic').bytes()
    expect([...new Set(data)].every((value) => values.has(value))).toBe(true)
  })

  it('is described by what it was made with, the other as before', () => {
    const steps = (interpolation?: 'bilinear' | 'bicubic') =>
      describePipeline(compose([resize(24, interpolation && { interpolation }), toTensor()]))!
    expect(steps('bicubic')[0]).toEqual({
      name: 'resize',
      parameters: { size: 24, interpolation: 'bicubic' },
    })
    expect(steps()).toEqual(steps('bilinear'))
    expect(steps()[0]).toEqual({ name: 'resize', parameters: { size: 24 } })
    const again = describePipeline(buildPipeline(steps('bicubic')))
    expect(again).toEqual(steps('bicubic'))
  })

  it('refuses what would fill the memory on the way', () => {
    const image = { data: new Uint8Array(3 * 300_000), width: 1, height: 300_000 }
    expect(() => Picture.of(image, 'thin.png').resize(1000, 10, 'bicubic')).toThrow(
      /thin\.png: .*1000x300000/,
    )
    Picture.of(image, 'thin.png').resize(1000, 10)
  })
})

describe('bad arguments', () => {
  it.each([0, -3, 2.5, Number.NaN, [10], [10, 0], [1, 2, 3], '224', null])('size %j', (size) => {
    expect(() => resize(size as never)).toThrow(ConfigError)
    expect(() => centerCrop(size as never)).toThrow(/size is a whole number/)
  })

  it.each([-1, 1.5, [1], [1, 2, 3], [1, -2]])('padding %j', (padding) => {
    if (Array.isArray(padding) && padding.length === 1)
      return expect(() => pad(padding as never)).not.toThrow()
    expect(() => pad(padding as never)).toThrow(/padding is one whole number/)
  })

  it('colours, modes and options that do not exist', () => {
    expect(() => pad(1, { fill: 300 })).toThrow(/fill/)
    expect(() => pad(1, { paddingMode: 'mirror' as never })).toThrow(
      /'constant', 'edge', 'reflect', 'symmetric'/,
    )
    expect(() => resize(3, { interpolation: 'lanczos' as never })).toThrow(
      /'bilinear', 'bicubic', got .*lanczos/,
    )
    expect(() => resize(3, { interpolaton: 'bicubic' } as never)).toThrow(/unknown option interpolaton/)
    expect(() => randomCrop(3, { pading: 4 } as never)).toThrow(
      /unknown option pading; the options are padding/,
    )
  })

  it('windows outside the picture', () => {
    const picture = () => Picture.of(ramp(4))
    expect(() => picture().crop(1, 0, 4, 4)).toThrow(/4x4 pixels at \(1, 0\) out of a picture of 4x4/)
    expect(() => picture().crop(-1, 0, 2, 2)).toThrow(ShapeError)
    expect(() => picture().crop(0, 0, 0, 1)).toThrow(ShapeError)
    expect(() => picture().crop(0.5, 0, 1, 1)).toThrow(ShapeError)
    expect(() => picture().resize(0, 4)).toThrow(ShapeError)
  })

  it('a random crop that is too large, and a border too wide to mirror', async () => {
    await expect(applied(randomCrop(5), ramp(4))).rejects.toThrow(DataError)
    await expect(applied(randomCrop(5), ramp(4))).rejects.toThrow(/4x4 is too small for a window of 5x5/)
    await expect(applied(pad(4, { paddingMode: 'reflect' }), ramp(4))).rejects.toThrow(
      /too small to be padded/,
    )
  })
})
