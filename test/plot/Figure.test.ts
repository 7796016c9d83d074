import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import { Figure, lineChart } from '../../src/plot/index.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'anneal-figure-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const chart = () =>
  lineChart([{ name: 'a', x: [0, 1, 2], y: [1, 4, 9] }], { title: 'Squares <of> "x"', xLabel: 'x' })

/** The share of pixels that a drawing put there, i.e. that are not white. */
async function inkShare(file: string): Promise<number> {
  const { data } = await sharp(file).removeAlpha().greyscale().raw().toBuffer({ resolveWithObject: true })
  return data.reduce((sum, value) => sum + (value < 250 ? 1 : 0), 0) / data.length
}

describe('Figure', () => {
  it('saves PNG in a folder that it makes, at twice the CSS size by default', async () => {
    const one = join(folder, 'deep', 'down', 'one.png')
    expect(await chart().save(one, { scale: 1 })).toBe(one)
    const two = await chart().save(join(folder, 'two.PNG'))
    const [small, large] = [await sharp(one).metadata(), await sharp(two).metadata()]
    expect(small.format).toBe('png')
    expect(large.width).toBe(2 * small.width)
    expect(large.height).toBe(2 * small.height)
    const share = await inkShare(two)
    expect(share).toBeGreaterThan(0.01)
    expect(share).toBeLessThan(0.3)
  })

  it('replaces characters that XML cannot hold, in all formats', async () => {
    const odd = lineChart([{ name: 'a', x: [0, 1], y: [1, 2] }], { title: 'a\u0001b\0c\ud83dd\ufffee👍' })
    expect(await odd.toSvg()).toContain('>a\ufffdb\ufffdc\ufffdd\ufffde👍<')
    expect((await sharp(await odd.toPng()).metadata()).format).toBe('png')
  })

  it('writes SVG that another program can draw', async () => {
    const file = await chart().save(join(folder, 'chart.svg'))
    expect((await sharp(file).metadata()).format).toBe('svg')
    expect(await inkShare(file)).toBeGreaterThan(0.01)
  })

  it('writes HTML that needs no network and no script, with its title escaped', async () => {
    const html = await readFile(await chart().save(join(folder, 'chart.html')), 'utf8')
    expect(html).toContain('<title>Squares &lt;of&gt; &quot;x&quot;</title>')
    expect(html).toContain('<svg')
    const addresses = [...html.matchAll(/https?:\/\/[^"' )]+/g)].map(([address]) => address)
    expect(new Set(addresses)).toEqual(
      new Set(['http://www.w3.org/2000/svg', 'http://www.w3.org/1999/xlink']),
    )
    expect(html).not.toContain('<script')
  })

  it('refuses other extensions, listing those it knows, and writes nothing', async () => {
    for (const name of ['chart.jpg', 'chart', 'chart.']) {
      const saving = chart().save(join(folder, name))
      await expect(saving).rejects.toThrow(ConfigError)
      await expect(saving).rejects.toThrow(/\.png, \.svg or \.html/)
    }
    expect(await readdir(folder)).toEqual([])
  })

  it('leaves no temporary file, and names the place when it cannot write', async () => {
    await chart().save(join(folder, 'a.svg'))
    expect(await readdir(folder)).toEqual(['a.svg'])
    await writeFile(join(folder, 'file'), '')
    await expect(chart().save(join(folder, 'file', 'a.svg'))).rejects.toThrow(ConfigError)
    await expect(chart().save(join(folder, 'file', 'a.svg'))).rejects.toThrow(/file/)
  })

  it('refuses a scale that is no positive number', async () => {
    for (const scale of [0, -1, Number.NaN, 1000])
      await expect(chart().toPng({ scale })).rejects.toThrow(ConfigError)
  })

  it('names a scale that works where the picture would be too large', async () => {
    const wide = lineChart([{ name: 'a', x: [0, 1], y: [1, 2] }], { width: 3000 })
    await expect(wide.toPng({ scale: 20 })).rejects.toThrow(ConfigError)
    await expect(wide.toPng({ scale: 20 })).rejects.toThrow(/a scale of at most 10\.\d+, or save it as \.svg/)
  })

  it('takes any vega-lite spec', async () => {
    const own = new Figure({
      data: { values: [{ a: 1 }] },
      mark: 'bar',
      encoding: { x: { field: 'a', type: 'quantitative' } },
    })
    expect(await own.toSvg()).toContain('mark-rect')
  })
})
