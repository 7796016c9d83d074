import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withBundle } from './bundle.ts'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export interface CallFinding {
  /** Number of the call in its run: with the seed it makes the same call again. */
  number: number
  kind: 'death' | 'hang' | 'memory' | 'error' | 'uncaught' | 'state' | 'unsound' | 'leak'
  call: string
  problem: string
}

export interface CallsReport {
  /** Calls made. */
  calls: number
  /** How often each target was called. */
  counts: Record<string, number>
  /** What was never called. */
  missed: string[]
  /** Errors by class. */
  refused: Record<string, number>
  /** Errors that are no AnnealErrors, by message and place, with an example. */
  raw: Map<string, { count: number; number: number; call: string }>
  findings: CallFinding[]
}

export interface CallsOptions {
  calls: number
  seed: number
  /** First number; default 0. */
  from?: number | undefined
  /** Processes at a time. Default 2. */
  workers?: number | undefined
  /** The add-on of build/sanitize, with the sanitizers' runtime. */
  asan?: boolean | undefined
  /** Only targets whose name fits. */
  only?: string | undefined
  /** After so many calls the known step is made, memory collected and counted. Default 1000. */
  batch?: number | undefined
  /** Every call on stderr. */
  verbose?: boolean | undefined
  /** Run from the sources, slower, so that `raw` tells places in them. */
  fromSources?: boolean | undefined
  progress?: (done: number, findings: number) => void
}

/** Calls of one process; a new one follows, so that what a process keeps does not add up. */
const perProcess = 12_500
/** Resident memory that a process may have, in MiB. Its data segment is limited too, so that what is too much fails in the engine. */
const memoryLimit = 3500
const dataLimit = 3000

/** Seconds of the processor for one call, and those that may pass while others have it. */
const cpuLimit = 6
const timeLimit = 60

/** Seconds of the processor that a process has had. */
function cpuSeconds(pid: number): number {
  try {
    // The name, in brackets, may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return 0
  }
}

function residentMiB(pid: number): number {
  try {
    return Number(/VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

function environment(asan: boolean, folder: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    ANNEAL_OFFLINE: '1',
    ANNEAL_CACHE: join(folder, 'cache'),
    HOME: folder,
    TMPDIR: folder,
  }
  delete env.NODE_OPTIONS
  delete env.VITEST
  if (!asan) return env
  return {
    ...env,
    LD_PRELOAD: execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim(),
    ANNEAL_ADDON: at('../../build/sanitize/Release/anneal.node'),
    UBSAN_OPTIONS: 'print_stacktrace=1',
    ASAN_OPTIONS:
      'detect_leaks=0:detect_stack_use_after_return=1:allocator_may_return_null=1:max_allocation_size_mb=2048:hard_rss_limit_mb=12000',
  }
}

interface Piece {
  from: number
  to: number
  batch: number
}

interface Ended {
  /** The call that killed it, or where it went on too long. */
  last: { number: number; call: string } | undefined
  problem: { kind: 'death' | 'hang' | 'memory'; problem: string } | undefined
  findings: CallFinding[]
  done:
    | {
        targets: string[]
        counts: Record<string, number>
        refused: Record<string, number>
        raw: [string, number][]
      }
    | undefined
  examples: { number: number; call: string; key: string }[]
  expected: string
}

function lines<T>(file: string): T[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T)
}

async function runPiece(program: string, piece: Piece, options: CallsOptions): Promise<Ended> {
  const { seed, asan = false, only = '', verbose = false } = options
  const folder = mkdtempSync(join(tmpdir(), 'anneal-calls-'))
  try {
    for (const name of ['model.pth', 'mixed.safetensors'])
      copyFileSync(at(`../fixtures/io/${name}`), join(folder, name.replace('mixed', 'model')))
    copyFileSync(at('../../native/core/ops.def'), join(folder, 'ops.def'))
    writeFileSync(join(folder, 'table.csv'), 'a,b,c\n1,x,2\n3,y,4\n')
    const node = [
      process.execPath,
      '--expose-gc',
      '--max-old-space-size=1500',
      '--disable-warning=ExperimentalWarning',
      ...(program.endsWith('.ts') ? ['--import', at('../../node_modules/tsx/dist/loader.mjs')] : []),
      program,
      String(seed),
      String(piece.from),
      String(piece.to),
      String(piece.batch),
      only,
      verbose ? 'verbose' : '',
    ]
    const limits = asan ? 'ulimit -c 0' : `ulimit -c 0; ulimit -d ${dataLimit * 1024}`
    const child = spawn('/bin/sh', ['-c', `${limits}; exec "$@"`, 'sh', ...node], {
      cwd: folder,
      env: environment(asan, folder),
      stdio: ['ignore', 'ignore', verbose ? 'inherit' : 'pipe'],
    })
    const stopped = await watch(child, join(folder, 'call'), asan)
    const [told = '', ...rest] = existsSync(join(folder, 'call'))
      ? readFileSync(join(folder, 'call'), 'utf8').split('\n\0')[0]!.split('\n')
      : []
    const done = existsSync(join(folder, 'done'))
      ? JSON.parse(readFileSync(join(folder, 'done'), 'utf8'))
      : undefined
    return {
      last: told === '' ? undefined : { number: Number(told), call: rest.join('\n') },
      problem: stopped ?? undefined,
      findings: lines(join(folder, 'findings')),
      done,
      examples: lines(join(folder, 'raw')),
      expected: existsSync(join(folder, 'expected')) ? readFileSync(join(folder, 'expected'), 'utf8') : '',
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Waits for its end, which comes by force when a call takes too long or too much. */
function watch(child: ChildProcess, callFile: string, asan: boolean): Promise<Ended['problem'] | null> {
  return new Promise((resolve) => {
    let errors = ''
    child.stderr?.on('data', (chunk) => {
      errors = (errors + chunk).slice(-20_000)
    })
    let stopped: Ended['problem'] | null = null
    let last = ''
    let since = performance.now()
    let cpuBefore = 0
    const timer = setInterval(() => {
      const now = existsSync(callFile) ? readFileSync(callFile, 'utf8').split('\n')[0]! : ''
      const cpu = cpuSeconds(child.pid as number)
      if (now !== last) {
        last = now
        since = performance.now()
        cpuBefore = cpu
      }
      const resident = residentMiB(child.pid as number)
      // The start, and the sanitizers, take their time.
      const patience = (asan ? 6 : 1) * (now === '' ? 6 : 1)
      const took = (performance.now() - since) / 1000
      if (cpu - cpuBefore > cpuLimit * patience || took > timeLimit * patience)
        stopped = {
          kind: 'hang',
          problem: `took ${took.toFixed(0)} s, ${(cpu - cpuBefore).toFixed(0)} s of the processor`,
        }
      else if (!asan && resident > memoryLimit)
        stopped = { kind: 'memory', problem: `took ${resident.toFixed(0)} MiB` }
      if (stopped) child.kill('SIGKILL')
    }, 200)
    child.on('close', (code, signal) => {
      clearInterval(timer)
      if (stopped === null && (code !== 0 || signal !== null)) {
        stopped = { kind: 'death', problem: `${signal ?? `exit code ${code}`}: ${essence(errors)}` }
      }
      resolve(stopped)
    })
  })
}

/** What a sanitizer or Node says first of all, and where. */
function essence(errors: string): string {
  const start = errors.search(
    /ERROR: AddressSanitizer|runtime error|FATAL ERROR|terminate called|Error:|libgomp/,
  )
  return errors.slice(Math.max(start, 0), Math.max(start, 0) + 2500).trim()
}

/** Makes `calls` calls with what makes no sense. Nothing may end a process, and every process must go on as if nothing had been. */
export async function callsRun(options: CallsOptions): Promise<CallsReport> {
  if (options.fromSources) return makeCalls(at('./callProcess.ts'), options)
  return withBundle('callProcess', (program) => makeCalls(program, options))
}

async function makeCalls(program: string, options: CallsOptions): Promise<CallsReport> {
  const { calls, from: first = 0, workers = 2, batch = 1000 } = options
  const report: CallsReport = { calls, counts: {}, missed: [], refused: {}, raw: new Map(), findings: [] }
  const pieces: Piece[] = []
  for (let from = first; from < first + calls; from += perProcess) {
    pieces.push({ from, to: Math.min(from + perProcess, first + calls), batch })
  }
  let expected = ''
  let targets: string[] = []
  let made = 0
  const work = async () => {
    for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
      const ended = await runPiece(program, piece, options)
      report.findings.push(...ended.findings)
      expected ||= ended.expected
      if (ended.expected !== '' && ended.expected !== expected) {
        report.findings.push({
          number: piece.from,
          kind: 'unsound',
          call: 'the first step',
          problem: `${ended.expected}, in another process ${expected}`,
        })
      }
      if (ended.done) {
        targets = ended.done.targets
        for (const [name, count] of Object.entries(ended.done.counts))
          report.counts[name] = (report.counts[name] ?? 0) + count
        for (const [name, count] of Object.entries(ended.done.refused))
          report.refused[name] = (report.refused[name] ?? 0) + count
        for (const [key, count] of ended.done.raw) {
          const known = report.raw.get(key)
          const example = ended.examples.find((one) => one.key === key)
          if (known) known.count += count
          else report.raw.set(key, { count, number: example?.number ?? -1, call: example?.call ?? '' })
        }
      }
      if (ended.problem) {
        const number = ended.last?.number ?? piece.from
        report.findings.push({ number, call: ended.last?.call ?? 'the start', ...ended.problem })
        if (number + 1 < piece.to && ended.last) pieces.unshift({ ...piece, from: number + 1 })
      }
      made += ended.problem && ended.last ? ended.last.number + 1 - piece.from : piece.to - piece.from
      options.progress?.(made, report.findings.length)
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
  report.missed = targets.filter((name) => !(name in report.counts))
  report.findings.sort((a, b) => a.number - b.number)
  return report
}
