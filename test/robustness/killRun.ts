import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, type FSWatcher, mkdirSync, mkdtempSync, readdirSync, rmSync, watch } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readLearnerFile } from '../../src/learner/learnerFile.ts'
import { root, withBundle } from './bundle.ts'
import { randomNumbers } from './random.ts'

/** When a process is killed: some time after a batch begins, or after a write begins or its file takes its name. */
const aims = ['batch', 'write', 'rename'] as const
type Aim = (typeof aims)[number]

export interface KillReport {
  /** Processes that died of SIGKILL, by what was aimed at. */
  kills: Record<Aim, number>
  /** Of them, those that left a half-written file behind. */
  insideWrite: number
  /** Fits that were brought to their end through kills, each with the bits of one that was not interrupted. */
  fits: number
}

interface Ended {
  signal: string | null
  code: number | null
  /** Numbers of the training batches that began. */
  begun: number[]
  outcome: string | undefined
  stderr: string
}

/**
 * Runs fits that are killed and resumed until `kills` processes have died and the fit under way is at its end.
 * @throws Error at the first file that does not load, batch that is lost, or bit that differs
 */
export async function killRun({ kills, seed }: { kills: number; seed: number }): Promise<KillReport> {
  const random = randomNumbers(seed)
  const report: KillReport = { kills: { batch: 0, write: 0, rename: 0 }, insideWrite: 0, fits: 0 }
  const total = () => report.kills.batch + report.kills.write + report.kills.rename
  const folder = mkdtempSync(join(tmpdir(), 'anneal-kill-'))
  try {
    await withBundle('killProcess', async (program) => {
      const expected = (await run([program, join(folder, 'whole')])).outcome
      if (expected === undefined) throw new Error('the fit that is not interrupted does not come to its end')
      while (total() < kills) await killOneFit(program, join(folder, `fit-${report.fits}`), expected)
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return report

  /** One fit, killed until enough have died. */
  async function killOneFit(program: string, path: string, expected: string): Promise<void> {
    const models = join(path, 'models')
    mkdirSync(models, { recursive: true })
    let lastBegun = 0
    for (;;) {
      const enough = total() >= kills
      const aim = aims[Math.floor(random() * aims.length)]!
      const shot = { aim, after: 1 + Math.floor(random() * 6), delay: random() < 0.3 ? 0 : 40 * random() }
      const before = new Set(temporaries(models))
      const ended = await run([program, path, 'checkpoint'], enough ? undefined : { ...shot, models })
      const what = `seed ${seed}, kill ${total() + 1}, ${JSON.stringify(shot)}`
      if (ended.begun.length > 0) {
        // When a batch begins the checkpoint of the one before it stands: none may be lost, none done twice over.
        const [first] = ended.begun as [number]
        if (first !== lastBegun && first !== lastBegun + 1) {
          throw new Error(`${what}: batch ${lastBegun} had begun, and the process after it began at ${first}`)
        }
        lastBegun = ended.begun.at(-1)!
      }
      if (ended.signal !== 'SIGKILL') {
        if (ended.code !== 0 || ended.stderr !== '') throw new Error(`${what}: ${ended.stderr || ended.code}`)
        if (ended.outcome !== expected)
          throw new Error(`${what}: ${ended.outcome} instead of ${expected} at the end`)
        report.fits++
        return
      }
      report.kills[aim]++
      if (temporaries(models).some((name) => !before.has(name))) report.insideWrite++
      const last = join(models, 'last.safetensors')
      if (existsSync(last)) await readLearnerFile(last)
      else if (lastBegun > 0)
        throw new Error(`${what}: there is no checkpoint after batch ${lastBegun} began`)
    }
  }
}

const temporaries = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.tmp'))

interface Shot {
  aim: Aim
  /** The how-manieth of what is aimed at. */
  after: number
  /** Milliseconds from then on. */
  delay: number
  /** Where checkpoints are written. */
  models: string
}

/** Runs the program, and kills it if there is a shot. */
async function run(args: readonly string[], shot?: Shot): Promise<Ended> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended: Ended = { signal: null, code: null, begun: [], outcome: undefined, stderr: '' }
  const watcher = shot && aimAt(child, shot)
  let rest = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      const [kind, value = ''] = line.split(' ')
      if (kind === 'outcome') ended.outcome = value
      if (kind !== 'begin') continue
      ended.begun.push(Number(value))
      if (shot?.aim === 'batch' && ended.begun.length === shot.after) kill(child, shot.delay)
    }
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    ended.stderr += text
  })
  try {
    return await new Promise<Ended>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => resolve({ ...ended, code, signal }))
    })
  } finally {
    child.kill('SIGKILL')
    watcher?.close()
  }
}

/** Kills when a temporary file appears (`write`), or when it has been renamed (`rename`). */
function aimAt(child: ChildProcess, { aim, after, delay, models }: Shot): FSWatcher | undefined {
  if (aim === 'batch') return undefined
  const seen = new Set<string>()
  let renames = 0
  const watcher = watch(models, (event, name) => {
    if (event !== 'rename' || name === null) return
    if (aim === 'write' && name.endsWith('.tmp')) {
      if (seen.size < after && seen.add(name).size === after) kill(child, delay)
    } else if (aim === 'rename' && name === 'last.safetensors' && ++renames === after) {
      kill(child, delay / 20)
    }
  })
  return watcher
}

function kill(child: ChildProcess, delay: number): void {
  if (delay < 1) child.kill('SIGKILL')
  else setTimeout(() => child.kill('SIGKILL'), delay)
}
