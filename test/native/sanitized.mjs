// `npm run test:asan`: the engine under AddressSanitizer and UndefinedBehaviorSanitizer. First its own test, a plain
// executable; then the tests of the ops, in a Node that has the sanitizer's runtime loaded before anything else.
// Arguments go to vitest: `npm run test:asan -- test/parity/pooling.test.ts`.

import { execFileSync, spawnSync } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { build, root } from '../../native/build.mjs'

await build({ sanitize: 'address,undefined', 'engine-test': true })
const folder = path.join(root, 'build', 'sanitize')

const runtime = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim()
const environment = {
  ...process.env,
  UBSAN_OPTIONS: 'print_stacktrace=1',
  // What V8 and the OpenMP team keep to the end is no leak of ours.
  ASAN_OPTIONS: 'detect_leaks=0:detect_stack_use_after_return=1',
}

function run(command, args, extra = {}) {
  console.log(`\n=== ${[command, ...args].map((part) => path.relative(root, part) || part).join(' ')}`)
  const { status, signal } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...environment, ...extra },
  })
  if (status !== 0) {
    console.error(`failed: ${signal ?? `exit code ${status}`}`)
    process.exit(1)
  }
}

run(path.join(folder, 'engine_test'), [])
const chosen = process.argv.slice(2)
run(
  process.execPath,
  [
    path.join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--reporter=default',
    ...(chosen.length > 0 ? chosen : ['test/engine', 'test/parity', 'test/optim']),
    // Their tolerances are for sums in the order of an optimised build.
    '--exclude=test/parity/resnet18.test.ts',
    '--exclude=test/parity/autocastResnet18.test.ts',
  ],
  { LD_PRELOAD: runtime, ANNEAL_ADDON: path.join(folder, 'Release', 'anneal.node'), ANNEAL_SANITIZED: '1' },
)
