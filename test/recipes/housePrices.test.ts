import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { drawHouses } from '../../recipes/lib/drawHouses.ts'
import { loadLearner } from '../../src/index.ts'
import { runRecipe, temporaryFolder } from './support.ts'

vi.setConfig({ testTimeout: 600_000 })

describe('house-prices', () => {
  it('predicts the prices of a table that it draws, stops early, and writes what can be submitted', async () => {
    const out = join(await temporaryFolder(), 'out')
    const { code, stdout, stderr } = await runRecipe('house-prices', [
      ...['--out', out, '--rows', '400', '--epochs', '60', '--patience', '3', '--batch-size', '32', '--json'],
    ])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const result = JSON.parse(stdout.trimEnd().split('\n').at(-1)!)
    // Prices vary by about 0.5 in the logarithm; 0.058 of it is noise.
    expect(result.rmsle).toBeLessThan(0.25)
    expect(result.epochs).toBeLessThan(60)
    expect((await readdir(out)).sort()).toEqual([
      'best.safetensors',
      'data',
      'history.csv',
      'houses.safetensors',
      'losses.png',
      'submission.csv',
    ])
    const [head, ...rows] = (await readFile(join(out, 'submission.csv'), 'utf8')).trimEnd().split('\n')
    expect(head).toBe('Id,SalePrice')
    expect(rows).toHaveLength(400)
    expect(rows[0]).toMatch(/^401,\d+\.\d\d$/)

    const [columns, first] = (await readFile(join(out, 'data', 'test.csv'), 'utf8')).split('\n')
    const cells = first!.split(',')
    const row = Object.fromEntries(columns!.split(',').map((name, at) => [name, cells[at]]))
    const served = await loadLearner(join(out, 'houses'))
    const [price] = (await served.predict(row as never)).predictions as number[]
    expect(Math.exp(price!)).toBeCloseTo(Number(rows[0]!.split(',')[1]), -1)
  })

  it("names what is missing in a folder of one's own", async () => {
    const folder = await temporaryFolder()
    await drawHouses(folder, { rows: 100 })
    const args = ['--data', folder, '--out', join(folder, 'out'), '--target', 'Prize']
    const { code, stderr } = await runRecipe('house-prices', args)
    expect(code).toBe(1)
    expect(stderr).toMatch(/DataError: .*no column 'Prize'/)
    expect(stderr).not.toMatch(/^ {4}at /m)
  })
})
