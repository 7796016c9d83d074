import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import {
  activationsChart,
  confusionMatrixChart,
  type Figure,
  lineChart,
  lossesChart,
  lrFindChart,
  metricsChart,
  scheduleChart,
} from '../../src/plot/index.ts'

/** Texts with a place: x and y on the page and, of those with several lines, their first. */
async function draw(figure: Figure) {
  const svg = await figure.toSvg()
  const [, width, height] = svg.match(/width="(\d+)" height="(\d+)"/)!
  const texts = [...svg.matchAll(/<text[^>]*>(?:<tspan[^>]*>)?([^<]*)</g)].map(([, text]) => text!)
  return { svg, texts, width: Number(width), height: Number(height) }
}
/** Labels of one axis, in order. */
const labels = (svg: string, axis: 'X' | 'Y') => {
  const group = svg.slice(svg.indexOf(`aria-label="${axis}-axis`))
  const [inner] = group.match(/role-axis-label.*?<\/g>/)!
  return [...inner.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!)
}
const one = (y: number[]) => [{ name: 'a', x: y.map((_, i) => i + 1), y }]

describe('ticks', () => {
  it('stand on a log axis in equal steps where 1, 2 and 5 of no decade lie between the values', async () => {
    const { svg } = await draw(lossesChart([0.92, 0.85, 0.71, 0.63, 0.58], [0.8], [5], { yScale: 'log' }))
    expect(labels(svg, 'Y')).toEqual(['0.6', '0.7', '0.8', '0.9'])
    const near = await draw(lineChart(one([1.00000001, 1.00000003]), { yScale: 'log' }))
    expect(new Set(labels(near.svg, 'Y')).size).toBeGreaterThanOrEqual(3)
    const small = await draw(lineChart(one([0.0033, 0.0047]), { yScale: 'log' }))
    expect(labels(small.svg, 'Y')).toEqual(['3.5e-3', '4e-3', '4.5e-3'])
  })

  it('name the value of a constant and of a single point on log axes', async () => {
    const constant = await draw(lineChart(one([0.0033, 0.0033, 0.0033]), { yScale: 'log' }))
    expect(labels(constant.svg, 'Y')).toEqual(['3.3e-3'])
    const point = await draw(lineChart([{ name: 'a', x: [3], y: [7] }], { xScale: 'log', yScale: 'log' }))
    expect([labels(point.svg, 'X'), labels(point.svg, 'Y')]).toEqual([['3'], ['7']])
  })

  it('cover marks, and where the sweep was lost', async () => {
    const past = await draw(lrFindChart([1e-7], [2.3], { valley: 1e-3 }))
    expect(labels(past.svg, 'X')).toEqual(['1e-7', '1e-6', '1e-5', '1e-4', '1e-3'])
    const lost = await draw(
      lrFindChart([1e-5, 1e-4, 1e-3, 1e-2], [Number.NaN, 2, 1, Number.POSITIVE_INFINITY]),
    )
    expect(labels(lost.svg, 'X')).toEqual(['1e-5', '1e-4', '1e-3', '1e-2'])
  })

  it('differ where values are near each other', async () => {
    for (const y of [
      [1.00000001, 1.00000003],
      [1234567, 1234580],
      [-3.0000001, -3.0000002],
    ]) {
      const found = labels((await draw(lineChart(one(y)))).svg, 'Y')
      expect(found.length).toBeGreaterThanOrEqual(3)
      expect(new Set(found).size).toBe(found.length)
    }
    const ticks = labels((await draw(lineChart(one([1.00000001, 1.00000003])))).svg, 'Y')
    expect(ticks).toEqual(expect.arrayContaining(['1.00000001', '1.00000002', '1.00000003']))
  })
})

describe('long texts', () => {
  const long = 'many words that go on and on '.repeat(12)

  it('of titles and axes are wrapped to the plot', async () => {
    const figures = [
      lineChart(one([1, 2]), { title: long, subtitle: long, xLabel: long, yLabel: long }),
      metricsChart({ [long]: [1, 2], b: [1] }, { title: long }),
      scheduleChart([1, 2], [1, 2], { title: long }),
      activationsChart([{ name: 'a', batches: [0], means: [0], stds: [1], nearZero: [0] }], { title: long }),
    ]
    for (const figure of figures) {
      const { width, height } = await draw(figure)
      expect([width < 1100, height < 950]).toEqual([true, true])
    }
    expect(await figures[0]!.toHtml()).toContain('<title>many words')
  })

  it('of a title have a margin on the right, though bold letters are wider', async () => {
    const png = await confusionMatrixChart([[5]], ['only']).toPng({ scale: 1 })
    const { data, info } = await sharp(png).greyscale().raw().toBuffer({ resolveWithObject: true })
    const inked = data.reduce((right, value, i) => (value < 128 ? Math.max(right, i % info.width) : right), 0)
    expect(info.width - inked).toBeGreaterThanOrEqual(8)
  })

  it('of a legend stand in rows of the width of the plot, and are cut only when one does not fit', async () => {
    const series = (names: string[]) => names.map((name, i) => ({ name, x: [0, 1], y: [i, i + 1] }))
    const names = Array.from({ length: 30 }, (_, i) => `series ${i}`)
    const many = await draw(lineChart(series(names)))
    expect(many.texts).toEqual(expect.arrayContaining(names))
    expect([many.width < 720, many.height < 600]).toEqual([true, true])
    for (const legend of ['top', 'right'] as const) {
      const cut = await draw(lineChart(series([long, 'b', "it's \u2028"]), { legend }))
      expect(cut.width).toBeLessThan(1100)
      expect(cut.texts.some((text) => text.startsWith('many words') && text.endsWith('…'))).toBe(true)
      expect(cut.texts).toContain('b')
    }
  })

  it('of a rule go to the side with room, and are cut where there is none', async () => {
    const rule = async (label: string, x: number) => {
      const { svg, texts, width } = await draw(
        lineChart(one([1, 2, 3]), { marks: [{ kind: 'rule', x, label }] }),
      )
      expect(width).toBeLessThan(700)
      const text = texts.find((one) => one.startsWith(label.slice(0, 5)))!
      const [, anchor] = svg.match(new RegExp(`<text [^>]*text-anchor="(\\w+)"[^>]*>${text.slice(0, 5)}`))!
      return [anchor, text === label]
    }
    expect(await rule('short', 1.5)).toEqual(['start', true])
    expect(await rule('rather long for its place', 2.9)).toEqual(['end', true])
    expect(await rule(long, 2.9)).toEqual(['end', false])
    expect(await rule(long, 1.1)).toEqual(['start', false])
  })
})

describe('marks', () => {
  it('without a place on the axes are left out of the chart and its legend', async () => {
    const { texts, svg } = await draw(
      lineChart(one([1, 2, 3]), {
        yScale: 'log',
        yMax: 10,
        marks: [
          { kind: 'point', x: Number.NaN, y: 1, label: 'nowhere' },
          { kind: 'point', x: 2, y: 0, label: 'zero' },
          { kind: 'point', x: 2, y: 11, label: 'high' },
          { kind: 'rule', y: -1, label: 'below' },
          { kind: 'rule', x: Number.POSITIVE_INFINITY, label: 'far' },
          { kind: 'point', x: 2, y: 2, label: 'here' },
        ],
      }),
    )
    expect(texts).toContain('here')
    expect(texts.join()).not.toMatch(/nowhere|zero|high|below|far/)
    expect(svg).not.toContain('NaN')
  })
})

describe('lines', () => {
  it('are seen up to where they leave the plot, however far they go', async () => {
    const rates = Array.from({ length: 100 }, (_, i) => 1e-7 * 1.2 ** i)
    const losses = rates.map((_, i) => (i < 60 ? 2.3 - i * 0.02 : i < 95 ? 1.1 * 10 ** (i - 60) : Number.NaN))
    const png = await lrFindChart(rates, losses, { valley: 1e-4 }).toPng({ scale: 1 })
    const { data } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true })
    let blue = 0
    for (let i = 0; i < data.length; i += 3) {
      if (data[i]! < 0x60 && data[i + 2]! > 0xa0) blue++
    }
    expect(blue).toBeGreaterThan(500)
  })

  it('of a hundred thousand values go from the first to the last, and a sweep may be as long', async () => {
    const y = Float64Array.from({ length: 100_000 }, (_, i) => Math.sin(i / 7))
    const { svg } = await draw(lineChart([{ name: 'a', x: y.map((_, i) => i), y }]))
    const [, d] = svg.match(/aria-roledescription="line mark"[^>]* d="([^"]*)"/)!
    expect(d!.startsWith('M0,')).toBe(true)
    expect(d!.slice(d!.lastIndexOf('L'))).toMatch(/^L600,/)
    const rates = y.map((_, i) => 1e-7 * (i + 1))
    const twice = (values: Float64Array) => Float64Array.from([...values, ...values])
    expect(() => lrFindChart(twice(rates), twice(y))).not.toThrow()
  })

  it('of one value are a point, in the figures of the finder and of activations too', async () => {
    const layers = [{ name: 'a', batches: [0], means: [0], stds: [1], nearZero: [0] }]
    expect((await draw(activationsChart(layers))).svg).toContain('aria-roledescription="point"')
    expect((await draw(lrFindChart([1e-3], [2]))).svg).toContain('aria-roledescription="point"')
  })
})
