import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Callback } from '../../src/learner/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { fits, outcome, resumableLearner } from './resumable.ts'
import { lineLearner } from './support.ts'

/** Starting processes takes its time on a busy machine. */
const patience = 240_000

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs a fit in a process; `onLine` sees what it writes and may send it signals. */
function runFit(
  args: readonly string[],
  onLine: (line: string, count: number, kill: (signal: NodeJS.Signals) => void) => void = () => {},
) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/learner/resumableProcess.ts', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const lines: string[] = []
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n').filter(Boolean)) {
      lines.push(line)
      onLine(line, lines.length, (signal) => child.kill(signal))
    }
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise<{ code: number | null; signal: string | null; lines: string[]; stderr: string }>(
    (done, fail) => {
      child.on('error', fail)
      child.on('close', (code, signal) => done({ code, signal, lines, stderr }))
    },
  )
}

async function uninterrupted(name: string, folder: string) {
  const learner = resumableLearner(folder, fits[name]!.options)
  await fits[name]!.run(learner, [])
  return JSON.parse(JSON.stringify(outcome(learner)))
}

const outcomeIn = (folder: string) => JSON.parse(readFileSync(join(folder, 'outcome.json'), 'utf8'))

describe('a process that is killed again and again', () => {
  it(
    'ends with the bits of one that was not',
    async () => {
      const folder = await temporaryFolder()
      const expected = await uninterrupted('oneCycle', folder)
      let kills = 0
      for (;;) {
        const killAt = 7 + (kills % 3)
        const { code, signal, stderr } = await runFit(['oneCycle', folder, '1'], (_, count, kill) => {
          if (count === killAt) kill('SIGKILL')
        })
        if (signal !== 'SIGKILL') {
          expect(stderr).toBe('')
          expect(code).toBe(0)
          break
        }
        kills++
        expect(kills).toBeLessThan(15)
      }
      expect(kills).toBeGreaterThan(1)
      expect(outcomeIn(folder)).toEqual(expected)
    },
    patience,
  )
})

describe('Ctrl-C', () => {
  it.each([
    ['training', (line: string, count: number) => line === 'batch' && count > 6],
    ['validation', (line: string) => line === 'validation'],
  ])(
    'in %s writes a checkpoint and the history, says how to go on, and exits with 130',
    async (_, isTime) => {
      const folder = await temporaryFolder()
      const expected = await uninterrupted('oneCycle', folder)
      let sent = false
      const first = await runFit(['oneCycle', folder, 'interrupt'], (line, count, kill) => {
        if (!sent && isTime(line, count)) {
          sent = true
          kill('SIGINT')
          setTimeout(() => kill('SIGINT'), 20) // as npx and tsx pass it on
        }
      })
      expect(first.code).toBe(130)
      expect(first.stderr).toContain('Interrupted: finishing the batch')
      expect(first.stderr).toMatch(/Learner\.resume\('.*last\.safetensors', learner\)/)
      expect(first.lines.at(-1)).not.toContain('listeners')
      expect(readFileSync(join(folder, 'models', 'last-history.csv'), 'utf8')).toMatch(/^epoch,/)
      const second = await runFit(['oneCycle', folder, 'interrupt'])
      expect(second).toMatchObject({ code: 0, stderr: '' })
      expect(second.lines.at(-1)).toBe('listeners 0')
      expect(outcomeIn(folder)).toEqual(expected)
    },
  )

  it(
    'pressed twice ends the process at once',
    async () => {
      const folder = await temporaryFolder()
      let sent = false
      const { signal, stderr } = await runFit(['oneCycle', folder, 'interrupt', '60000'], (_, __, kill) => {
        if (sent) return
        sent = true
        kill('SIGINT')
        setTimeout(() => kill('SIGINT'), 800)
      })
      expect(stderr).toContain('finishing the batch')
      expect(signal).toBe('SIGINT')
    },
    patience,
  )
})

describe('the listener for Ctrl-C', () => {
  class Count extends Callback {
    readonly counts = new Set<number>()
    readonly fails: boolean
    constructor(fails = false) {
      super()
      this.fails = fails
    }
    override onBatchEnd() {
      this.counts.add(process.listenerCount('SIGINT'))
      if (this.fails) throw new Error('no luck')
    }
  }

  it('is there during a fit, and gone afterwards, errors or not', async () => {
    const before = process.listeners('SIGINT')
    process.removeAllListeners('SIGINT')
    try {
      const count = new Count()
      await lineLearner().fit(1, { callbacks: [count] })
      expect([...count.counts]).toEqual([1])
      expect(process.listenerCount('SIGINT')).toBe(0)
      await expect(lineLearner().fit(1, { callbacks: [new Count(true)] })).rejects.toThrow('no luck')
      expect(process.listenerCount('SIGINT')).toBe(0)
      await lineLearner().lrFind({ numIt: 6 })
      expect(process.listenerCount('SIGINT')).toBe(0)
    } finally {
      for (const listener of before) process.on('SIGINT', listener)
    }
  })

  it('is not put beside one of the program', async () => {
    const own = () => {}
    process.on('SIGINT', own)
    try {
      const count = new Count()
      const listening = process.listenerCount('SIGINT')
      await lineLearner().fit(1, { callbacks: [count] })
      expect([...count.counts]).toEqual([listening])
    } finally {
      process.off('SIGINT', own)
    }
  })
})
