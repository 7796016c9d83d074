import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import * as anneal from '../../src/index.ts'

// The tables of ERRORS.md against the code: every class, every code, every warning, and nothing else.

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const sources = ['src', 'callbacks'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(join(folder, name))),
)

/** Rows of the tables whose first cell is a code, without the backquotes of cells that are nothing but code. */
const rows = read('ERRORS.md')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.slice(2, -2).split(' | '))
  .map((cells) => cells.map((cell) => cell.replace(/^`([^`]*)`$/, '$1')))
const errors = rows.filter(([code]) => code === 'ANNEAL_ERROR' || !code!.startsWith('ANNEAL_'))
const warnings = rows.filter((row) => !errors.includes(row))

type ErrorClass = new (message: string, place?: unknown) => anneal.AnnealError

/** The exported classes by name. */
const classes = Object.fromEntries(
  Object.entries(anneal).filter(
    ([, value]) =>
      typeof value === 'function' &&
      (value === anneal.AnnealError || value.prototype instanceof anneal.AnnealError),
  ),
) as Record<string, ErrorClass>

/** What DivergenceError is told by its callback serves for the place of the others that have one. */
const context = { epoch: 1, numBatch: 2, lossValue: NaN, learner: { optimizer: { lr: 0.1 } } }
const make = (name: string) =>
  name === 'DivergenceError'
    ? new classes[name]!(context as never)
    : new classes[name]!('message', name === 'GANDivergenceError' ? context : undefined)

describe('ERRORS.md', () => {
  test('lists each exported class, with the code that its errors have', () => {
    expect(errors.map(([, name]) => name).sort()).toEqual(Object.keys(classes).sort())
    for (const [code, name] of errors) expect([name, make(name!).code]).toEqual([name, code])
  })

  test('lists each code of the type ErrorCode', () => {
    const union = /export type ErrorCode =\n((?: {2}\| '\w+'\n)+)/.exec(read('src/engine/errors.ts'))![1]!
    const codes = [...union.matchAll(/'(\w+)'/g)].map((match) => match[1])
    expect([...new Set(errors.map(([code]) => code))].sort()).toEqual(codes.sort())
  })

  test('misses no class of the sources: those that are not exported take the code of their parent', () => {
    const declared = sources.flatMap((text) => [
      ...text.matchAll(/^(export )?(?:abstract )?class (\w+) extends (\w*Error)\b/gm),
    ])
    expect(declared.length).toBeGreaterThan(9)
    for (const [, , name, parent] of declared) {
      if (name! in classes) continue
      expect(parent === 'Error' || parent! in classes, `${name} extends ${parent}`).toBe(true)
    }
    const ours = declared.filter(([, , , parent]) => parent === 'AnnealError').map((match) => match[2])
    for (const name of ours) expect(Object.keys(classes)).toContain(name)
  })

  test('lists each warning', () => {
    const used = sources.flatMap((text) =>
      [...text.matchAll(/code: '(ANNEAL_\w+)'/g)].map((match) => match[1]),
    )
    expect(used.length).toBeGreaterThan(0)
    expect(warnings.map(([code]) => code).sort()).toEqual([...new Set(used)].sort())
  })

  test('gives each a cause and a remedy', () => {
    for (const row of errors) expect(row, row[1]).toHaveLength(4)
    for (const row of warnings) expect(row, row[0]).toHaveLength(3)
    for (const cell of rows.flatMap((row) => row.slice(-2))) expect(cell.length, cell).toBeGreaterThan(15)
  })
})
