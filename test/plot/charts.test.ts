import { describe, expect, it } from 'vitest'
import { ConfigError, ShapeError } from '../../src/engine/errors.ts'
import {
  confusionMatrixChart,
  type Figure,
  lineChart,
  lossesChart,
  lrFindChart,
  metricsChart,
  scheduleChart,
} from '../../src/plot/index.ts'

const texts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!)

/** The points of the drawn lines, a list for each path of each line; vega writes M and L commands. */
function paths(svg: string): number[][][] {
  const lines = [...svg.matchAll(/aria-roledescription="line mark"[^>]* d="([^"]*)"/g)].map(([, d]) => d!)
  return lines.flatMap((d) =>
    d
      .split('M')
      .filter((piece) => piece !== '')
      .map((piece) =>
        piece
          .replace('Z', '')
          .split('L')
          .map((pair) => pair.split(',').map(Number)),
      ),
  )
}

const draw = async (figure: Figure) => {
  const svg = await figure.toSvg()
  return { svg, texts: texts(svg), paths: paths(svg) }
}

describe('lineChart', () => {
  it('draws a gap where a value is not finite', async () => {
    const y = [1, 2, Number.NaN, 4, 5, Number.POSITIVE_INFINITY, 7, 8]
    const { paths } = await draw(lineChart([{ name: 'a', x: y.map((_, i) => i), y }]))
    expect(paths.map((path) => path.length)).toEqual([2, 2, 2])
  })

  it('places values in proportion on a linear axis, and by their logarithm on a log axis', async () => {
    const x = [1, 10, 1000]
    const [linear] = (await draw(lineChart([{ name: 'a', x, y: [0, 1, 2] }]))).paths
    const [log] = (await draw(lineChart([{ name: 'a', x, y: [0, 1, 2] }], { xScale: 'log' }))).paths
    const share = (path: number[][]) => (path[1]![0]! - path[0]![0]!) / (path[2]![0]! - path[0]![0]!)
    expect(share(linear!)).toBeCloseTo(9 / 999, 2)
    expect(share(log!)).toBeCloseTo(1 / 3, 2)
  })

  it('labels the decades of a log axis, and leaves out what has no place there', async () => {
    const { texts, paths } = await draw(
      lineChart([{ name: 'a', x: [-1, 0, 1e-4, 1e-2, 1], y: [9, 9, 1, 2, 3] }], { xScale: 'log' }),
    )
    expect(texts).toEqual(expect.arrayContaining(['1e-4', '1e-3', '1e-2', '1e-1', '1']))
    expect(paths.map((path) => path.length)).toEqual([3])
  })

  it('shows each name in one legend, and none for a single series', async () => {
    const series = ['first', 'second'].map((name, i) => ({ name, x: [0, 1], y: [i, i + 1] }))
    const two = await draw(lineChart(series))
    expect(two.texts.filter((text) => text === 'first' || text === 'second')).toEqual(['first', 'second'])
    expect((await draw(lineChart(series.slice(0, 1)))).texts).not.toContain('first')
  })

  it('shows labels of rules and marked points, once each', async () => {
    const { texts } = await draw(
      lineChart([{ name: 'a', x: [0, 1], y: [0, 1] }], {
        marks: [
          { kind: 'rule', x: 0.5, label: 'upright' },
          { kind: 'rule', y: 0.5, label: 'level' },
          { kind: 'point', x: 1, y: 1, label: 'top' },
        ],
      }),
    )
    for (const label of ['upright', 'level', 'top'])
      expect(texts.filter((text) => text === label)).toEqual([label])
  })

  it('thins a long line, but keeps its extremes', async () => {
    const n = 50_000
    const y = Float64Array.from({ length: n }, (_, i) => Math.sin(i / 3000))
    y[31_234] = 40
    y[40_001] = -40
    const { paths } = await draw(lineChart([{ name: 'a', x: y.map((_, i) => i), y }], { height: 100 }))
    const points = paths.flat()
    expect(points.length).toBeLessThanOrEqual(2000)
    expect(points.length).toBeGreaterThan(1000)
    const [high, low] = [points.findIndex((p) => p[1]! < 5), points.findIndex((p) => p[1]! > 95)]
    expect(high).toBeGreaterThan(0)
    expect(low).toBeGreaterThan(high)
  })

  it('draws nothing but axes when there is nothing to draw', async () => {
    const { paths, texts } = await draw(
      lineChart([{ name: 'a', x: [0, 1], y: [Number.NaN, Number.NaN] }], { yLabel: 'loss' }),
    )
    expect(paths).toEqual([])
    expect(texts).toContain('loss')
  })

  it('refuses lists of different lengths, repeated names, no series, and unknown scales', () => {
    const one = { name: 'a', x: [1, 2], y: [1, 2] }
    expect(() => lineChart([{ ...one, y: [1] }])).toThrow(ShapeError)
    expect(() => lineChart([{ ...one, y: [1] }])).toThrow(/'a' has 2 x values and 1 y values/)
    expect(() => lineChart([one, one])).toThrow(ConfigError)
    expect(() => lineChart([])).toThrow(ConfigError)
    expect(() => lineChart([one], { xScale: 'cubic' as 'log' })).toThrow(/'linear' or 'log', got 'cubic'/)
  })
})

describe('lrFindChart', () => {
  const lrs = [1e-5, 1e-4, 1e-3, 1e-2]
  const losses = [4, 3, 1, 2]

  it('marks the suggestions on the curve and names them with their rates', async () => {
    const figure = lrFindChart(lrs, losses, {
      valley: 10 ** -3.5,
      minimum: 1e-3,
      steep: null,
      slide: Number.NaN,
      far: 1,
    })
    const points = JSON.stringify(figure.spec)
    expect(points).toContain('"x":0.00031622776601683794,"y":2,"label":"valley 3.16e-4"')
    expect(points).toContain('"y":1,"label":"minimum 1e-3"')
    expect(points).toContain('"y":2,"label":"far 1"') // past the curve: at its end
    const { texts } = await draw(figure)
    expect(texts).toEqual(expect.arrayContaining(['valley 3.16e-4', 'minimum 1e-3', 'far 1']))
    expect(texts.join()).not.toMatch(/steep|slide/)
  })

  it('shows the descent where the loss shoots up in the end', async () => {
    const rates = [...lrs, 1e-1, 1]
    const labels = async (suggestions: Record<string, number>) =>
      (await draw(lrFindChart(rates, [4, 3, 1, 2, 50, 900], suggestions))).texts
    expect(await labels({ minimum: 1e-3 })).toEqual(expect.arrayContaining(['1', '4', '6']))
    expect((await labels({ minimum: 1e-3 })).join()).not.toMatch(/\b(50|200|8)\b/)
    expect(await labels({ late: 1 })).toEqual(expect.arrayContaining(['200', '800'])) // no mark is cut off
  })
})

describe('lossesChart', () => {
  it('puts validation losses at their batch counts', async () => {
    const { paths, texts } = await draw(lossesChart([5, 4, 3, 2], [4, 2], [2, 4]))
    const [train, valid] = paths
    expect(valid![0]![0]).toBeCloseTo(train![1]![0]!, 6)
    expect(valid![1]![0]).toBeCloseTo(train![3]![0]!, 6)
    expect(valid![1]![1]).toBeCloseTo(train![3]![1]!, 6)
    expect(texts).toEqual(expect.arrayContaining(['training (smoothed)', 'validation', 'batches processed']))
  })

  it('has one line when there was no validation', async () => {
    expect((await draw(lossesChart([5, 4, 3]))).paths).toHaveLength(1)
  })

  it('refuses validation losses without their places', () => {
    expect(() => lossesChart([1, 2], [1, 1], [2])).toThrow(ShapeError)
  })
})

describe('scheduleChart and metricsChart', () => {
  it('draws rate and momentum in a panel each', async () => {
    const { paths, texts } = await draw(scheduleChart([1e-3, 2e-3, 1e-3], [0.95, 0.85, 0.95]))
    expect(paths).toHaveLength(2)
    expect(texts).toEqual(expect.arrayContaining(['learning rate', 'momentum']))
    expect((await draw(scheduleChart([1e-3, 2e-3]))).paths).toHaveLength(1)
  })

  it('draws each metric in a panel, by epoch', async () => {
    const { paths, texts } = await draw(metricsChart({ accuracy: [0.5, 0.6, 0.7], mae: [9, 8, 7] }))
    expect(paths).toHaveLength(2)
    expect(texts).toEqual(expect.arrayContaining(['accuracy', 'mae', 'epoch', '0', '1', '2']))
    expect(() => metricsChart({})).toThrow(ConfigError)
    const sparse = await draw(metricsChart({ distance: [null, 3, null, 2, null, 1] }))
    expect([sparse.paths.length, sparse.texts.includes('5')]).toEqual([1, true])
  })
})

describe('confusionMatrixChart', () => {
  const labels = async (figure: Figure) => {
    const svg = await figure.toSvg()
    const cells = [
      ...svg.matchAll(/aria-label="[^"]*actual: (\d+)[^"]*"[^>]*fill="([^"]*)"[^>]*>([^<]+)<\/text>/g),
    ]
    return cells.map(([, actual, fill, text]) => ({ actual: Number(actual), fill, text }))
  }

  it('writes counts, white above half of the largest', async () => {
    const cells = await labels(
      confusionMatrixChart(
        [
          [65, 5],
          [33, 40],
        ],
        ['ants', 'bees'],
      ),
    )
    expect(cells.map((cell) => cell.text)).toEqual(['65', '5', '33', '40'])
    expect(cells.map((cell) => cell.fill === 'white')).toEqual([true, false, true, true])
  })

  it('normalises by rows; a class without examples is all zero', async () => {
    const figure = confusionMatrixChart(
      [
        [3, 1],
        [0, 0],
      ],
      ['a', 'b'],
      { normalize: true },
    )
    expect((await labels(figure)).map((cell) => cell.text)).toEqual(['0.75', '0.25', '0.00', '0.00'])
  })

  it('names all classes on both axes, and tells the share that is right', async () => {
    const { texts } = await draw(
      confusionMatrixChart(
        [
          [65, 5],
          [11, 72],
        ],
        ['it\'s "ants"', 'bees'],
      ),
    )
    expect(texts.filter((text) => text === 'bees')).toHaveLength(2)
    expect(texts.filter((text) => text.startsWith('it'))).toHaveLength(2)
    expect(texts).toContain('137 of 153 right (89.5 %)')
  })

  it('leaves figures out of the cells of a very large matrix, and shows a scale instead', async () => {
    const classes = Array.from({ length: 60 }, (_, i) => `class ${i}`)
    const { texts } = await draw(
      confusionMatrixChart(
        classes.map((_, i) => classes.map((_, j) => (i === j ? 7 : 0))),
        classes,
      ),
    )
    expect(texts).toContain('count')
    expect(texts.filter((text) => text.startsWith('class'))).toHaveLength(120)
    expect(texts.filter((text) => text === '7').length).toBeLessThan(2)
  })

  it('refuses a matrix that does not fit the classes', () => {
    expect(() => confusionMatrixChart([[1, 2]], ['a', 'b'])).toThrow(ShapeError)
    expect(() => confusionMatrixChart([[1, 2], [1]], ['a', 'b'])).toThrow(/row 1 .* 1 columns for 2 classes/)
    expect(() => confusionMatrixChart([], [])).toThrow(ConfigError)
  })
})
