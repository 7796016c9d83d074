import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseIdx, readIdx } from '../../src/data/idx.ts'
import { parseCsv, type ReadCsvOptions, readCsv } from '../../src/data/table/readCsv.ts'
import { AnnealError, DataError } from '../../src/engine/errors.ts'
import { scope } from '../../src/engine/index.ts'
import { readFromMemory } from '../../src/io/fileSource.ts'
import { openWeightsFile, type RawTensor, readStateDict } from '../../src/io/index.ts'
import { readWeightsDirectory } from '../../src/io/openWeightsFile.ts'
import { tensorFromBytes } from '../../src/io/tensorBytes.ts'
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
  /** The same from memory, many times faster than by way of the disk. */
  parse?(bytes: Buffer, random: RandomNumbers): unknown
  variant?: Variant
  /** How many of the inputs are spoilt so; the others byte by byte. Default 0.6. */
  variants?: number
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

/** What {@link weights} does, of bytes in memory. */
function weightsInMemory(bytes: Buffer): void {
  const tensors = readFromMemory('input', bytes, function* (source) {
    const directory = yield* readWeightsDirectory(source)
    const read: RawTensor[] = []
    for (const name of directory.tensors.keys()) read.push(yield* directory.read(name))
    return read
  })
  try {
    for (const raw of tensors) tensorFromBytes(raw, 'input').dispose()
  } catch (error) {
    if (!(error instanceof AnnealError)) throw error
  }
}

const csvOptions = (random: RandomNumbers): ReadCsvOptions => (random() < 0.5 ? { onError: 'skip' } : {})
const isPacked = (bytes: Buffer) => bytes[0] === 0x1f && bytes[1] === 0x8b

export const targets: Record<string, Target> = {
  pth: {
    extension: 'pth',
    seeds: () => ['mixed.pth', 'wrapped.pth', 'model.pth', 'mixed-protocol4.pth'].map(fixture),
    read: weights,
    parse: weightsInMemory,
    variant: picklesInZips,
  },
  'legacy pth': {
    extension: 'pth',
    seeds: () => ['mixed-legacy.pth', 'mixed-legacy-protocol5.pth'].map(fixture),
    read: weights,
    parse: weightsInMemory,
  },
  safetensors: {
    extension: 'safetensors',
    seeds: () => [fixture('mixed.safetensors')],
    read: weights,
    parse: weightsInMemory,
    variant: headerMutation,
  },
  csv: {
    extension: 'csv',
    seeds: csvSeeds,
    read: (file, random) => readCsv(file, csvOptions(random)),
    parse: (bytes, random) => parseCsv(bytes, 'input', csvOptions(random)),
  },
  idx: {
    extension: 'idx',
    seeds: idxSeeds,
    read: readIdx,
    parse: (bytes) => parseIdx(bytes, (what) => new DataError(what)),
  },
  checkpoint: {
    extension: 'safetensors',
    seeds: checkpointSeeds,
    read: readCheckpointSeed,
    variant: headerMutation,
    // Bytes have a checksum.
    variants: 0.95,
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

/** Milliseconds of processor time that an input of these sizes may take, and of waiting where the processor is busy with others. */
const limits = { busy: 1000, waiting: 20_000 }
/** Bytes by which the process may grow beyond what it once had: what the largest claims may unfold to, and the collector's slack. */
const memoryLimit = 768 * 1024 ** 2

/** One input of each kind in so many goes by way of the disk, as files of users do. */
const fromDisk = 200
const inputsPerLook = 16

/** Reads `runs` spoilt files, of each kind in turn. Only AnnealErrors may come out, within a second each. */
export async function fuzzRun(options: {
  runs: number
  seed: number
  /** Default: all but checkpoints, whose fits take twenty times as long. */
  kinds?: readonly string[] | undefined
  progress?: (done: number, findings: number) => void
  found?: (finding: Finding) => void
}): Promise<FuzzReport> {
  const { runs, seed, kinds, progress, found } = options
  const folder = mkdtempSync(join(tmpdir(), 'anneal-fuzz-'))
  const report: FuzzReport = { runs, refused: {}, inputs: {}, findings: [] }
  try {
    const names = kinds ?? Object.keys(targets).filter((name) => name !== 'checkpoint')
    const seeds = new Map<string, Buffer[]>()
    for (const name of names) seeds.set(name, await targets[name]!.seeds(folder))
    for (const [name, files] of seeds) {
      for (const bytes of files) {
        const problem = await attempt(name, bytes, folder, () => () => 0.9, false)
        if (problem !== undefined) throw new Error(`a valid file of ${name} is not read: ${problem}`)
      }
    }
    let peak = process.resourceUsage().maxRSS
    for (let input = 0; input < runs; input++) {
      const random = numbersOf(seed, input)
      const name = names[input % names.length]!
      const bytes = spoil(name, seeds.get(name)!, random)
      let problem = await attempt(
        name,
        bytes,
        folder,
        () => numbersOf(~seed, input),
        input % fromDisk >= names.length,
      )
      if (input % inputsPerLook === 0) {
        const grown = (process.resourceUsage().maxRSS - peak) * 1024
        if (grown > memoryLimit)
          problem = `it, or one of the ${inputsPerLook} before it, took ${grown} bytes of memory`
        peak = process.resourceUsage().maxRSS
      }
      report.inputs[name] = (report.inputs[name] ?? 0) + 1
      if (problem === 'refused') report.refused[name] = (report.refused[name] ?? 0) + 1
      else if (problem !== undefined) {
        const finding = { target: name, input, problem, bytes }
        report.findings.push(finding)
        found?.(finding)
      }
      if (input % 1000 === 999) progress?.(input + 1, report.findings.length)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return report
}

function spoil(name: string, seeds: readonly Buffer[], random: RandomNumbers): Buffer {
  const pick = () => seeds[Math.floor(random() * seeds.length)]!
  const { variant, variants = 0.6 } = targets[name]!
  if (variant && random() < variants) return variant(pick(), random)
  return mutate(pick(), random, pick())
}

/** Undefined if the file was read, 'refused' for an AnnealError, else what was wrong. */
async function attempt(
  name: string,
  bytes: Buffer,
  folder: string,
  random: () => RandomNumbers,
  inMemory: boolean,
): Promise<string | undefined> {
  const { extension, read, parse } = targets[name]!
  const file = join(folder, `input.${extension}`)
  const quick = inMemory && parse !== undefined && !isPacked(bytes)
  if (!quick) writeFileSync(file, bytes)
  const once = async (): Promise<string | undefined> => {
    try {
      if (quick) await parse(bytes, random())
      else await read(file, random())
      return undefined
    } catch (error) {
      return error instanceof AnnealError
        ? 'refused'
        : `threw ${String((error as Error).stack ?? error).slice(0, 600)}`
    }
  }
  const start = performance.now()
  let outcome = await once()
  if (performance.now() - start > limits.busy) {
    // What is slow twice, by the processor's time, is slow by itself: nothing was compiled, collected or waited for.
    const again = performance.now()
    const before = process.cpuUsage()
    outcome = await once()
    const waited = performance.now() - again
    const { user, system } = process.cpuUsage(before)
    const busy = (user + system) / 1000
    if (busy > limits.busy || waited > limits.waiting)
      outcome = `took ${busy.toFixed(0)} ms of the processor, ${waited.toFixed(0)} ms in all`
  }
  const polluted = Object.keys(Object.prototype).length + Object.keys(Array.prototype).length
  if (polluted > 0 || 'polluted' in {}) outcome = 'changed the prototype of all objects'
  return outcome
}
