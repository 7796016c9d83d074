import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { ConfigError, ShapeError } from '../../src/engine/errors.ts'
import { encodePng } from '../../src/plot/encodePng.ts'
import { imageGrid } from '../../src/plot/index.ts'

/** A picture of one colour. */
const plain = (width: number, height: number, rgb: [number, number, number]) => ({
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => rgb[i % 3]!),
  width,
  height,
})

const red = [220, 20, 30] as [number, number, number]
const green = [10, 200, 40] as [number, number, number]
const blue = [0, 40, 250] as [number, number, number]

async function pixels(png: Uint8Array) {
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  return {
    ...info,
    at: (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)],
  }
}

describe('encodePng', () => {
  it('is read back by sharp bit for bit', async () => {
    const data = Uint8Array.from({ length: 7 * 5 * 3 }, (_, i) => (i * 37 + 11) % 256)
    const { data: back, info } = await sharp(encodePng(data, 7, 5))
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect([info.width, info.height, info.channels]).toEqual([7, 5, 3])
    expect([...back]).toEqual([...data])
  })
})

describe('imageGrid', () => {
  it('lays pictures out in rows', async () => {
    const figure = imageGrid([plain(112, 112, red), plain(112, 112, green), plain(112, 112, blue)], {
      columns: 2,
    })
    const picture = await pixels(await figure.toPng({ scale: 1 }))
    const margin = 16
    expect([picture.width, picture.height]).toEqual([2 * 112 + 10 + 2 * margin, 2 * 112 + 10 + 2 * margin])
    expect(picture.at(margin + 56, margin + 56)).toEqual(red)
    expect(picture.at(margin + 122 + 56, margin + 56)).toEqual(green)
    expect(picture.at(margin + 56, margin + 122 + 56)).toEqual(blue)
    expect(picture.at(margin + 122 + 56, margin + 122 + 56)).toEqual([255, 255, 255])
  })

  it('enlarges small pictures without smoothing', async () => {
    const data = Uint8Array.from([...red, ...green, ...blue, ...red])
    const picture = await pixels(await imageGrid([{ data, width: 2, height: 2 }]).toPng())
    const colours = new Set<string>()
    for (let x = 40; x < 240; x++) colours.add(picture.at(x, 80).join())
    expect(colours).toEqual(new Set([red.join(), green.join()]))
  })

  it('writes titles in their colours, wrapped to the width of a cell', async () => {
    const figure = imageGrid([
      {
        ...plain(112, 112, red),
        title: 'a rather long title that cannot fit on a line',
        titleColor: '#123456',
      },
      plain(112, 112, red),
    ])
    const svg = await figure.toSvg()
    expect(svg).toContain('#123456')
    expect(svg.match(/<tspan/g)!.length).toBeGreaterThan(2)
  })

  it('takes typed arrays that are views into a larger buffer, and pictures of different shapes', async () => {
    const large = new Uint8Array(100 + 12).fill(77)
    const view = new Uint8ClampedArray(large.buffer, 100, 12)
    view.set([...green, ...green, ...green, ...green])
    const figure = imageGrid([{ data: view, width: 2, height: 2 }, plain(10, 20, red)])
    const picture = await pixels(await figure.toPng({ scale: 1 }))
    expect(picture.at(16 + 56, 16 + 56)).toEqual(green)
    expect(picture.at(16 + 122 + 56, 16 + 56)).toEqual(red)
    expect(picture.at(16 + 122 + 10, 16 + 56)).toEqual([255, 255, 255])
  })

  it('embeds large photos at twice the size of their cell, each pixel the mean of those it stands for', async () => {
    const [width, height] = [1600, 1200]
    const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)]
      return (x + y) % 2 === 0 ? 0 : x < width / 2 ? 100 : 200
    })
    const svg = await imageGrid([{ data, width, height }]).toSvg()
    const [, uri] = svg.match(/xlink:href="data:image\/png;base64,([^"]+)"/)!
    const picture = await pixels(Buffer.from(uri!, 'base64'))
    expect([picture.width, picture.height]).toEqual([448, 336])
    for (const y of [0, 100, 335]) {
      for (const [x, mean] of [
        [0, 50],
        [222, 50],
        [225, 100],
        [447, 100],
      ])
        for (const value of picture.at(x!, y)) expect(Math.abs(value - mean!)).toBeLessThanOrEqual(mean! / 8)
    }
    const line = await imageGrid([{ data: new Uint8Array(30000), width: 10000, height: 1 }]).toPng({
      scale: 1,
    })
    expect((await pixels(line)).width).toBe(224 + 32)
  })

  it('refuses bytes that do not match the size, no pictures, and impossible columns', () => {
    const short = { data: new Uint8Array(11), width: 2, height: 2 }
    expect(() => imageGrid([plain(2, 2, red), short])).toThrow(ShapeError)
    expect(() => imageGrid([plain(2, 2, red), short])).toThrow(
      /picture 1 .* 11 bytes; 2 by 2 pixels of RGB are 12/,
    )
    expect(() => imageGrid([])).toThrow(ConfigError)
    expect(() => imageGrid([plain(2, 2, red)], { columns: 0 })).toThrow(ConfigError)
    expect(() => imageGrid([plain(2, 2, red)], { cellSize: -3 })).toThrow(ConfigError)
  })
})
