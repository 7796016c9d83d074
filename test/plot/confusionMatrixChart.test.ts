import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import { confusionMatrixChart } from '../../src/plot/index.ts'

const texts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!)
const names = (n: number) => Array.from({ length: n }, (_, i) => `class ${i}`)
const square = (n: number, at: (i: number, j: number) => number) =>
  Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => at(i, j)))

/** Where the cells stand on the page (of a figure with a picture of cells), and the picture's pixels. */
async function picture(svg: string) {
  const [, x, y] = svg.match(/transform="translate\((\d+),(\d+)\)"><g class="mark-group/)!
  const [, uri] = svg.match(/xlink:href="data:image\/png;base64,([^"]+)"/)!
  const { data, info } = await sharp(Buffer.from(uri!, 'base64')).raw().toBuffer({ resolveWithObject: true })
  const at = (column: number, row: number) => [
    ...data.subarray((row * info.width + column) * 3, (row * info.width + column) * 3 + 3),
  ]
  return { origin: [Number(x), Number(y)], width: info.width, at }
}

describe('a confusion matrix of many classes', () => {
  it('draws all cells as one picture, in the colours of the scale beside it', async () => {
    const n = 60
    const svg = await confusionMatrixChart(
      square(n, (i, j) => (i === j ? 8 : i === 0 ? 4 : 0)),
      names(n),
    ).toSvg()
    expect(svg.match(/<path/g)!.length).toBeLessThan(n)
    const { at, width } = await picture(svg)
    const side = width / n
    const cell = (row: number, column: number) => at((column + 0.5) * side, (row + 0.5) * side)
    expect(cell(0, 0)).toEqual([0x0b, 0x32, 0x63])
    expect(cell(59, 59)).toEqual([0x0b, 0x32, 0x63])
    expect(cell(0, 7)).toEqual([0x4f, 0x8a, 0xc9]) // the middle of five
    expect(cell(7, 0)).toEqual([0xf3, 0xf6, 0xfb])
  })

  it('puts the picture where the axes say', async () => {
    const n = 50
    const figure = confusionMatrixChart(
      square(n, (i, j) => (i === 49 && j === 1 ? 1 : 0)),
      names(n),
    )
    const [png, svg] = [await figure.toPng({ scale: 1 }), await figure.toSvg()]
    const { origin, width } = await picture(svg)
    const side = width / 2 / n
    const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true })
    const red = (column: number, row: number) => {
      const [x, y] = [origin[0]! + (column + 0.5) * side, origin[1]! + (row + 0.5) * side]
      return data[(Math.floor(y) * info.width + Math.floor(x)) * 3]!
    }
    expect(red(1, 49)).toBeLessThan(0x20)
    for (const [column, row] of [
      [0, 49],
      [2, 49],
      [1, 48],
      [49, 1],
    ])
      expect(red(column!, row!)).toBeGreaterThan(0xf0)
  })

  it('stays of a size that can be looked at with a thousand, and names as many classes as have room', async () => {
    const n = 1000
    const svg = await confusionMatrixChart(
      square(n, (i, j) => (i === j ? 1 : 0)),
      names(n),
    ).toSvg()
    const [, width] = svg.match(/width="(\d+)"/)!
    expect(Number(width)).toBeLessThan(2500)
    const named = texts(svg).filter((text) => text.startsWith('class'))
    expect(named.length).toBeGreaterThan(100)
    expect(named.length).toBeLessThan(500)
    expect(named[0]).toBe('class 0')
    expect((await picture(svg)).width).toBeGreaterThanOrEqual(n)
  })

  it('writes figures only when asked to, where they are not zero, and not for hundreds', async () => {
    const matrix = square(50, (i, j) => (i === j ? 700 : 0))
    const figure = confusionMatrixChart(matrix, names(50), { text: true })
    const figures = texts(await figure.toSvg()).filter((text) => /^\d+$/.test(text))
    expect(figures).toEqual(Array(50).fill('700'))
    const many = square(101, () => 1)
    expect(() => confusionMatrixChart(many, names(101), { text: true })).toThrow(ConfigError)
  })
})

describe('a confusion matrix', () => {
  const subtitle = (matrix: number[][]) =>
    (confusionMatrixChart(matrix, names(matrix.length)).spec as { title: { subtitle: string } }).title
      .subtitle

  it('does not claim all or none by rounding', () => {
    expect(subtitle([[11111110]])).toBe('11111110 of 11111110 right (100.0 %)')
    expect(
      subtitle([
        [11111110, 2],
        [0, 0],
      ]),
    ).toBe('11111110 of 11111112 right (over 99.9 %)')
    expect(
      subtitle([
        [1, 11111111],
        [0, 0],
      ]),
    ).toBe('1 of 11111112 right (under 0.1 %)')
    expect(
      subtitle([
        [0, 3],
        [0, 0],
      ]),
    ).toBe('0 of 3 right (0.0 %)')
  })

  it('leaves a cell without a finite count white, and the others as they are', async () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const matrix = [
        [odd, 0],
        [4, 8],
      ]
      const figure = confusionMatrixChart(matrix, ['a', 'b'])
      const svg = await figure.toSvg()
      const fills = [...svg.matchAll(/aria-roledescription="rect mark" [^>]* fill="([^"]*)"/g)].map(
        ([, fill]) => fill,
      )
      expect(fills).toEqual(['rgb(243, 246, 251)', 'rgb(79, 138, 201)', 'rgb(11, 50, 99)'])
      expect(texts(svg)).toEqual(expect.arrayContaining([String(odd), '0', '4', '8']))
    }
  })

  it('cuts long names, so that the cells are not lost beside them', async () => {
    const svg = await confusionMatrixChart(
      [
        [5, 1],
        [2, 8],
      ],
      ['an extremely long name of a class '.repeat(5), 'short'],
    ).toSvg()
    const long = texts(svg).filter((text) => text.startsWith('an extremely'))
    expect(long).toHaveLength(2)
    for (const name of long) expect(name).toMatch(/^an extremely long name of .*…$/)
    const [, width, height] = svg.match(/width="(\d+)" height="(\d+)"/)!
    expect(Math.max(Number(width), Number(height))).toBeLessThan(650)
  })

  it('takes names with line separators', async () => {
    const svg = await confusionMatrixChart([[1]], ['a\u2028b\u2029c']).toSvg()
    expect(texts(svg).filter((text) => text.startsWith('a'))).toContain('a\u2028b\u2029c')
  })
})
