import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command } from 'commander'
import { AnnealError } from '../engine/errors.ts'
import { packageFolder } from '../packageFolder.ts'

interface BuildOptions {
  clean: boolean
  verbose: boolean
  portable: boolean
  cuda?: string
  jobs?: string
}

/** What this command takes from native/build.mjs and native/requirements.mjs, which are plain JavaScript. */
interface BuildModule {
  build(options: BuildOptions): Promise<{ built: boolean; addon: string; seconds: number }>
  isBuilt(options: BuildOptions): boolean
}
interface Requirement {
  readonly what: string
}
interface RequirementsModule {
  readonly buildRequirements: readonly Requirement[]
  lacking(requirements: readonly Requirement[]): Requirement[]
  explain(missing: readonly Requirement[]): string
}

const native = (file: string) => import(pathToFileURL(join(packageFolder(), 'native', file)).href)

/** `anneal build`: compiles the native engine where the package lies. */
export function addBuild(program: Command): void {
  program
    .command('build')
    .summary('compile the native engine (needed once after installing the package)')
    .description(
      'Compiles the native engine inside the installed package. Takes a C++17 compiler, CMake and oneDNN; says which of them is ' +
        'missing and how to install it. Compiles only what changed since the last time.',
    )
    .option('--clean', 'compile everything again')
    .option(
      '--portable',
      'for images and packages that run elsewhere: any processor of this kind, with the vector instructions (SSE2, AVX2, AVX-512) ' +
        'that it has',
    )
    .option('--cuda <when>', 'compile the CUDA device: on, off, or auto, where nvcc is (default: auto)')
    .option('--jobs <n>', 'compilers to run at once (default: one per processor)')
    .option('--verbose', 'print every command')
    .addHelpText(
      'after',
      `
Examples:
  anneal build
  anneal build --portable      in a Dockerfile`,
    )
    .action(build)
}

async function build(options: BuildOptions): Promise<void> {
  const { build, isBuilt } = (await native('build.mjs')) as BuildModule
  if (options.clean || !isBuilt(options)) {
    const { buildRequirements, lacking, explain } = (await native('requirements.mjs')) as RequirementsModule
    const missing = lacking(buildRequirements)
    if (missing.length > 0) throw new AnnealError(`${explain(missing)}\nThen run anneal build again.`)
  }
  try {
    const { built, addon, seconds } = await build(options)
    const file = relative(process.cwd(), addon)
    console.log(built ? `Built ${file} in ${seconds.toFixed(1)} s` : `${file} is up to date`)
  } catch (cause) {
    throw new AnnealError((cause as Error).message, undefined, { cause })
  }
}
