import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readIdx } from '../../src/data/idx.ts'
import { readCsv } from '../../src/data/table/readCsv.ts'
import { AnnealError } from '../../src/engine/errors.ts'
import { scope } from '../../src/engine/index.ts'
import { openWeightsFile, readStateDict } from '../../src/io/index.ts'
import { checkpointSeeds, readCheckpointSeed } from './checkpointSeeds.ts'
import { mutate } from './mutate.ts'
import { numbersOf, type RandomNumbers } from './random.ts'
import { csvSeeds, headerMutation, idxSeeds, picklesInZips, type Variant } from './seeds.ts'

const fixture = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../fixtures/io/${name}`, import.meta.url)))

/** A kind of file: valid examples, what reads it, and how one is spoilt that bytes alone would not reach. */
interface Target {
  extension: string
  seeds(folder: string): Buffer[] | Promise<Buffer[]>
  read(file: string, random: RandomNumbers): Promise<unknown>
  variant?: Variant
}

/** Tensors as bytes, and then as tensors: not every stored dtype is one of the engine's. */
async function weights(file: string): Promise<void> {
  const opened = await openWeightsFile(file)
  try {
    for (const name of opened.tensors.keys()) await opened.read(name)
  } finally {
    await opened.close()
  }
  await scope(async () => void (await readStateDict(file))).catch((error: unknown) => {
    if (!(error instanceof AnnealError)) throw error
  })
}

export const targets: Record<string, Target> = {
  pth: {
    extension: 'pth',
    seeds: () => ['mixed.pth', 'wrapped.pth', 'model.pth', 'mixed-protocol4.pth'].map(fixture),
    read: weights,
    variant: picklesInZips,
  },
  'legacy pth': {
    extension: 'pth',
    seeds: () => ['mixed-legacy.pth', 'mixed-legacy-protocol5.pth'].map(fixture),
    read: weights,
  },
  safetensors: {
    extension: 'safetensors',
    seeds: () => [fixture('mixed.safetensors')],
    read: weights,
    variant: headerMutation,
  },
  csv: {
    extension: 'csv',
    seeds: csvSeeds,
    read: (file, random) => readCsv(file, random() < 0.5 ? { onError: 'skip' } : {}),
  },
  idx: { extension: 'idx', seeds: idxSeeds, read: readIdx },
  checkpoint: {
    extension: 'safetensors',
    seeds: checkpointSeeds,
    read: readCheckpointSeed,
    variant: headerMutation,
  },
}

export interface Finding {
  target: string
  /** Number of the input in its run: with the seed it makes the same bytes again. */
  input: number
  problem: string
  bytes: Buffer
}

export interface FuzzReport {
  runs: number
  /** Inputs that were refused with an AnnealError; the others were read. */
  refused: Record<string, number>
  inputs: Record<string, number>
  findings: Finding[]
}

/** Milliseconds that an input of these sizes may take. */
const timeLimit = 1000
/** Bytes by which the process may grow beyond what it once had: what the largest claims may unfold to, and the collector's slack. */
const memoryLimit = 768 * 1024 ** 2

/** Reads `runs` spoilt files, of each kind in turn. Only AnnealErrors may come out, within a second each. */
export async function fuzzRun(options: {
  runs: number
  seed: number
  /** Default: all but checkpoints, whose fits take longer. */
  kinds?: readonly string[] | undefined
  progress?: (done: number, findings: number) => void
}): Promise<FuzzReport> {
  const { runs, seed, kinds, progress } = options
  const folder = mkdtempSync(join(tmpdir(), 'anneal-fuzz-'))
  const report: FuzzReport = { runs, refused: {}, inputs: {}, findings: [] }
  try {
    const names = kinds ?? Object.keys(targets).filter((name) => name !== 'checkpoint')
    const seeds = new Map<string, Buffer[]>()
    for (const name of names) seeds.set(name, await targets[name]!.seeds(folder))
    for (const [name, files] of seeds) {
      for (const bytes of files) {
        const problem = await attempt(name, bytes, folder, () => 0.9)
        if (problem !== undefined) throw new Error(`a valid file of ${name} is not read: ${problem}`)
      }
    }
    for (let input = 0; input < runs; input++) {
      const random = numbersOf(seed, input)
      const name = names[input % names.length]!
      const bytes = spoil(name, seeds.get(name)!, random)
      const problem = await attempt(name, bytes, folder, random)
      report.inputs[name] = (report.inputs[name] ?? 0) + 1
      if (problem === 'refused') report.refused[name] = (report.refused[name] ?? 0) + 1
      else if (problem !== undefined) report.findings.push({ target: name, input, problem, bytes })
      if (input % 1000 === 999) progress?.(input + 1, report.findings.length)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return report
}

function spoil(name: string, seeds: readonly Buffer[], random: RandomNumbers): Buffer {
  const pick = () => seeds[Math.floor(random() * seeds.length)]!
  const { variant } = targets[name]!
  if (variant && random() < 0.6) return variant(pick(), random)
  return mutate(pick(), random, pick())
}

/** Undefined if the file was read, 'refused' for an AnnealError, else what was wrong. */
export async function attempt(
  name: string,
  bytes: Buffer,
  folder: string,
  random: RandomNumbers,
): Promise<string | undefined> {
  const { extension, read } = targets[name]!
  const file = join(folder, `input.${extension}`)
  writeFileSync(file, bytes)
  const peak = process.resourceUsage().maxRSS
  let outcome: string | undefined
  // What is slow twice is slow by itself, not because the machine was busy.
  for (let turn = 0; turn < 2; turn++) {
    const start = performance.now()
    try {
      await read(file, random)
      outcome = undefined
    } catch (error) {
      outcome =
        error instanceof AnnealError
          ? 'refused'
          : `threw ${String((error as Error).stack ?? error).slice(0, 600)}`
    }
    const took = performance.now() - start
    if (took < timeLimit) break
    if (turn === 1) outcome = `took ${took.toFixed(0)} ms`
  }
  const grown = (process.resourceUsage().maxRSS - peak) * 1024
  if (grown > memoryLimit) outcome = `took ${grown} bytes of memory`
  const polluted = Object.keys(Object.prototype).length + Object.keys(Array.prototype).length
  if (polluted > 0 || 'polluted' in {}) outcome = 'changed the prototype of all objects'
  return outcome
}
