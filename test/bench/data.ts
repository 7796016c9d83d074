// The data pipeline beside torchvision's ImageFolder and DataLoader, in turns: RandomResizedCrop 224, flip, normalise, batches of 16.
// `npx tsx test/bench/data.ts [DIR]`; ANNEAL_BENCH_PYTHON names a Python with torchvision.
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  DataLoader,
  ImageFolder,
  imagenetStats,
  scope,
  synchronize,
  transforms as T,
  torchvisionExtensions,
} from '../../src/index.ts'

const here = path.dirname(fileURLToPath(import.meta.url))
const folder = process.argv[2] ?? path.resolve(here, '../../../shared/data/hymenoptera_data/train')
const rounds = Number(process.env.ANNEAL_BENCH_ROUNDS ?? 7)
const python = process.env.ANNEAL_BENCH_PYTHON ?? 'python3'
if (!existsSync(folder)) throw new Error(`there is no folder ${folder}`)

const pipeline = T.compose([
  T.randomResizedCrop(224),
  T.randomHorizontalFlip(),
  T.toTensor(),
  T.normalize(imagenetStats.mean, imagenetStats.std),
])

/** One epoch. */
interface Turn {
  picturesPerSecond: number
  /** Milliseconds of processor for a picture: what a machine in use does not change much. */
  processor: number
}

async function ours(workers: number): Promise<Turn> {
  const dataset = new ImageFolder(folder, { transform: pipeline, extensions: torchvisionExtensions })
  const loader = new DataLoader(dataset, { batchSize: 16, shuffle: true, dropLast: true, workers, seed: 1 })
  const iterator = loader[Symbol.asyncIterator]()
  let pictures = 0
  const before = process.cpuUsage()
  let start = performance.now()
  // The first batch warms caches and compilers, as it does on the other side.
  for (let first = true; ; first = false) {
    const count = await scope(async () => {
      const { done, value } = await iterator.next()
      return done ? 0 : (value.x as { shape: readonly number[] }).shape[0]!
    })
    synchronize()
    if (count === 0) break
    if (first) start = performance.now()
    else pictures += count
  }
  const picturesPerSecond = pictures / ((performance.now() - start) / 1000)
  const { user, system } = process.cpuUsage(before)
  return { picturesPerSecond, processor: (user + system) / 1000 / (pictures + 16) }
}

/** A process that measures an epoch for each number of workers that it is told. */
function startPeer() {
  const child = spawn(python, [path.join(here, 'dataPeer.py'), folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async measure(workers: number): Promise<Turn> {
      child.stdin.write(`${workers}\n`)
      const [picturesPerSecond, processor] = String((await lines.next()).value)
        .split(' ')
        .map(Number) as [number, number]
      return { picturesPerSecond, processor }
    },
    stop: () => child.stdin.end(),
  }
}

const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b)
const median = (values: readonly number[]) => sorted(values)[values.length >> 1]!
const hasPeer = await promisify(execFile)(python, ['-c', 'import torchvision']).then(
  () => true,
  () => false,
)
const peer = hasPeer ? startPeer() : undefined
for (const workers of [0, 2]) {
  const mine: Turn[] = []
  const theirs: Turn[] = []
  // Each side begins every other turn, so that a neighbour who comes or goes meets both.
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) mine.push(await ours(workers))
    if (peer) theirs.push(await peer.measure(workers))
    if (round % 2 === 1) mine.push(await ours(workers))
  }
  const rate = median(mine.map(({ picturesPerSecond }) => picturesPerSecond))
  const processor = median(mine.map((turn) => turn.processor))
  console.log(
    `workers ${workers}: ${rate.toFixed(0)} pictures/s, ${processor.toFixed(2)} ms of processor each${comparison(mine, theirs)}`,
  )
}

function comparison(mine: readonly Turn[], theirs: readonly Turn[]): string {
  if (theirs.length === 0) return ''
  const ratios = sorted(mine.map((turn, at) => turn.picturesPerSecond / theirs[at]!.picturesPerSecond))
  const [low, high] = [ratios[0]!, ratios.at(-1)!].map((ratio) => ratio.toFixed(2))
  const rate = median(theirs.map(({ picturesPerSecond }) => picturesPerSecond)).toFixed(0)
  const processor = median(theirs.map((turn) => turn.processor)).toFixed(2)
  return `; torchvision ${rate} and ${processor} ms; ${median(ratios).toFixed(2)} times (${low} to ${high} in ${ratios.length} turns)`
}
peer?.stop()
