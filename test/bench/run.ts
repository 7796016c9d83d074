// `npm run bench`: every case beside PyTorch (where python3 has it), in turns, with the same threads, batch, precision and
// work. Prints medians and ratios and writes them to out/bench/results.json. `npm run bench -- LeNet` runs some only.

import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify, styleText } from 'node:util'
import { integer, readOptions, text } from '../../recipes/lib/options.ts'
import { cases } from './cases.ts'

const here = path.dirname(fileURLToPath(import.meta.url))
const run = promisify(execFile)

const options = readOptions(
  `
Measures the engine beside PyTorch: medians of units of work, taken in turns.

  npm run bench -- [options]`,
  {
    only: text('TEXT', 'cases whose names contain this', 'all'),
    rounds: integer('turns for each side', 3),
    threads: integer('threads for each side', os.availableParallelism()),
    python: text('COMMAND', 'a Python that has torch', 'python3'),
    out: text('DIR', 'folder for results.json', 'out/bench'),
  },
)

interface Result {
  times: number[]
  loss: number
  peakMegabytes: number
  timerDelay99?: number | null
  torch?: string
  profile?: { op: string; count: number; seconds: number }[]
}

const environment = { ...process.env, OMP_NUM_THREADS: String(options.threads) }

async function ours(name: string, profile = false): Promise<Result> {
  const script = path.join(here, 'ours.ts')
  const env = profile ? { ...environment, ANNEAL_BENCH_PROFILE: '1' } : environment
  const { stdout } = await run(process.execPath, ['--import', 'tsx', script, name], { env })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

async function peer(name: string, steps: number, layout: string): Promise<Result> {
  const args = [path.join(here, 'peer.py'), name, String(steps), layout, String(options.threads)]
  const { stdout } = await run(options.python, args, { env: environment })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

async function findPeer(): Promise<string | null> {
  try {
    const { stdout } = await run(options.python, [
      '-c',
      'import torch, torchvision; print(torch.__version__)',
    ])
    return stdout.trim()
  } catch {
    return null
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const shown = (milliseconds: number) =>
  milliseconds < 0.1 ? `${(1000 * milliseconds).toFixed(2)} µs` : `${milliseconds.toFixed(2)} ms`

const version = await findPeer()
const threads = `${options.threads} thread${options.threads === 1 ? '' : 's'}`
console.log(
  `${os.cpus()[0]?.model?.trim()}, ${threads}; ${version ? `PyTorch ${version}` : 'no PyTorch to compare with'}`,
)
console.log(
  `${'case'.padEnd(34)}${'ours'.padStart(11)}${'PyTorch'.padStart(11)}${'ratio'.padStart(8)}  spread${'memory'.padStart(15)}`,
)

const results: Record<string, unknown>[] = []
const wanted = options.only === 'all' ? '' : options.only
for (const [name, { steps, opsPerStep }] of Object.entries(cases)) {
  if (!name.includes(wanted)) continue
  const own: Result[] = []
  const theirs: Result[] = []
  const layouts = opsPerStep || name.startsWith('MLP') ? ['contiguous'] : ['contiguous', 'channels_last']
  let layout = layouts[0]!
  for (let round = 0; round < options.rounds; round++) {
    own.push(await ours(name))
    if (!version) continue
    if (round > 0 || layouts.length === 1) {
      theirs.push(await peer(name, steps, layout))
      continue
    }
    // Both layouts once; then the better one.
    const both = [await peer(name, steps, layouts[0]!), await peer(name, steps, layouts[1]!)]
    const better = median(both[0]!.times) <= median(both[1]!.times) ? 0 : 1
    layout = layouts[better]!
    theirs.push(both[better]!)
  }
  const ratios = theirs.map((result, i) => median(result.times) / median(own[i]!.times)).sort((a, b) => a - b)
  const result = {
    name,
    ours: median(own.map(({ times }) => median(times))),
    peer: version ? median(theirs.map(({ times }) => median(times))) : null,
    ratio: version ? median(ratios) : null,
    spread: [ratios[0] ?? null, ratios.at(-1) ?? null],
    layout: version ? layout : null,
    losses: [own[0]!.loss, theirs[0]?.loss ?? null],
    peakMegabytes: [
      Math.max(...own.map((o) => o.peakMegabytes)),
      version ? Math.max(...theirs.map((t) => t.peakMegabytes)) : null,
    ],
    timerDelay99: median(own.map((o) => o.timerDelay99 ?? 0)),
  }
  results.push(result)
  const [least, most] = result.spread
  console.log(
    name.padEnd(34) +
      shown(result.ours).padStart(11) +
      (result.peer === null ? '' : shown(result.peer)).padStart(11) +
      (result.ratio === null ? '' : styleText('bold', `${result.ratio.toFixed(2)} ×`.padStart(8))) +
      (least === null ? '' : `  ${least!.toFixed(1)}–${most!.toFixed(1)}`.padEnd(9)) +
      `${result.peakMegabytes.map((value) => (value === null ? '' : value.toFixed(0))).join(' / ')} MB`.padStart(
        14,
      ),
  )
}

// Where ResNet18's time goes, by op.
const profiled = 'ResNet18 training, 8 x 224 px'
if (profiled.includes(wanted)) {
  const { profile = [], times } = await ours(profiled, true)
  const rows = profile.sort((a, b) => b.seconds - a.seconds).slice(0, 8)
  console.log(`\n${profiled}, milliseconds a step on the engine's thread:`)
  for (const { op, count, seconds } of rows) {
    const perStep = (1000 * seconds) / times.length
    console.log(
      `  ${op.padEnd(26)} ${String(count / times.length).padStart(4)} calls ${perStep.toFixed(2).padStart(8)}`,
    )
  }
}

await mkdir(options.out, { recursive: true })
const machine = {
  processor: os.cpus()[0]?.model,
  threads: options.threads,
  node: process.version,
  torch: version,
}
await writeFile(
  path.join(options.out, 'results.json'),
  `${JSON.stringify({ date: new Date().toISOString(), machine, results }, null, 2)}\n`,
)
console.log(`\n${path.join(options.out, 'results.json')}`)
