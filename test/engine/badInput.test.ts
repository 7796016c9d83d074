import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { conv1d, emptyCache, flip, OutOfMemoryError, tensor, zeros } from '../../src/engine/index.ts'

const walk = fileURLToPath(new URL('./badInputWalk.ts', import.meta.url))

describe('values that make no sense', () => {
  // In a process of its own: a crash there is a failure here that names the call.
  it('are refused by an error with a message, wherever they go, and the engine works on', {
    timeout: 300_000,
  }, () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'anneal-'))
    try {
      const log = path.join(folder, 'call.txt')
      const { status, signal, stdout, stderr } = spawnSync(
        process.execPath,
        ['--import', 'tsx', walk, log, '1'],
        {
          encoding: 'utf8',
        },
      )
      const last = readFileSync(log, 'utf8').split('\n')[0]
      expect({ status, signal }, `the process ended during ${last}: ${stderr}`).toEqual({
        status: 0,
        signal: null,
      })
      const { calls, problems } = JSON.parse(stdout.trim().split('\n').at(-1) as string)
      expect(problems).toEqual([])
      expect(calls).toBeGreaterThan(150_000)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('name what was given', () => {
    expect(() => zeros([2], null as never)).toThrow(/options must be an object, got null/)
    expect(() => tensor([1, 2]).sum(0, true as never)).toThrow(/sum: the options must be an object, got true/)
    expect(() => tensor(['a'] as never)).toThrow(/found "a"/)
    expect(() => tensor([1]).flatten(Symbol() as never)).toThrow(/must be a number, got Symbol\(\)/)
    expect(() => tensor([1]).gather('0' as never, tensor([0]))).toThrow(/a dimension is a number, got "0"/)
    expect(() => conv1d(zeros([1, 3, 8]), zeros([2, 4, 3]))).toThrow(
      /^conv1d of an input \[1, 3, 8\] with a weight \[2, 4, 3\].*channels/,
    )
    expect(() => flip(undefined as never, [0])).toThrow(/flip: the input must be a tensor, got undefined/)
    expect(() => tensor([1]).copy_(undefined as never)).toThrow(
      /copy_: the source must be a tensor, got undefined/,
    )
  })

  it('such as an array whose memory is gone', () => {
    const array = new Float32Array(4)
    structuredClone(array.buffer, { transfer: [array.buffer] })
    expect(() => tensor(array)).toThrow(/detached/)
  })

  it('such as more memory than there is: the error says how much was asked, used and available', () => {
    expect(() => zeros([2 ** 38])).toThrow(OutOfMemoryError)
    expect(() => zeros([2 ** 38])).toThrow(/MiB asked for, .*MiB in use/)
    emptyCache()
    expect(zeros([2]).add(1).toArray()).toEqual([1, 1])
  })
})
