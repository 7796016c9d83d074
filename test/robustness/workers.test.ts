import { spawn } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { root, withBundle } from './bundle.ts'

/** A plain Node runs a scenario of workersProcess.ts. */
async function scenario<T>(name: string, count: number): Promise<T> {
  return withBundle('workersProcess', async (program) => {
    const child = spawn(process.execPath, [program, name, String(count)], { cwd: root })
    let written = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      written += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const ended = await new Promise((resolve) => child.on('close', (code, signal) => resolve(signal ?? code)))
    expect(stderr).toBe('')
    expect(ended).toBe(0)
    return JSON.parse(written)
  })
}

const workers = Number(process.env.ANNEAL_TEST_WORKERS ?? 40)

interface Ended {
  task: string
  code: number
  said?: string
  error?: string
}

const how: Record<string, Omit<Ended, 'task'>> = {
  fail: { code: 1, said: 'ShapeError,ShapeError', error: 'on purpose' },
  endless: { code: 1, said: 'begun' },
  leave: { code: 1, said: 'left' },
}

describe('workers', () => {
  it('train at the same time to the bits of the main thread', async () => {
    const { main, others, otherSeed } = await scenario<{
      main: string
      others: Ended[]
      otherSeed: string
    }>('together', 3)
    expect(main).toMatch(/^[0-9a-f]{64}$/)
    expect(otherSeed).not.toBe(main)
    expect(others).toEqual(Array.from({ length: 3 }, () => ({ task: 'train', code: 0, said: main })))
  })

  it('do not feel errors in others, nor their end', async () => {
    const { main, trained, others } = await scenario<{ main: string; trained: Ended[]; others: Ended[] }>(
      'apart',
      2,
    )
    expect(trained).toEqual(Array.from({ length: 2 }, () => ({ task: 'train', code: 0, said: main })))
    expect(others).toEqual(['fail', 'endless', 'leave'].map((task) => ({ task, ...how[task] })))
  })

  it('may be ended while they load the engine', async () => {
    const count = 3 * workers
    const { loaded, main } = await scenario<{ loaded: number; main: string }>('loading', count)
    // Some were ended before the end of loading, or this has shown nothing.
    expect(loaded).toBeLessThan(count)
    expect(main).toMatch(/^[0-9a-f]{64}$/)
  }, 600_000)

  it('give back what they held', async () => {
    const { before, after, ended } = await scenario<{
      before: Record<'resident' | 'files' | 'threads', number>
      after: Record<'resident' | 'files' | 'threads', number>
      ended: Ended[]
    }>('churn', workers)
    expect(ended).toHaveLength(workers)
    const digest = ended[0]!.said
    for (const { task, ...end } of ended) expect(end).toEqual(how[task] ?? { code: 0, said: digest })
    expect(after.files).toBe(before.files)
    expect(after.threads).toBe(before.threads)
    // Each had some megabytes of tensors, and stacks for its threads besides: a tenth of one is not kept.
    expect(after.resident - before.resident).toBeLessThan(0.8 * workers * 2 ** 19)
  }, 600_000)
})
