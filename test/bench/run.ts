// `npm run bench`: every case beside PyTorch (where a Python has it), in turns, with the same threads, batch, precision and
// work. Prints medians and ratios and writes them to out/bench/results.json. `npm run bench -- --help` tells about options.

import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { integer, readOptions, text, toggle } from '../../recipes/lib/options.ts'
import { ConfigError } from '../../src/engine/errors.ts'
import { type Case, cases } from './cases.ts'
import { compile } from './compiled.ts'
import type { Measurement } from './measure.ts'
import { findPeer, findTensorFlow, type Layout, Sides } from './sides.ts'
import { ceilingTable, figures, heading, median, profileTable, type Row, summarise } from './table.ts'

const START = 'import to first training step'
const PICTURES = 'picture pipeline'
const pictures = fileURLToPath(new URL('../../../shared/data/hymenoptera_data/train', import.meta.url))

const options = readOptions(
  `
Measures the engine beside PyTorch: medians of units of work, taken in turns.

  npm run bench -- [options]`,
  {
    only: text('TEXT', 'cases whose names contain this', 'all'),
    rounds: integer('turns for each side', 3),
    quick: toggle('one turn of the short cases'),
    threads: integer('threads for each side', os.availableParallelism()),
    python: text('COMMAND', 'a Python that has torch', 'python3'),
    out: text('DIR', 'folder for results.json', 'out/bench'),
  },
)

const rounds = options.quick ? 1 : options.rounds
const isWanted = (name: string) => options.only === 'all' || name.includes(options.only)
const wanted = Object.entries(cases).filter(
  ([name, { short }]) => isWanted(name) && (short || !options.quick),
)
const withPictures = isWanted(PICTURES) && !options.quick && existsSync(pictures)
if (wanted.length === 0 && !isWanted(START) && !isWanted(PICTURES)) {
  const names = [...Object.keys(cases), START, PICTURES].join('\n  ')
  throw new ConfigError(`--only: no case's name contains '${options.only}'. There are\n  ${names}`)
}

// Debian's torch is that of its own Python, which another one may hide.
const peer = await findPeer(options.python === 'python3' ? ['python3', '/usr/bin/python3'] : [options.python])
const backends = findTensorFlow()
console.log(
  `${os.cpus()[0]?.model?.trim()}, ${options.threads} thread${options.threads === 1 ? '' : 's'}; ` +
    (peer ? `PyTorch ${peer.version}` : 'no PyTorch to compare with'),
)
const sides = new Sides(await compile(), options.threads, peer?.python ?? '')
const rows: Row[] = []
console.log(heading(peer !== undefined, backends))

/** The name stands there while its case is measured. */
async function show(name: string, measureCase: () => Promise<Row>) {
  process.stdout.write(name.padEnd(38))
  const row = await measureCase()
  rows.push(row)
  console.log(figures(row, backends))
}

async function inTurns(name: string, chosen: Case): Promise<Row> {
  const own: Measurement[] = []
  const theirs: Measurement[] = []
  let layout: Layout = 'contiguous'
  let otherLoss: number | null = null
  for (let round = 0; round < rounds; round++) {
    own.push(await sides.ours(name))
    if (!peer) continue
    if (round > 0 || !chosen.pictures) {
      theirs.push(await sides.peer(name, chosen.steps, layout))
      continue
    }
    // Both layouts once; then the better one.
    const contiguous = await sides.peer(name, chosen.steps, 'contiguous')
    const last = await sides.peer(name, chosen.steps, 'channels_last')
    if (median(last.times) < median(contiguous.times)) layout = 'channels_last'
    const [better, other] = layout === 'contiguous' ? [contiguous, last] : [last, contiguous]
    theirs.push(better)
    otherLoss = other.loss
  }
  const row = summarise(name, chosen, own, theirs, peer ? layout : null, otherLoss)
  for (const backend of chosen.tensorFlow ? backends : []) {
    const result = await sides.tensorFlow(name, chosen.steps, backend)
    row.tensorFlow[backend] = result ? median(result.times) : null
  }
  return row
}

/** Short runs, so that there are more of them; the first of either side only warms the file cache. */
async function startInTurns(): Promise<Row> {
  const own: Measurement[] = []
  const theirs: Measurement[] = []
  for (let turn = -1; turn < 2 * rounds; turn++) {
    const results = [await sides.ourStart(), peer && (await sides.peerStart())] as const
    if (turn < 0) continue
    own.push(results[0])
    if (results[1]) theirs.push(results[1])
  }
  return summarise(START, { goal: 4, tolerance: 1e-3 }, own, theirs, null)
}

for (const [name, chosen] of wanted) await show(name, () => inTurns(name, chosen))
if (isWanted(START)) await show(START, startInTurns)

const pipeline = withPictures ? await sides.pictures(pictures) : null
if (pipeline) console.log(`${[PICTURES, ...pipeline].join('\n  ')}`)

const apart = rows.filter(({ lossesAgree }) => lossesAgree === false)
for (const { name, tolerance } of apart) {
  console.log(`The last losses of ${name} differ by more than ${100 * tolerance} %: its times prove nothing.`)
}

// ResNet18: how far its steps are from what the machine allows, and where the time goes.
const trainings = rows.flatMap(({ name, ours }) => {
  const work = cases[name]?.resnet
  return work ? [{ name, ours, work }] : []
})
const rates = trainings.length > 0 ? await sides.machine() : null
const profiles: Record<string, Measurement> = {}
if (rates) {
  console.log(`\n${ceilingTable(trainings, rates)}`)
  const of = (dtype: string) => trainings.filter(({ work }) => work.dtype === dtype)
  for (const list of [of('float32'), of('bfloat16')]) {
    const name = (list.find(({ work }) => work.batch === 8) ?? list[0])?.name
    if (name === undefined) continue
    profiles[name] = await sides.ours(name, true)
    console.log(`\n${profileTable(name, profiles[name])}`)
  }
}

await mkdir(options.out, { recursive: true })
const machine = {
  processor: os.cpus()[0]?.model,
  threads: options.threads,
  node: process.version,
  torch: peer?.version ?? null,
  rates,
}
const file = path.join(options.out, 'results.json')
await writeFile(
  file,
  `${JSON.stringify({ date: new Date().toISOString(), machine, results: rows, pipeline, profiles }, null, 2)}\n`,
)
console.log(`\n${file}`)
