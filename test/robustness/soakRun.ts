import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drawShapes } from '../../recipes/lib/drawShapes.ts'
import { root, withBundle } from './bundle.ts'
import { robustSlope, type Slope } from './slope.ts'
import type { Sample, Soak } from './soakProcess.ts'

export interface SoakOptions {
  /** Training steps at least, and minutes at least. */
  steps: number
  minutes?: number
  seed: number
  /** Collect garbage after each epoch, or leave that to V8. */
  collect: boolean
  /** Bytes of resident memory that a step may add. Default `residentBound`. */
  bound?: number
  /** Called with each sample as it comes. */
  onSample?: (sample: Sample) => void
}

export interface SoakReport {
  steps: number
  minutes: number
  samples: number
  /** Resident memory, bytes a step. */
  resident: Slope
  /** Of it, what is not V8's heap, whose size comes and goes: bytes a step. */
  beside: Slope
  /** Bytes of live tensors, a step. */
  tensorBytes: Slope
  /** Greatest numbers in the first and in the second half of what was looked at. */
  tensors: [number, number]
  files: [number, number]
  /** Threads, a step. */
  threads: Slope
  /** What there was in the end. */
  last: Sample
  /** What grew beyond what is allowed; empty if nothing did. */
  grown: string[]
}

/**
 * Bytes of resident memory that a step may add, beyond noise. The history of a Learner that is used again and again keeps four
 * numbers a step, 32 bytes.
 */
export const residentBound = 128

/** Part of the samples, at the begin, in which caches fill and V8 finds its size. */
const warmUp = 0.5

/**
 * Trains in a process of its own, and looks at what it holds.
 * @throws Error if it does not come to its end, or writes to stderr
 */
export async function soakRun(options: SoakOptions): Promise<SoakReport> {
  const { steps, minutes = 0, seed, collect, bound, onSample } = options
  const folder = mkdtempSync(join(tmpdir(), 'anneal-soak-'))
  const began = performance.now()
  try {
    await drawShapes(folder, { train: 40, valid: 8, size: 32, seed })
    const samples = await withBundle('soakProcess', (program) =>
      run(
        [
          ...(collect ? ['--expose-gc'] : []),
          program,
          JSON.stringify({ folder, steps, minutes, seed } satisfies Soak),
        ],
        onSample,
      ),
    )
    return {
      ...judge(samples, { collected: collect, ...(bound && { bound }) }),
      minutes: (performance.now() - began) / 60_000,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What the samples say. */
export function judge(
  all: readonly Sample[],
  { collected, bound = residentBound }: { collected: boolean; bound?: number },
): Omit<SoakReport, 'minutes'> {
  const samples = all.slice(Math.floor(warmUp * all.length))
  const slopeOf = (value: (sample: Sample) => number) =>
    robustSlope(
      samples.map(({ step }) => step),
      samples.map(value),
    )
  const halves = (value: (sample: Sample) => number): [number, number] => {
    const values = samples.map(value)
    const middle = values.length >> 1
    return [Math.max(...values.slice(0, middle)), Math.max(...values.slice(middle))]
  }
  const last = samples.at(-1)!
  const report = {
    steps: last.step,
    samples: samples.length,
    resident: slopeOf(({ resident }) => resident),
    beside: slopeOf(({ resident, heap }) => resident - heap),
    tensorBytes: slopeOf(({ tensorBytes }) => tensorBytes),
    tensors: halves(({ tensors }) => tensors),
    files: halves(({ files }) => files),
    threads: slopeOf(({ threads }) => threads),
    last,
  }
  const grown: string[] = []
  const { tensorBytes, tensors, files, threads } = report
  for (const [name, { slope, noise }] of Object.entries({
    'resident memory': report.resident,
    "resident memory beside V8's heap": report.beside,
  })) {
    if (slope > bound + noise) grown.push(`${name}: ${slope.toFixed(0)} ± ${noise.toFixed(0)} bytes a step`)
  }
  // What is collected is known to the last tensor; otherwise some wait for the collector.
  if (collected && tensors[1] > tensors[0]) grown.push(`tensors: at most ${tensors[0]}, later ${tensors[1]}`)
  if (!collected && tensorBytes.slope > bound + tensorBytes.noise)
    grown.push(`tensors: ${tensorBytes.slope.toFixed(1)} ± ${tensorBytes.noise.toFixed(1)} bytes a step`)
  if (files[1] > files[0]) grown.push(`open files: at most ${files[0]}, later ${files[1]}`)
  const span = last.step - samples[0]!.step
  // Those that decode pictures come and go.
  if (span * (threads.slope - threads.noise) > 4)
    grown.push(`threads: ${(span * threads.slope).toFixed(0)} more after ${span} steps`)
  return { ...report, grown }
}

async function run(
  args: readonly string[],
  onSample: (sample: Sample) => void = () => {},
): Promise<Sample[]> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const samples: Sample[] = []
  let rest = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      samples.push(JSON.parse(line))
      onSample(samples.at(-1)!)
    }
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  try {
    const ended = await new Promise<number | string | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => resolve(signal ?? code))
    })
    if (ended !== 0 || stderr !== '') throw new Error(`the training ended with ${ended}: ${stderr}`)
    return samples
  } finally {
    child.kill('SIGKILL')
  }
}
