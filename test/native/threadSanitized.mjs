// `npm run test:tsan`: queue, allocator, recordings and thread pool under ThreadSanitizer, hammered from several threads
// (native/test/threads_test.cpp). Nothing is suppressed, because nothing is linked that the sanitizer does not see into:
// kernels, with OpenMP's teams and oneDNN, stay out.

import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { build } from '../../native/build.mjs'

const { addon: program } = await build({ sanitize: 'thread' })
// The sanitizer wants its shadow where newer kernels may put a library: without address randomisation they do not.
const command = process.platform === 'linux' ? ['setarch', '-R', program] : [program]
const { status, signal, error } = spawnSync(command[0], [...command.slice(1), ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, TSAN_OPTIONS: 'halt_on_error=0:second_deadlock_stack=1' },
})
if (status !== 0) {
  console.error(`failed: ${error?.message ?? signal ?? `exit code ${status}`}`)
  process.exit(1)
}
