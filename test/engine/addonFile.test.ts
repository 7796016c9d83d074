import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addonFile, levelOf } from '../../src/engine/addonFile.ts'

const v3 = ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe']
const v4 = ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl']

describe('the add-on for a processor', () => {
  it('is the highest level that it has whole', () => {
    expect(levelOf(new Set(['sse2', ...v3, ...v4, 'amx_bf16']))).toBe('v4')
    expect(levelOf(new Set(['sse2', ...v3, ...v4.slice(1)]))).toBe('v3')
    expect(levelOf(new Set(['sse2', ...v3.slice(1), ...v4]))).toBe(null)
    expect(levelOf(new Set())).toBe(null)
  })

  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'anneal-levels-'))
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
    delete process.env.ANNEAL_LEVEL
  })

  it('is the only one of a build tuned for its machine', () => {
    process.env.ANNEAL_LEVEL = 'v3'
    expect(addonFile(folder)).toBe(path.join(folder, 'anneal.node'))
  })

  it('is chosen among those of a portable build', () => {
    for (const name of ['anneal', 'anneal-v3', 'anneal-v4'])
      writeFileSync(path.join(folder, `${name}.node`), '')
    const names = ['anneal.node', 'anneal-v3.node', 'anneal-v4.node'].map((name) => path.join(folder, name))
    expect(names).toContain(addonFile(folder))
    process.env.ANNEAL_LEVEL = 'baseline'
    expect(addonFile(folder)).toBe(names[0])
    process.env.ANNEAL_LEVEL = 'v3'
    expect(addonFile(folder)).toBe(names[1])
  })
})
