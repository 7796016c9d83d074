import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { packageFolder } from '../packageFolder.ts'
import type { Command } from './command.ts'

interface BuildOptions {
  clean: boolean
  verbose: boolean
  portable: boolean
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
export const buildCommand: Command = {
  name: 'build',
  summary: 'compile the native engine (needed once after installing the package)',
  usage: `Usage: anneal build [options]

Compiles the native engine inside the installed package. Takes a C++20 compiler, CMake and oneDNN; says which
of them is missing and how to install it. Compiles only what changed since the last time. With libjpeg-turbo's header
(Debian and Ubuntu: libjpeg-dev) JPEG pictures are decoded faster.

  --clean       compile everything again
  --portable    for images and packages that run elsewhere: any processor of this kind, with the vector instructions
                (SSE2, AVX2, AVX-512) that it has
  --jobs N      compilers to run at once (default: one per processor)
  --verbose     print every command`,

  async run(args) {
    const { values } = parseArgs({
      args,
      options: {
        clean: { type: 'boolean', default: false },
        portable: { type: 'boolean', default: false },
        jobs: { type: 'string' },
        verbose: { type: 'boolean', default: false },
      },
    })
    const { build, isBuilt } = (await native('build.mjs')) as BuildModule
    if (values.clean || !isBuilt(values)) {
      const { buildRequirements, lacking, explain } = (await native('requirements.mjs')) as RequirementsModule
      const missing = lacking(buildRequirements)
      if (missing.length > 0) {
        console.error(`${explain(missing)}\nThen run anneal build again.`)
        return 1
      }
    }
    try {
      const { built, addon, seconds } = await build(values)
      const file = relative(process.cwd(), addon)
      console.log(built ? `Built ${file} in ${seconds.toFixed(1)} s` : `${file} is up to date`)
      return 0
    } catch (error) {
      console.error((error as Error).message)
      return 1
    }
  },
}
