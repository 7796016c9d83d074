import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('the engine passes its own tests, without Node', { timeout: 600_000 }, () => {
  const run = (command: string, ...args: string[]) =>
    spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  const build = run(process.execPath, 'native/build.mjs', '--engine-test')
  expect(build.status, build.stderr).toBe(0)
  const { status, stdout } = run('build/engine_test')
  expect(stdout).toMatch(/^\d+ of \d+ tests passed$/m)
  expect(status, stdout).toBe(0)
})
