import { afterAll, describe, expect, it } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import { gradcheck, manualSeed } from '../../src/engine/index.ts'
import { cases, type GradientCase, notDifferentiable } from './gradcheckCases.ts'

const isBackward = (op: string) => /_backward(_|$)/.test(op)
const excluded = new Set(Object.values(notDifferentiable).flat())

/** The ops of a table that have neither a case nor a reason to have none. Backward ops belong to the case of their op. */
function withoutCase(table: readonly string[]): string[] {
  return table.filter((op) => !isBackward(op) && !excluded.has(op) && !cases[op]?.length)
}

/** The names of the native ops that run during `body`. */
function opsRunBy(body: () => void): Set<string> {
  const ran = new Set<string>()
  const { call } = addon
  const spied = addon as { call: typeof call }
  spied.call = (op, count) => {
    ran.add(addon.opNames[op] as string)
    return call(op, count)
  }
  try {
    body()
  } finally {
    spied.call = call
  }
  return ran
}

describe('every op of the table', () => {
  it('has a gradient case, or a reason to have none', () => {
    expect(withoutCase(addon.opNames)).toEqual([])
    expect(withoutCase(['add', 'an_op_of_tomorrow', 'eq'])).toEqual(['an_op_of_tomorrow'])
  })

  it('is in the table, and not both differentiable and not', () => {
    const table = new Set(addon.opNames)
    const known = [...Object.keys(cases), ...excluded]
    expect(known.filter((op) => !table.has(op))).toEqual([])
    expect(Object.keys(cases).filter((op) => excluded.has(op))).toEqual([])
  })
})

describe('gradients agree with central differences', () => {
  const ranAnywhere = new Set<string>()
  let casesRun = 0
  const entries = Object.entries(cases).flatMap(([op, list]) =>
    list.map((each, i): [string, string, GradientCase] => [
      list.length > 1 ? `${op}, case ${i + 1}` : op,
      op,
      each,
    ]),
  )

  it.each(entries)('%s', (_, op, { fn, inputs }) => {
    manualSeed(1)
    const given = inputs()
    const ran = opsRunBy(() => expect(gradcheck(fn, given)).toBe(true))
    expect(ran.has(op), `${op} does not run in its own case`).toBe(true)
    for (const name of ran) ranAnywhere.add(name)
    casesRun++
  })

  afterAll(() => {
    // Here, not in a test: it needs all cases to have run (and not been filtered out).
    if (casesRun < entries.length) return
    const idle = addon.opNames.filter((op) => isBackward(op) && !ranAnywhere.has(op))
    expect(idle, 'backward ops that no case reaches').toEqual([])
  })
})
