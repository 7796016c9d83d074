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
