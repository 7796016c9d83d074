import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { Info } from '../../src/cli/infoCommand.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
  version: string
  dependencies: Record<string, string>
}

/** Runs the command as a user does: the file that package.json names as its bin, in a process of its own. */
function anneal(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}/bin/anneal.mjs`, ...args], {
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

test('--help lists the commands, and each tells about itself', () => {
  const { status, stdout } = anneal('--help')
  expect(status).toBe(0)
  const names = [...stdout.matchAll(/^ {2}([a-z-]+) {2,}\S/gm)].map((match) => match[1]!)
  expect(names.filter((name) => !name.startsWith('--'))).toEqual(['build', 'info'])
  for (const name of ['build', 'info']) {
    expect(anneal(name, '--help').stdout).toContain(`Usage: anneal ${name}`)
    expect(anneal('help', name).stdout).toBe(anneal(name, '--help').stdout)
  }
})

test('without a command it shows the help and fails', () => {
  const { status, stdout } = anneal()
  expect(status).toBe(2)
  expect(stdout).toContain('Usage: anneal COMMAND')
})

test('--version is that of package.json', () => {
  expect(anneal('--version').stdout.trim()).toBe(manifest.version)
})

test('a misspelt command or option is refused with the valid names', () => {
  const command = anneal('biuld')
  expect(command.status).toBe(2)
  expect(command.stderr).toContain('no command "biuld"; the commands are build, info')
  const option = anneal('info', '--jsno')
  expect(option.status).toBe(2)
  expect(option.stderr).toContain("'--jsno'")
})

test('build refuses a number of jobs that is none', () => {
  const { status, stderr } = anneal('build', '--jobs', 'many')
  expect(status).toBe(1)
  expect(stderr).toContain('--jobs must be a positive integer, got many')
})

test('build has nothing to do when the engine is there', () => {
  expect(anneal('build').status).toBe(0)
  const { status, stdout } = anneal('build')
  expect(status).toBe(0)
  expect(stdout).toContain('anneal.node is up to date')
})

test('info --json tells versions, how the engine was built, and that it loads', () => {
  const { status, stdout } = anneal('info', '--json')
  expect(status).toBe(0)
  const info = JSON.parse(stdout) as Info
  expect(info.anneal).toBe(manifest.version)
  expect(info.node).toBe(process.versions.node)
  expect(info.build?.current).toBe(true)
  expect(info.loadError).toBeUndefined()
  expect(info.engine?.threads).toBeGreaterThanOrEqual(1)
  expect(info.engine?.jpeg).toMatch(info.engine?.jpegFound ? /^libjpeg-turbo \d/ : /./)
  expect(info.engine?.onednn).toMatch(/^[23]\.\d+\.\d+$/)
  for (const name of Object.keys(info.packages)) expect(manifest.dependencies).toHaveProperty(name)
})
