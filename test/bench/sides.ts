// Who is measured: our own programs and PyTorch's (and TensorFlow.js's), each case in a process of its own.
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Rates } from './ceiling.ts'
import type { Compiled } from './compiled.ts'
import type { Measurement } from './measure.ts'

const here = path.dirname(fileURLToPath(import.meta.url))
const run = promisify(execFile)

export type Layout = 'contiguous' | 'channels_last'
export type Backend = 'cpu' | 'wasm'

export class Sides {
  readonly #programs: Compiled
  readonly #threads: number
  readonly #python: string
  readonly #environment: NodeJS.ProcessEnv

  constructor(programs: Compiled, threads: number, python: string) {
    this.#programs = programs
    this.#threads = threads
    this.#python = python
    this.#environment = { ...process.env, OMP_NUM_THREADS: String(threads) }
  }

  ours(name: string, profile = false): Promise<Measurement> {
    return this.#node(this.#programs.ours, name, ...(profile ? ['--profile'] : []))
  }

  machine(): Promise<Rates> {
    return this.#node(this.#programs.machine)
  }

  peer(name: string, steps: number, layout: Layout): Promise<Measurement> {
    const script = path.join(here, 'peer.py')
    return this.#json(this.#python, [script, name, String(steps), layout, String(this.#threads)])
  }

  /** From before the process starts until it has ended. */
  async ourStart(): Promise<Measurement> {
    return await this.#timed(() => this.#node(this.#programs.first))
  }

  async peerStart(): Promise<Measurement> {
    return await this.#timed(() => this.#json(this.#python, [path.join(here, 'start', 'first.py')]))
  }

  /** undefined where the backend lacks an op that the case's training needs, or two steps take more than a minute. */
  async tensorFlow(name: string, steps: number, backend: Backend): Promise<Measurement | undefined> {
    const script = path.join(here, 'tensorFlow.mjs')
    try {
      const args = [script, name, String(steps), backend, String(this.#threads)]
      return await this.#json(process.execPath, args, 60_000)
    } catch (error) {
      if (
        (error as { killed?: boolean }).killed ||
        /Kernel '\w+' not registered/.test((error as Error).message)
      )
        return undefined
      throw error
    }
  }

  /** What data.ts says of decoding and transforming the pictures of a folder, line by line. */
  async pictures(folder: string): Promise<string[]> {
    const args = ['--import', 'tsx', path.join(here, 'data.ts'), folder]
    const env = { ...this.#environment, ANNEAL_BENCH_PYTHON: this.#python }
    return (await run(process.execPath, args, { env })).stdout.trim().split('\n')
  }

  async #timed(work: () => Promise<Omit<Measurement, 'times'>>): Promise<Measurement> {
    const start = performance.now()
    const result = await work()
    return { ...result, times: [performance.now() - start] }
  }

  #node<T>(...args: string[]): Promise<T> {
    return this.#json(process.execPath, args)
  }

  async #json<T>(command: string, args: string[], timeout = 0): Promise<T> {
    const { stdout } = await run(command, args, { env: this.#environment, timeout })
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as T
  }
}

/** The first of some Pythons that has torch, and torch's version. */
export async function findPeer(pythons: readonly string[]) {
  for (const python of pythons) {
    try {
      const { stdout } = await run(python, ['-c', 'import torch, torchvision; print(torch.__version__)'])
      return { python, version: stdout.trim() }
    } catch {
      // The next one may have it.
    }
  }
  return undefined
}

/** TensorFlow.js is no dependency of ours: it is measured where somebody has installed it. */
export function findTensorFlow(): Backend[] {
  const require = createRequire(import.meta.url)
  const has = (name: string) => {
    try {
      return Boolean(require.resolve(name))
    } catch {
      return false
    }
  }
  if (!has('@tensorflow/tfjs')) return []
  return has('@tensorflow/tfjs-backend-wasm') ? ['cpu', 'wasm'] : ['cpu']
}
