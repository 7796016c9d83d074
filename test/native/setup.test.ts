import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Sandbox } from './sandbox.ts'

let sandbox: Sandbox
beforeEach(() => {
  sandbox = new Sandbox()
  // Nothing here may touch the system it runs on.
  sandbox.tool('apt-get', 'echo "$@" >> $here/apt.log; [ "$1" = --version ]')
  sandbox.tool('sudo', 'while [[ $1 == -* ]]; do shift; done; exec "$@"')
  sandbox.tool('npm', 'echo "$@" >> $here/npm.log')
})
afterEach(() => sandbox.remove())

const setup = (options = {}) => sandbox.node(['native/setup.mjs'], options)
const log = (name: string) => {
  const file = join(sandbox.folder, name)
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
}

/** A compiler that finds no oneDNN until the file `installed` is there. */
const compilerWithoutOneDnn = `for a; do [ "$a" = -ldnnl ] && [ ! -e $here/installed ] && exit 1; done
PATH=\${PATH#*:} exec c++ "$@"`

test('with everything in place it builds once, then says and does nothing', async () => {
  const first = await setup()
  expect(first.output).toContain('Native engine built')
  expect(first.code).toBe(0)
  expect(await setup()).toEqual({ code: 0, output: '' })
  expect([...log('apt.log'), ...log('npm.log')]).toEqual([])
})

test('installs a missing library, after fetching package lists if need be', async () => {
  sandbox.tool('c++', compilerWithoutOneDnn)
  sandbox.tool(
    'apt-get',
    `echo "$@" >> $here/apt.log
case "$*" in
  --version) ;;
  *update*) touch $here/lists ;;
  *install*) [ -e $here/lists ] || { echo "E: Unable to locate package" >&2; exit 100; }; touch $here/installed ;;
esac`,
  )
  const { code, output } = await setup()
  expect(output).toContain('oneDNN')
  expect(output).toContain('Installing libdnnl-dev (apt-get)')
  expect(code).toBe(0)
  const install = '-q install -y --no-install-recommends libdnnl-dev'
  expect(log('apt.log').filter((line) => line !== '--version')).toEqual([install, '-q update', install])
})

test('what cannot be installed is named, with the command', async () => {
  sandbox.tool('c++', compilerWithoutOneDnn)
  sandbox.tool('apt-get', '[ "$1" = --version ] || { echo "E: no network" >&2; exit 100; }')
  const { code, output } = await setup()
  expect(code).toBe(1)
  expect(output).toContain('oneDNN (oneapi/dnnl/dnnl.h and libdnnl)')
  expect(output).toContain('E: no network')
  expect(output).toContain('sudo apt-get update && sudo apt-get install libdnnl-dev')
  expect(existsSync(join(sandbox.folder, 'build'))).toBe(false)
})

test('goes on without libjpeg-turbo, and says what that costs', async () => {
  sandbox.tool('c++', `for a; do [ "$a" = -ljpeg ] && exit 1; done; PATH=\${PATH#*:} exec c++ "$@"`)
  sandbox.tool('apt-get', '[ "$1" = --version ] || { echo "E: no network" >&2; exit 100; }')
  const { code, output } = await setup()
  expect(output).toContain('apt-get install libjpeg-dev')
  expect(output).toContain('Going on without: JPEG pictures will be decoded by sharp')
  expect(output).toContain('Native engine built')
  expect(code).toBe(0)
})

test('without apt-get, too, the message names the packages', async () => {
  sandbox.tool('c++', compilerWithoutOneDnn)
  rmSync(join(sandbox.tools, 'apt-get'))
  sandbox.tool('cmake', 'exit 1')
  for (const name of ['ninja', 'node', 'bash']) sandbox.tool(name, `PATH=/usr/bin:/bin exec ${name} "$@"`)
  sandbox.tool('c++', `case "$*" in *dnnl*) exit 1;; esac; PATH=/usr/bin:/bin exec c++ "$@"`)
  const { code, output } = await setup({ path: '/nowhere' })
  expect(code).toBe(1)
  expect(output).toContain('apt-get is not available here')
  expect(output).toContain('apt-get install cmake libdnnl-dev')
})

test('packages that do not match the lockfile are installed, development ones too', async () => {
  await setup()
  const lockfile = JSON.parse(readFileSync(join(sandbox.folder, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string }>
  }
  lockfile.packages['node_modules/vitest']!.version = '0.0.1'
  sandbox.write('package-lock.json', JSON.stringify(lockfile))
  const { code, output } = await setup({ env: { NODE_ENV: 'production' } })
  expect(code).toBe(0)
  expect(output).toContain('Installing npm packages')
  expect(log('npm.log')[0]).toMatch(/^ci .*--include=dev/)
})

test('a failing npm ci ends it', async () => {
  rmSync(join(sandbox.folder, 'node_modules'))
  sandbox.tool('npm', 'echo "npm error network" >&2; exit 1')
  const { code, output } = await setup()
  expect(code).toBe(1)
  expect(output).toContain('npm error network')
  expect(output).toContain('npm ci failed')
})
