import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { fromTable } from '../../src/data/index.ts'
import { ConfigError } from '../../src/engine/errors.ts'
import { manualSeed, tensor } from '../../src/engine/index.ts'
import { loadLearner, metrics } from '../../src/learner/index.ts'
import { embeddingSize, TabularModel, tabularLearner } from '../../src/tabular/index.ts'

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'anneal-tabular-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  return made
}

/** y = 2 x + 1 in the zone a, 2 x - 1 in b; every seventh x is missing. */
function lines(where: string): string {
  const rows = Array.from({ length: 240 }, (_, at) => {
    const x = ((at * 37) % 100) / 50 - 1
    const zone = at % 2 === 0 ? 'a' : 'b'
    return `${at % 7 === 3 ? '' : x},${zone},${2 * x + (zone === 'a' ? 1 : -1)}`
  })
  const file = join(where, 'lines.csv')
  writeFileSync(file, `x,zone,y\n${rows.join('\n')}\n`)
  return file
}

it("embeddings are as wide as fastai's rule says", () => {
  // min(600, round(1.6 * n ** 0.56))
  expect([2, 3, 8, 32, 1116, 100000].map(embeddingSize)).toEqual([2, 3, 5, 11, 81, 600])
})

describe('TabularModel', () => {
  it("has fastai's layers", () => {
    const model = new TabularModel({
      embeddings: [[4, 3]],
      numbers: 2,
      outputs: 1,
      layers: [8, 6],
      dropout: [0.1, 0.2],
      embeddingDropout: 0.3,
    })
    expect([...model.layers].map((layer) => layer.constructor.name)).toEqual([
      ...['Linear', 'ReLU'],
      ...['BatchNorm1d', 'Dropout', 'Linear', 'ReLU'],
      ...['BatchNorm1d', 'Dropout', 'Linear'],
    ])
    expect(
      Math.max(...(model.embeddings[0]!.weight.flatten().toArray() as number[]).map(Math.abs)),
    ).toBeLessThan(0.0201)
  })

  it('keeps outputs in yRange, and works without categories or without numbers', () => {
    const categories = tensor(new BigInt64Array([0n, 3n]), { shape: [2, 1] })
    const numbers = tensor([[100], [-100]])
    const range = new TabularModel({
      embeddings: [],
      numbers: 1,
      outputs: 1,
      layers: [],
      yRange: [5, 6],
    }).eval()
    const none = tensor(new BigInt64Array(0), { shape: [2, 0] })
    for (const value of range.forward(none, numbers).flatten().toArray() as number[]) {
      expect(value).toBeGreaterThanOrEqual(5)
      expect(value).toBeLessThanOrEqual(6)
    }
    const tables = new TabularModel({ embeddings: [[4, 3]], numbers: 0, outputs: 5, layers: [4] }).eval()
    expect(tables.forward(categories, tensor(new Float32Array(0), { shape: [2, 0] })).shape).toEqual([2, 5])
  })
})

describe('tabularLearner', () => {
  it('learns from numbers and categories together, and predicts rows after export', async () => {
    const where = folder()
    manualSeed(3)
    const data = await fromTable(lines(where), { target: 'y', validPct: 0.2, batchSize: 16, seed: 1 })
    const learner = tabularLearner(data, { layers: [32], metrics: [metrics.rmse], path: where, silent: true })
    await learner.fitOneCycle(12, { maxLr: 0.02 })
    // Without x, which is missing in a seventh of the rows, an error of about 2 · 0.58 · √(1/7) = 0.44 remains.
    const { rmse } = await learner.validate()
    expect(rmse).toBeLessThan(0.75)
    const row = { x: 0.5, zone: 'a' }
    const [here] = (await learner.predict(row as never)).predictions as number[]
    expect(Math.abs(here! - 2)).toBeLessThan(0.4)

    await learner.export(join(where, 'lines'))
    const served = await loadLearner(join(where, 'lines'))
    for (const item of [row, { x: null, zone: 'b' }, { x: -0.25, zone: 'new' }]) {
      expect((await served.predict(item as never)).predictions).toEqual(
        (await learner.predict(item as never)).predictions,
      )
    }
    await expect(served.predict({ x: 1 } as never)).rejects.toThrow(/no 'zone'/)
  })

  it('goes on with new rows only if they are encoded as the model has learned', async () => {
    const where = folder()
    const write = (name: string, rows: readonly string[]) => {
      writeFileSync(join(where, name), `x,zone,kind\n${rows.join('\n')}\n`)
      return join(where, name)
    }
    const first = ['0.5,b,new', '1.5,c,old', '2.5,b,new', ',c,old', '3.5,b,old']
    const second = ['8.5,a,old', '9.5,b,old', '10.5,c,old', '11.5,b,middle']
    const shared = { target: 'kind', batchSize: 2, seed: 1 } as const
    const valid = write('valid.csv', ['1.5,b,old'])
    const data = await fromTable(write('first.csv', first), { ...shared, valid })
    const learner = tabularLearner(data, { layers: [4], path: where, silent: true })
    const file = await learner.export(join(where, 'model'))
    const row = { x: 9.5, zone: 'c' } as never
    const { predictions } = await learner.predict(row)

    // The same rows, and the same loaded without data.
    const again = await fromTable(write('first.csv', first), { ...shared, valid })
    expect((await (await loadLearner(file, { data: again })).predict(row)).predictions).toEqual(predictions)
    const other = write('second.csv', second.slice(0, 3).concat('1.5,c,new'))
    const otherwise = await fromTable(other, { ...shared, valid })
    const loading = loadLearner(file, { data: otherwise })
    await expect(loading).rejects.toThrow(ConfigError)
    await expect(loading).rejects.toThrow(
      /columns of categories are 'zone', 'x_na' in the file, 'zone' in the/,
    )
    const statistics = await fromTable(write('third.csv', [...first, '7.5,b,old']), { ...shared, valid })
    await expect(loadLearner(file, { data: statistics })).rejects.toThrow(
      /the mean of the column 'x' is 2 in the file, .*encodeAs: learner\.data/,
    )
    const zones = await fromTable(write('third.csv', [...first, '2,a,old']), { ...shared, valid })
    await expect(loadLearner(file, { data: zones })).rejects.toThrow(
      /'zone' has other categories \(2 in the file, 3 in the data\)/,
    )

    // Whatever was saved: other columns and categories are refused, other statistics told.
    const warnings: string[] = []
    const listen = (warning: Error & { code?: string }) =>
      warning.code === 'ANNEAL_OTHER_STATISTICS' && warnings.push(warning.message)
    process.on('warning', listen)
    onTestFinished(() => void process.off('warning', listen))
    for (const saved of [await learner.save('one'), file]) {
      const into = (other: typeof data) => tabularLearner(other, { layers: [4], path: where, silent: true })
      await expect(into(otherwise).load(saved)).rejects.toThrow(
        /columns of categories are 'zone', 'x_na' in the file, 'zone' in the .*strict: false/,
      )
      const swapped = await fromTable(write('third.csv', [...first.slice(0, 4), '3.5,a,old', '3.5,a,old']), {
        ...shared,
        valid: write('valid.csv', ['1.5,c,old']),
      })
      await expect(into(swapped).load(saved)).rejects.toThrow(/'zone' has other categories/)
      await into(again).load(saved)
      await new Promise(setImmediate)
      expect(warnings).toEqual([])
      const loaded = into(statistics)
      await loaded.load(saved)
      await new Promise(setImmediate)
      expect(warnings.splice(0)).toEqual([
        expect.stringMatching(/the mean of the column 'x' is 2 in the file/),
      ])
    }

    for (const encodeAs of [data, (await loadLearner(file)).data]) {
      const like = await fromTable(other, { ...shared, valid, encodeAs })
      expect(like.encoder.description).toEqual(data.encoder.description)
      expect(like.classes).toEqual(['new', 'old'])
      const training = await loadLearner(file, { data: like })
      expect((await training.predict(row)).predictions).toEqual(predictions)
      const unknown = write('unknown.csv', second)
      await expect(fromTable(unknown, { ...shared, valid, encodeAs })).rejects.toThrow(
        /line 5: the class 'middle', which encodeAs does not know/,
      )
      await expect(fromTable(other, { ...shared, valid, encodeAs, ignore: ['x'] })).rejects.toThrow(
        /encodeAs settles .* leave out ignore/,
      )
    }
    await expect(fromTable(other, { ...shared, valid, encodeAs: {} })).rejects.toThrow(/encodeAs takes data/)
  })

  it('summarises categories and numbers', async () => {
    const where = folder()
    const data = await fromTable(lines(where), { target: 'y', validPct: 0.2, batchSize: 16, seed: 1 })
    const summary = await tabularLearner(data, { layers: [8], silent: true }).summary()
    // Whether x is missing is a category too.
    expect(summary.title).toBe('TabularModel, inputs [1, 2] int64, [1, 1] float32')
    expect(summary.rows.map(({ name, outputShapes }) => [name, outputShapes[0]])).toEqual([
      ['embeddings.0', [1, 3]],
      ['embeddings.1', [1, 3]],
      ['embeddingDropout', [1, 6]],
      ['numberNorm', [1, 1]],
      ['layers.0', [1, 8]],
      ['layers.1', [1, 8]],
      ['layers.2', [1, 8]],
      ['layers.3', [1, 1]],
    ])
  })

  it('names classes', async () => {
    const where = folder()
    const file = join(where, 'kinds.csv')
    const rows = Array.from({ length: 60 }, (_, at) => `${at / 60},${at < 30 ? 'low' : 'high'}`)
    writeFileSync(file, `x,kind\n${rows.join('\n')}\n`)
    manualSeed(1)
    const data = await fromTable(file, { target: 'kind', validPct: 0.2, batchSize: 8, seed: 1 })
    const learner = tabularLearner(data, {
      layers: [16],
      path: where,
      silent: true,
      metrics: [metrics.accuracy],
    })
    await learner.fitOneCycle(8, { maxLr: 0.05 })
    expect((await learner.predict({ x: 0.95 } as never)).label).toBe('high')
    expect((await learner.predict({ x: 0.05 } as never)).label).toBe('low')
  })

  it('refuses an embedding for what is no category', async () => {
    const data = await fromTable(lines(folder()), { target: 'y', validPct: 0.2, batchSize: 16, seed: 1 })
    expect(() => tabularLearner(data, { embeddingSizes: { x: 4 } })).toThrow(
      /'x' is no column of categories.*'zone'/,
    )
  })
})
