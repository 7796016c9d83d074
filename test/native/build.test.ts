import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from './sandbox.ts'

let sandbox: Sandbox
beforeAll(() => {
  sandbox = new Sandbox()
})
afterAll(() => sandbox.remove())

const build = (...args: string[]) => sandbox.node(['native/build.mjs', ...args])

test('builds, then has nothing to do', async () => {
  const first = await build()
  expect(first).toMatchObject({ code: 0, output: expect.stringContaining('Built build/Release/anneal.node') })
  expect(await sandbox.answer()).toBe('42')
  const second = await build()
  expect(second).toEqual({ code: 0, output: 'build/Release/anneal.node is up to date\n' })
})

test('sees a changed file, and a new one', async () => {
  sandbox.write(
    'native/core/answer.cpp',
    '#include "core/answer.h"\nnamespace anneal { int base(); }\nint anneal::answer() { return base() + 1; }\n',
  )
  sandbox.write('native/cpu/base.cpp', 'namespace anneal { int base() { return 6; } }\n')
  expect((await build()).code).toBe(0)
  expect(await sandbox.answer()).toBe('7')
})

test("a compile error ends it with the compiler's words, and the build recovers", async () => {
  sandbox.write('native/cpu/base.cpp', 'namespace anneal { int base() { return "six"; } }\n')
  const failed = await build()
  expect(failed.code).toBe(1)
  expect(failed.output).toMatch(/base\.cpp:1:\d+: error: /)
  expect(failed.output).toContain('Compiling the native engine failed (exit code 1)')
  expect((await build()).code, 'failing is not forgotten').toBe(1)
  sandbox.write('native/cpu/base.cpp', 'namespace anneal { int base() { return 7; } }\n')
  expect((await build()).code).toBe(0)
  expect(await sandbox.answer()).toBe('8')
})

test('recovers from a configure that failed halfway', async () => {
  rmSync(join(sandbox.folder, 'build/build.ninja'), { force: true })
  rmSync(join(sandbox.folder, 'build/Makefile'), { force: true })
  sandbox.write('native/cpu/base.cpp', 'namespace anneal { int base() { return 8; } }\n')
  expect((await build()).code).toBe(0)
  expect(await sandbox.answer()).toBe('9')
})

test('two builds at once take turns, and the second finds it done', async () => {
  sandbox.write('native/cpu/base.cpp', 'namespace anneal { int base() { return 9; } }\n')
  const outputs = (await Promise.all([build(), build()])).map((result) => {
    expect(result.code).toBe(0)
    return result.output
  })
  expect(outputs.filter((output) => output.includes('Built build/')).length).toBe(1)
  expect(outputs.filter((output) => output.includes('is up to date')).length).toBe(1)
  expect(await sandbox.answer()).toBe('10')
})

test('a lock left behind by a killed build does not hold up the next', async () => {
  const gone = await sandbox.node(['-p', 'process.pid'])
  writeFileSync(join(sandbox.folder, 'build/lock'), gone.output.trim())
  sandbox.write('native/cpu/base.cpp', 'namespace anneal { int base() { return 10; } }\n')
  expect((await build()).code).toBe(0)
  expect(existsSync(join(sandbox.folder, 'build/lock'))).toBe(false)
})

test('a header saved while a file that includes it is being compiled is not missed', async () => {
  const own = new Sandbox()
  try {
    own.write('native/core/value.h', '#define VALUE 1\n')
    own.write(
      'native/core/answer.cpp',
      '#include "core/answer.h"\n#include "core/value.h"\nint anneal::answer() { return VALUE; }\n',
    )
    // A compiler during whose first run over answer.cpp someone edits the header, after it was read.
    own.tool(
      'c++',
      `PATH=\${PATH#*:} c++ "$@" || exit 1
case "$*" in *-c*answer.cpp*) ;; *) exit 0 ;; esac
[ -e $here/edited ] && exit 0
touch $here/edited
echo '#define VALUE 2' > $here/native/core/value.h
sleep 0.1
while [ $# -gt 0 ]; do [ "$1" = -o ] && touch "$2"; shift; done
true`,
    )
    expect((await own.node(['native/build.mjs'])).code).toBe(0)
    expect(await own.answer()).toBe('1')
    expect((await own.node(['native/build.mjs'])).code).toBe(0)
    expect(await own.answer()).toBe('2')
  } finally {
    own.remove()
  }
})

test('builds the engine test on request', async () => {
  sandbox.write(
    'native/test/main.cpp',
    '#include "core/answer.h"\nint main() { return anneal::answer() != 11; }\n',
  )
  expect((await build()).code).toBe(0)
  expect(existsSync(join(sandbox.folder, 'build/engine_test'))).toBe(false)
  expect((await build('--engine-test')).code).toBe(0)
  const run = `process.exitCode = require('node:child_process').spawnSync('build/engine_test').status`
  expect((await sandbox.node(['-e', run])).code).toBe(0)
})

test('unknown options and senseless values are refused', async () => {
  expect(await build('--fast')).toMatchObject({ code: 1, output: expect.stringContaining("'--fast'") })
  expect(await build('--jobs', '0')).toMatchObject({
    code: 1,
    output: expect.stringContaining('--jobs must be a positive integer, got 0'),
  })
})
