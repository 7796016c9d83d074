import { availableParallelism, cpus, totalmem } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command } from 'commander'
import type { CudaInfo } from '../engine/addon.ts'
import { packageFolder, packageVersion, versionOf } from '../packageFolder.ts'

interface BuildReport {
  addon: string
  /** Whether it was made from the sources as they are now. */
  current: boolean
  /** The processor it was compiled for; absent when it runs on any. */
  tunedFor?: string
  compiler?: string
  oneDnnLibrary?: string
  cudaCompiler?: string
}

/** What `anneal info --json` prints. */
export interface Info {
  anneal: string
  node: string
  platform: string
  /** Absent when the engine was not built yet. */
  build?: BuildReport
  /** What the loaded engine tells of itself: the oneDNN it runs on, its compiler, its threads, its JPEG decoder or why it has none. */
  engine?: { onednn: string; compiler: string; threads: number; jpegFound: boolean; jpeg: string }
  /** What there is of CUDA: whether it was compiled in, devices, libraries, and what is missing. */
  cuda?: CudaInfo
  /** Why the engine that was built cannot be loaded; absent when it can, or when there is none. */
  loadError?: string
  cpu: { model: string; threads: number; memoryBytes: number }
  packages: Record<string, string>
}

/** `anneal info`: versions, devices, libraries and how the engine was built (what to put into a bug report); or what is in a file. */
export function addInfo(program: Command): void {
  program
    .command('info')
    .summary('show versions, devices, libraries found; or what is in a file of weights')
    .description(
      'Shows versions, devices, libraries found and how the native engine was built. Of a file of weights or a trained model: its ' +
        'format, its tensors and, where it tells, its classes.',
    )
    .argument('[file]', 'a .safetensors or .pth file')
    .option('--json', 'one JSON object instead of lines to read')
    .addHelpText(
      'after',
      `
Examples:
  anneal info                          what to put into a bug report
  anneal info out/model.safetensors
  anneal info resnet18.pth --json | jq '.tensors | keys'`,
    )
    .action(async (file: string | undefined, options: { json: boolean }) => {
      if (file !== undefined) {
        const { describeFile } = await import('./describeFile.ts')
        return describeFile(file, options)
      }
      const info = await collect()
      console.log(options.json ? JSON.stringify(info, null, 2) : describeInfo(info))
      if (info.loadError !== undefined) process.exitCode = 1
    })
}

async function collect(): Promise<Info> {
  const url = pathToFileURL(join(packageFolder(), 'native', 'build.mjs')).href
  const build = ((await import(url)) as { buildReport(): BuildReport | undefined }).buildReport()
  return {
    anneal: packageVersion(),
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    ...(build && { build, ...(await engineFacts()) }),
    cpu: { model: cpus()[0]?.model ?? 'unknown', threads: availableParallelism(), memoryBytes: totalmem() },
    packages: Object.fromEntries(['sharp', 'vega', 'vega-lite'].map((name) => [name, versionOf(name)])),
  }
}

/** Loads the engine, here and not at the top: this command must work where there is none. */
async function engineFacts(): Promise<Pick<Info, 'engine' | 'cuda' | 'loadError'>> {
  try {
    const { addon } = await import('../engine/addon.ts')
    return { engine: addon.buildInfo(), cuda: addon.cudaInfo() }
  } catch (error) {
    return { loadError: (error as Error).message }
  }
}

/** What `anneal info` prints. */
export function describeInfo(info: Info): string {
  const { build, cpu, packages } = info
  const line = (title: string, text: string) => `${title.padEnd(10)}${text}`
  const memory = (cpu.memoryBytes / 2 ** 30).toFixed(1)
  return [
    line('anneal', info.anneal),
    line('node', `${info.node} (${info.platform})`),
    ...(build ? engineLines(info, build, line) : [line('engine', 'not built; run: npx anneal build')]),
    line('cpu', `${cpu.model}, ${cpu.threads} threads, ${memory} GiB of memory`),
    ...cudaLines(info, line),
    line(
      'packages',
      Object.entries(packages)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    ),
  ].join('\n')
}

function cudaLines({ cuda }: Info, line: (title: string, text: string) => string): string[] {
  if (cuda === undefined) return []
  const emulated = cuda.emulated ? ' (emulated on the processor, for tests)' : ''
  const gibibytes = (bytes: number) => (bytes / 2 ** 30).toFixed(1)
  const texts = [
    ...(cuda.problem === '' ? [] : [cuda.problem]),
    ...cuda.devices.map(
      ({ name, capability, totalBytes, freeBytes }, i) =>
        `cuda:${i} ${name}, compute capability ${capability}, ${gibibytes(freeBytes)} of ${gibibytes(totalBytes)} GiB free`,
    ),
    ...cuda.libraries.map(({ name, state }) => `${name}: ${state}`),
  ]
  return texts.map((text, i) => line(i === 0 ? 'cuda' : '', i === 0 ? `${text}${emulated}` : text))
}

function engineLines(
  info: Info,
  build: BuildReport,
  line: (title: string, text: string) => string,
): string[] {
  const stale = build.current ? '' : ' (its sources have changed since; run: npx anneal build)'
  const where = build.compiler === undefined ? '' : ` (${build.compiler})` // it stays behind where a bundle is made
  const compiler = info.engine ? `C++ ${info.engine.compiler}${where}` : build.compiler
  const tuned = build.tunedFor ? `tuned for ${build.tunedFor}` : 'for any processor of this kind'
  return [
    line('engine', `${relative(process.cwd(), build.addon)}${stale}`),
    line('', `compiled by ${compiler ?? 'an unknown compiler'}, ${tuned}`),
    line('', `oneDNN ${info.engine?.onednn ?? ''} (${build.oneDnnLibrary ?? 'in an unknown place'})`),
    ...(info.engine
      ? [line('', `OpenMP with ${info.engine.threads} threads`), line('', jpegLine(info.engine))]
      : []),
    ...(info.loadError === undefined ? [] : [line('', `cannot be loaded: ${info.loadError}`)]),
  ]
}

function jpegLine({ jpegFound, jpeg }: NonNullable<Info['engine']>): string {
  if (jpegFound) return jpeg
  return `JPEG pictures are decoded by sharp: ${jpeg} (apt-get install libjpeg-dev; npx anneal build --clean)`
}
