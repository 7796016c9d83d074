#!/usr/bin/env node
// Builds the native engine into build/Release/anneal.node: configures when needed, compiles what changed, and returns
// at once when nothing did. Plain JavaScript without dependencies at load time, because it runs before `npm ci` has
// finished its work and from an installed package (`npx anneal build`) alike.
//
//   node native/build.mjs [--clean] [--jobs N] [--verbose] [--engine-test] [--sanitize address,undefined] [--portable]

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')

/** What a bundle (bundle.mjs) knows of the engine that it brings along; absent elsewhere. */
export const bundleNote = path.join(root, 'build', 'bundle.json')

const usage = `Usage: node native/build.mjs [options]

Builds the native engine into build/Release/anneal.node. Compiles only what changed.

  --clean                      compile everything again
  --jobs N                     compilers to run at once (default: one per processor)
  --verbose                    print every command
  --portable                   for any processor of this kind: on x86-64 one add-on each for SSE2, AVX2 and AVX-512,
                               among which the loader chooses, instead of one tuned for this machine
  --engine-test                also build build/engine_test, which tests the engine without Node
  --sanitize LIST              compile with sanitizers (address,undefined) into build/sanitize/; with thread: threads_test alone,
                               into build/sanitize-thread/
  --cuda auto|on|off           compile the CUDA device (default: where nvcc is found)
  --emulated                   for tests: also build/Release/anneal-emulated.node, whose device('cuda') is the processor in
                               the GPU's place`

export const optionSpec = /** @type {const} */ ({
  clean: { type: 'boolean', default: false },
  jobs: { type: 'string' },
  verbose: { type: 'boolean', default: false },
  portable: { type: 'boolean', default: false },
  'engine-test': { type: 'boolean', default: false },
  sanitize: { type: 'string', default: '' },
  cuda: { type: 'string', default: 'auto' },
  emulated: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
})

/** A failure whose message is all the user needs; no stack. */
export class BuildError extends Error {}

/**
 * Builds the engine. Resolves to `{ built, addon, seconds }`; rejects with a BuildError that carries the compiler's words.
 * @param {{ clean?: boolean, jobs?: string | number, verbose?: boolean, portable?: boolean,
 *           'engine-test'?: boolean, sanitize?: string, cuda?: string, emulated?: boolean,
 *           folder?: string }} [options] `folder` is one in build/
 */
export async function build(options = {}) {
  const started = Date.now()
  const seconds = () => (Date.now() - started) / 1000
  const jobs = Number(options.jobs ?? os.availableParallelism())
  if (!Number.isInteger(jobs) || jobs < 1)
    throw new BuildError(`--jobs must be a positive integer, got ${options.jobs}`)
  const plan = planFor(options)
  if (!options.clean && isCurrent(plan)) return { built: false, addon: plan.addon, seconds: seconds() }

  fs.mkdirSync(plan.directory, { recursive: true })
  const release = await lock(path.join(root, 'build', 'lock'))
  try {
    // Another process may have built it while this one waited.
    if (!options.clean && isCurrent(plan)) return { built: false, addon: plan.addon, seconds: seconds() }
    const previous = readJson(plan.stampFile)
    if (previous?.startedAt !== undefined) age(plan.directory, previous.startedAt) // a build that was killed
    // Without a key until this build has succeeded. The rest stays: a failed build does not forget the machine's change.
    fs.writeFileSync(plan.stampFile, JSON.stringify({ ...previous, key: null }))
    const startedAt = fs.statSync(plan.stampFile).mtimeMs // by the clock that source files get their times from
    fs.writeFileSync(plan.stampFile, JSON.stringify({ ...previous, key: null, startedAt }))
    // What was found on the system may have changed too.
    if (options.clean || needsConfigure(plan, previous)) await configure(plan, options.verbose)
    const systemHeader = oneDnnHeader(plan.directory)
    // Taken before compiling: a file saved meanwhile then counts as changed next time.
    const key = fingerprint(plan, systemHeader)
    const flags = ['--parallel', String(jobs), '--target', ...plan.targets]
    if (options.clean || (previous?.machine !== undefined && previous.machine !== plan.machine)) {
      flags.push('--clean-first')
    }
    if (options.verbose) flags.push('--verbose')
    const { settings } = plan
    const title = 'Compiling the native engine'
    let output
    try {
      output = await run('cmake', ['--build', plan.directory, ...flags], title, options.verbose)
    } finally {
      age(plan.directory, startedAt)
    }
    if (!options.verbose && output.includes('warning:')) process.stderr.write(output)
    if (settings.ANNEAL_NATIVE_ARCH === 'ON') dropVariants(plan.addon) // of a portable build: the loader would take them
    const { targets, machine } = plan
    fs.writeFileSync(plan.stampFile, JSON.stringify({ key, targets, machine, settings, systemHeader }))
    return { built: true, addon: plan.addon, seconds: seconds() }
  } finally {
    release()
  }
}

/** Whether the add-on that `build(options)` would make is there already. Takes milliseconds. */
export function isBuilt(options = {}) {
  return isCurrent(planFor(options))
}

/** How the engine that is there was built, for `anneal info`; undefined where there is none. */
export function buildReport() {
  const plan = planFor({})
  const bundled = readJson(bundleNote) // sources and compiler stayed behind
  if (bundled) return { addon: plan.addon, current: true, ...bundled }
  const stamp = readJson(plan.stampFile)
  if (!stamp || !fs.existsSync(plan.addon)) return undefined
  return {
    addon: plan.addon,
    current: isCurrent(plan) || isCurrent(planFor({ portable: true })),
    tunedFor: stamp.settings?.ANNEAL_NATIVE_ARCH === 'ON' ? stamp.machine : undefined,
    compiler: cacheValue(plan.directory, 'CMAKE_CXX_COMPILER'),
    oneDnnLibrary: cacheValue(plan.directory, 'ONEDNN_LIBRARY'),
    cudaCompiler: cacheValue(plan.directory, 'CMAKE_CUDA_COMPILER'),
  }
}

function planFor(options) {
  const threads = options.sanitize === 'thread'
  const ownFolder = threads ? 'sanitize-thread' : options.sanitize ? 'sanitize' : ''
  const directory = path.join(root, 'build', options.folder ?? ownFolder)
  const cuda = (options.cuda ?? 'auto').toUpperCase()
  if (!['AUTO', 'ON', 'OFF'].includes(cuda))
    throw new BuildError(`--cuda must be auto, on or off, got ${options.cuda}`)
  const portable = options.portable || process.env.SOURCE_DATE_EPOCH !== undefined
  return {
    directory,
    // Node would have to be compiled with that sanitizer too, to load an add-on that is.
    addon: threads
      ? path.join(directory, 'threads_test')
      : path.join(directory, 'Release', options.emulated ? 'anneal-emulated.node' : 'anneal.node'),
    stampFile: path.join(directory, 'stamp.json'),
    targets: [
      threads ? 'threads_test' : 'all',
      ...(options['engine-test'] ? ['engine_test'] : []),
      ...(options.emulated ? ['anneal-emulated'] : []),
    ],
    settings: {
      ANNEAL_NATIVE_ARCH: portable ? 'OFF' : 'ON',
      ANNEAL_SANITIZE: options.sanitize ?? '',
      ANNEAL_CUDA: options.sanitize ? 'OFF' : cuda, // the sanitizers see nothing of a GPU
    },
    // Objects made with -march=native are worth nothing on another processor, and no build tool can see that.
    machine: portable ? process.arch : `${process.arch} ${os.cpus()[0]?.model}`,
  }
}

function isCurrent(plan) {
  const stamp = readJson(plan.stampFile)
  if (stamp?.key !== fingerprint(plan, stamp?.systemHeader)) return false
  return plan.targets.every((target) => stamp.targets.includes(target)) && fs.existsSync(plan.addon)
}

/**
 * Dates what a build made back to the build's beginning. A header saved while a file that includes it is being compiled
 * is older than the object then, and ninja and make would take the object for current, for good.
 */
function age(directory, startedAt) {
  for (const file of walk(directory)) {
    if (!/\.(o|a|node)$|(engine|threads)_test$/.test(file)) continue
    const { atimeMs, mtimeMs } = fs.statSync(file)
    if (mtimeMs > startedAt) fs.utimesSync(file, atimeMs / 1000, startedAt / 1000)
  }
}

function dropVariants(addon) {
  const folder = path.dirname(addon)
  for (const name of fs.readdirSync(folder)) {
    if (/^anneal-v\d\.node$/.test(name)) fs.rmSync(path.join(folder, name))
  }
}

/** Names, sizes and times of everything the build reads, with its settings, as one hash. */
function fingerprint({ settings, machine }, systemHeader) {
  const hash = createHash('sha256').update(JSON.stringify({ settings, machine }))
  const sources = walk(path.join(root, 'native')).filter((file) => !file.endsWith('.mjs'))
  const files = [path.join(root, 'CMakeLists.txt'), ...sources]
  if (systemHeader) files.push(systemHeader)
  for (const file of files) hash.update(describe(file))
  return hash.digest('hex')
}

function describe(file) {
  const stat = fs.statSync(file, { throwIfNoEntry: false })
  return `${path.relative(root, file)} ${stat?.size} ${stat?.mtimeMs}\n`
}

/** All files below a folder, in an order that does not depend on the file system. */
function walk(folder) {
  return fs
    .readdirSync(folder, { withFileTypes: true })
    .map((entry) => ({ file: path.join(folder, entry.name), below: entry.isDirectory() }))
    .flatMap(({ file, below }) => (below ? walk(file) : [file]))
    .sort()
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'))
  } catch {
    return undefined // absent or cut short: both mean that nothing is known
  }
}

function cacheValue(directory, name) {
  const cache = fs.readFileSync(path.join(directory, 'CMakeCache.txt'), 'utf8')
  return new RegExp(`^${name}:[A-Z]+=(.*)$`, 'm').exec(cache)?.[1]
}

/** oneDNN's version header: when the system's library is upgraded, the engine is compiled against it anew. */
function oneDnnHeader(directory) {
  const include = cacheValue(directory, 'ONEDNN_INCLUDE_DIR')
  return include && path.join(include, 'oneapi', 'dnnl', 'dnnl_version.h')
}

/** A cache without build files is a configure that failed; one of another folder is a checkout that moved. */
function needsConfigure({ directory, settings }, previous) {
  if (!isConfigured(directory) || !fs.existsSync(path.join(directory, 'CMakeCache.txt'))) return true
  if (cacheValue(directory, 'CMAKE_HOME_DIRECTORY') !== root) return true
  if (!previous)
    return Object.entries(settings).some(([name, value]) => cacheValue(directory, name) !== value)
  return JSON.stringify(previous.settings) !== JSON.stringify(settings)
}

function isConfigured(directory) {
  return ['build.ninja', 'Makefile'].some((file) => fs.existsSync(path.join(directory, file)))
}

async function configure({ directory, settings }, verbose) {
  const cached = fs.existsSync(path.join(directory, 'CMakeCache.txt'))
  if (!cached || !isConfigured(directory) || cacheValue(directory, 'CMAKE_HOME_DIRECTORY') !== root) {
    for (const leftover of ['CMakeCache.txt', 'CMakeFiles', 'build.ninja', 'Makefile']) {
      fs.rmSync(path.join(directory, leftover), { recursive: true, force: true })
    }
  }
  let cmakeJs
  try {
    cmakeJs = createRequire(path.join(root, 'package.json')).resolve('cmake-js/bin/cmake-js')
  } catch {
    throw new BuildError('The package cmake-js is missing: run npm ci (or npm install) first.')
  }
  const defines = Object.entries(settings).map(([name, value]) => `--CD${name}=${value}`)
  await run(
    process.execPath,
    [cmakeJs, 'configure', '-d', root, '-O', directory, '-B', 'Release', ...defines],
    'Configuring the native engine',
    verbose,
  )
}

/** Runs a command to its end and returns its output; shows ninja's and make's progress on a terminal. */
function run(command, args, title, verbose) {
  const live = process.stderr.isTTY && !verbose
  if (!live) process.stderr.write(`${title} …\n`)
  return new Promise((resolve, reject) => {
    // npm's settings reach cmake-js through the environment; one of them (nodedir) would change what it includes.
    const env = { ...process.env, npm_config_nodedir: undefined }
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const take = (chunk) => {
      output += chunk
      if (verbose) process.stderr.write(chunk)
      const steps = live && String(chunk).match(/\[\s*\d+(\/\d+|%)\]/g)
      if (steps) process.stderr.write(`\r\x1b[K${title} ${steps.at(-1)}`)
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('error', (error) => {
      const missing =
        error.code === 'ENOENT'
          ? 'is not installed; on Debian and Ubuntu: apt-get install cmake'
          : error.message
      reject(new BuildError(`${command} ${missing}`))
    })
    child.on('close', (code, signal) => {
      if (live) process.stderr.write('\r\x1b[K')
      if (code === 0) resolve(output)
      else
        reject(
          new BuildError(`${verbose ? '' : output}\n${title} failed (${signal ?? `exit code ${code}`}).`),
        )
    })
  })
}

/** Waits until no other build of this folder runs. Returns the function that lets the next one in. */
async function lock(file) {
  const mine = `${file}.${process.pid}`
  fs.writeFileSync(mine, String(process.pid))
  try {
    for (let told = false; ; ) {
      try {
        fs.linkSync(mine, file) // atomic, and the file is never seen half written
        return () => fs.rmSync(file, { force: true })
      } catch (error) {
        if (error.code !== 'EEXIST') throw error
      }
      const holder = Number(readJson(file))
      if (holder && !isRunning(holder)) {
        fs.rmSync(file, { force: true }) // left behind by a build that was killed
        continue
      }
      if (!told)
        process.stderr.write(`Waiting for another build of the native engine (process ${holder}) …\n`)
      told = true
      await sleep(100)
    }
  } finally {
    fs.rmSync(mine, { force: true })
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

async function main() {
  const { values } = parseArgs({ options: optionSpec })
  if (values.help) return console.log(usage)
  const { built, addon, seconds } = await build(values)
  const name = path.relative(process.cwd(), addon)
  console.log(built ? `Built ${name} in ${seconds.toFixed(1)} s` : `${name} is up to date`)
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(
      error instanceof BuildError || error.code?.startsWith('ERR_PARSE_ARGS') ? error.message : error,
    )
    process.exitCode = 1
  })
}
