import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drawShapes } from '../../recipes/lib/drawShapes.ts'
import { root, withBundle } from './bundle.ts'
import type { Leaving } from './exitProcess.ts'
import { randomNumbers } from './random.ts'

const moments = ['forward', 'backward', 'step', 'queue', 'prefetch', 'read', 'checkpoint', 'fit'] as const
/** Signals come to the main thread alone, which also catches errors for all; nobody ends the main thread but itself. */
const waysOf = {
  main: ['exit', 'reallyExit', 'SIGINT', 'SIGTERM', 'throw', 'caught', 'end'],
  beside: ['exit', 'reallyExit', 'SIGINT', 'SIGTERM', 'throw', 'caught', 'end'],
  worker: ['exit', 'reallyExit', 'throw', 'end'],
  terminated: ['end'],
} as const satisfies Record<Leaving['place'], readonly Leaving['way'][]>

/** Longer than any of them takes on a busy machine. */
const patience = 40_000

/** What Node writes where an error is not caught, and nothing after it. */
const uncaught = /^[^\n]+\n[^\n]+\n *\^\n\nError: on purpose\n( +at [^\n]+\n)+\nNode\.js v[\d.]+\n$/

/**
 * Starts `runs` processes that leave in the middle of something, each moment and place in turn, ways and delays at random.
 * @returns how many left in each way
 * @throws Error at the first that does not end with what it was asked to, writes to stderr, or hangs
 */
export async function exitRun({
  runs,
  seed,
}: {
  runs: number
  seed: number
}): Promise<Record<string, number>> {
  const random = randomNumbers(seed)
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]!
  const folder = mkdtempSync(join(tmpdir(), 'anneal-exit-'))
  const counts: Record<string, number> = {}
  const places = Object.keys(waysOf) as Leaving['place'][]
  try {
    await drawShapes(folder, { train: 4, valid: 2, size: 64, seed: 1 })
    await withBundle('exitProcess', async (program) => {
      let next = 0
      const lane = async () => {
        while (next < runs) {
          const at = next++
          const place = places[at % places.length]!
          const leaving: Leaving = {
            moment: moments[Math.floor(at / places.length) % moments.length]!,
            place,
            way: pick<Leaving['way']>(waysOf[place]),
            delay: random() < 0.2 ? 0 : 30 * random() ** 3,
            code: 2 + Math.floor(random() * 100),
            folder,
          }
          await leave(program, leaving)
          const name = place === 'terminated' ? 'terminate()' : leaving.way
          counts[name] = (counts[name] ?? 0) + 1
        }
      }
      // Two at a time: on a machine that has nothing else to do, nothing would ever come at a bad moment.
      await Promise.all([lane(), lane()])
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return counts
}

async function leave(program: string, leaving: Leaving): Promise<void> {
  const child = spawn(process.execPath, [program, JSON.stringify(leaving)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let written = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const timer = setTimeout(() => child.kill('SIGKILL'), patience)
  const ended = await new Promise<number | string | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(signal ?? code))
  })
  clearTimeout(timer)
  const { way, place, code } = leaving
  const expected = way === 'throw' || place === 'terminated' ? 1 : code
  const mayTell = way === 'throw' && (place === 'main' || place === 'beside')
  if (ended !== expected || written !== '' || (mayTell ? !uncaught.test(stderr) : stderr !== '')) {
    throw new Error(
      `${JSON.stringify(leaving)} ended with ${ended} instead of ${expected}: ${written}${stderr}`,
    )
  }
}
