// What the benchmark runs: the package as an installed user has it, and the benchmark's own programs bundled with it, so that
// nothing is compiled while something is timed. All in a temporary folder, which goes with the process.
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const here = path.dirname(fileURLToPath(import.meta.url))
const root = path.resolve(here, '..', '..')
const run = promisify(execFile)

export interface Compiled {
  /** Runs one case: ours.ts. */
  ours: string
  /** Measures the machine: machine.ts. */
  machine: string
  /** Imports the installed package and trains one step. */
  first: string
}

export async function compile(): Promise<Compiled> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'anneal-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
  const installed = path.join(folder, 'node_modules', 'anneal')
  mkdirSync(installed, { recursive: true })
  copyFileSync(path.join(root, 'package.json'), path.join(installed, 'package.json'))
  for (const name of ['build', 'node_modules']) symlinkSync(path.join(root, name), path.join(installed, name))
  // npm's bin folder is on the path under `npm run` only.
  const esbuild = path.join(root, 'node_modules', '.bin', 'esbuild')
  await run('npm', ['run', '--silent', 'bundle:dist', '--', `--outdir=${path.join(installed, 'dist')}`], {
    cwd: root,
  })
  const programs = ['ours', 'machine'].map((name) => path.join(here, `${name}.ts`))
  const flags = ['--bundle', '--splitting', '--keep-names', '--packages=external', '--platform=node']
  const outdir = path.join(installed, 'bench')
  await run(esbuild, [...programs, ...flags, '--format=esm', `--outdir=${outdir}`, '--log-level=warning'])
  const first = path.join(folder, 'first.mjs')
  copyFileSync(path.join(here, 'start', 'first.mjs'), first)
  return { ours: path.join(outdir, 'ours.js'), machine: path.join(outdir, 'machine.js'), first }
}
