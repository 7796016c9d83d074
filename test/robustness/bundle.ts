import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Runs `body` with a program of this folder joined into one file, which plain Node starts without translating it. It lies within the
 * checkout, where it finds the engine and the packages, and is gone afterwards.
 */
export async function withBundle<T>(name: string, body: (program: string) => Promise<T>): Promise<T> {
  const program = join(root, 'build', `${name}-${process.pid}.mjs`)
  try {
    await build({
      entryPoints: [join(root, 'test/robustness', `${name}.ts`)],
      outfile: program,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      keepNames: true,
      logLevel: 'warning',
    })
    return await body(program)
  } finally {
    rmSync(program, { force: true })
  }
}

/** The same numbers for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
