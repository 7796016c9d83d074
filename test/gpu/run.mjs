// `npm run test:gpu`: the tests of the ops, and those of this folder, on a CUDA device; where there is none it says so and
// succeeds. What else is given goes to vitest: `npm run test:gpu -- test/parity/pooling.test.ts`.
//   --emulated  in a build where the processor plays the GPU's part (native/test/emulation): no GPU is tested by that
//   --asan      the same under AddressSanitizer and UndefinedBehaviorSanitizer
//   --quick     the tests of this folder, of whole steps, and of the ops' arithmetic alone
// Where compute-sanitizer is (on the PATH, or where CUDA is installed), a little of every family of kernels runs under it as well.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import { build, root } from '../../native/build.mjs'

const own = ['--emulated', '--asan', '--quick']
const chosen = process.argv.slice(2).filter((word) => !own.includes(word))
const [emulated, asan, quick] = own.map((word) => process.argv.includes(word))

/** What makes tensors on the default device, and compares them with numbers that nobody here wrote. */
const ofOps = quick
  ? ['test/parity/elementwise.test.ts', 'test/parity/reductions.test.ts', 'test/parity/linearAlgebra.test.ts']
  : ['test/parity', 'test/engine', 'test/optim', 'test/nn', 'test/callbacks/MixedPrecision.test.ts']
/** Whole steps, recorded ones among them. */
const ofSteps = ['test/learner/compile.test.ts', 'test/callbacks/LossScaling.test.ts']
/** What is about the processor's own kernels, queue, memory or masks of dropout. */
const ofTheProcessor = [
  ...['convNarrow', 'winograd', 'stream', 'scope', 'addonFile', 'badInput'].map((name) => `engine/${name}`),
  'parity/dropout',
].map((name) => `test/${name}.test.ts`)

const wanted = [...ofOps, ...ofSteps]
const missing = wanted.filter((file) => !existsSync(path.join(root, file)))
if (missing.length > 0) {
  console.error(`these tests are missing here: ${missing.join(', ')}`)
  process.exit(1)
}

/** The newest compute-sanitizer of this machine. */
function sanitizer() {
  const onPath = (process.env.PATH ?? '')
    .split(path.delimiter)
    .map((folder) => path.join(folder, 'compute-sanitizer'))
  const home = '/usr/local'
  const toolkits = existsSync(home) ? readdirSync(home).filter((name) => name.startsWith('cuda')) : []
  const installed = toolkits.sort().map((name) => path.join(home, name, 'bin', 'compute-sanitizer'))
  return [...onPath, ...installed.reverse()].find((file) => existsSync(file))
}

/**
 * Invalid accesses of kernels end the run; what libraries try in vain does not. A bundle's own libraries are for Node alone: the
 * sanitizer was built for the machine's.
 */
function underSanitizer(program) {
  const script = path.join(root, 'test', 'gpu', 'sanitized.ts')
  const loader = pathToFileURL(path.join(root, 'node_modules', 'tsx', 'dist', 'loader.mjs')).href
  const { LD_LIBRARY_PATH: libraries = '' } = environment
  const { ANNEAL_SYSTEM_LIBRARY_PATH: system = libraries } = environment
  const options = ['--target-processes', 'all', '--tool', 'memcheck', '--report-api-errors', 'no']
  const node = ['env', `LD_LIBRARY_PATH=${libraries}`, process.execPath, '--import', loader, script]
  console.log(`${program}: a little of every family of kernels`)
  return spawnSync(program, [...options, '--error-exitcode', '1', ...node], {
    cwd: root,
    stdio: 'inherit',
    env: { ...environment, LD_LIBRARY_PATH: system },
  }).status
}

let addon = process.env.ANNEAL_ADDON
if (emulated || asan) {
  const { addon: file } = await build({ emulated: true, sanitize: asan ? 'address,undefined' : '' })
  addon = file
}
const environment = { ...process.env, ANNEAL_TEST_DEVICE: 'cuda', ...(addon && { ANNEAL_ADDON: addon }) }
const engine = createRequire(import.meta.url)
if (asan) {
  const runtime = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim()
  Object.assign(environment, {
    LD_PRELOAD: runtime,
    ASAN_OPTIONS: 'detect_leaks=0:detect_stack_use_after_return=0',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    ANNEAL_SANITIZED: '1',
  })
} else {
  const { compiled, devices, problem } = engine(
    addon ?? path.join(root, 'build', 'Release', 'anneal.node'),
  ).cudaInfo()
  if (devices.length === 0) {
    console.log(
      `no CUDA device${compiled ? '' : ', and no CUDA in this build'}: ${problem}. Nothing was tested.`,
    )
    process.exit(0)
  }
  for (const [i, device] of devices.entries()) console.log(`cuda:${i}: ${device.name}`)
}
if (emulated || asan) console.log('The processor plays the GPU: nothing here is verified on a GPU by this.')

const { status, signal } = spawnSync(
  process.execPath,
  [
    path.join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--reporter=default',
    ...(chosen.length > 0 ? chosen : ['test/gpu', ...wanted]),
    ...ofTheProcessor.map((file) => `--exclude=${file}`),
  ],
  { cwd: root, stdio: 'inherit', env: environment },
)
if (signal) console.error(`ended by ${signal}`)
let failed = status !== 0
if (!emulated && !asan && chosen.length === 0) {
  const program = sanitizer()
  if (program) failed = underSanitizer(program) !== 0 || failed
  else console.log('compute-sanitizer was not found: no kernel was run under it.')
}
process.exit(failed ? 1 : 0)
