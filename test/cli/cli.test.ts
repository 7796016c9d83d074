import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { describeInfo, type Info } from '../../src/cli/infoCommand.ts'
import { anneal, annealHere, root } from './anneal.ts'

const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
  version: string
  dependencies: Record<string, string>
}
const commands = ['train', 'lr-find', 'predict', 'evaluate', 'export', 'download', 'info', 'build']

test('--help lists the commands, and each tells about itself by example', async () => {
  const { status, stdout } = await annealHere(['--help'])
  expect(status).toBe(0)
  const names = [...stdout.matchAll(/^ {2}([a-z-]+) (?:\[|<| )/gm)].map((match) => match[1]!)
  expect(names.filter((name) => commands.includes(name))).toEqual(commands)
  for (const name of commands) {
    const { status, stdout } = await annealHere([name, '--help'])
    expect(status).toBe(0)
    expect(stdout).toContain(`Usage: anneal ${name}`)
    expect(stdout).toMatch(new RegExp(`Examples:\n {2}anneal ${name}`))
  }
  expect((await annealHere(['help', 'train'])).stdout).toBe((await annealHere(['train', '--help'])).stdout)
})

test('without a command it shows the help and fails', () => {
  const { status, stdout, stderr } = anneal([])
  expect(status).toBe(2)
  expect(stdout + stderr).toContain('Usage: anneal COMMAND')
})

test('--version is that of package.json', async () => {
  expect((await annealHere(['--version'])).stdout.trim()).toBe(manifest.version)
})

test('what is not understood ends with 2, says what was meant, and points to the help', async () => {
  for (const [args, message] of [
    [['biuld'], /unknown command 'biuld'\n\(Did you mean build\?\)/],
    [['info', '--jsno'], /unknown option '--jsno'\n\(Did you mean --json\?\)/],
    [['train'], /missing required argument 'dir'/],
    [['predict', 'model'], /missing required argument 'files'/],
    [
      ['train', 'dir', '--epochs', 'many'],
      /--epochs <n>' argument 'many' is invalid. It must be a whole number of at least 0/,
    ],
    [['train', 'dir', '--valid', '1'], /It must be a number above 0 and below 1/],
  ] as const) {
    const { status, stderr, stdout } = await annealHere(args)
    expect(stderr).toMatch(message)
    expect(stderr).toMatch(/anneal --help lists what there is/)
    expect([status, stdout]).toEqual([2, ''])
  }
})

test('what fails ends with 1 and one line; ANNEAL_DEBUG=1 adds where, --json says it in JSON', async () => {
  const plain = await annealHere(['info', 'none.safetensors'])
  expect(plain).toMatchObject({ status: 1, stdout: '' })
  expect(plain.stderr).toMatch(/^anneal: none\.safetensors does not exist.*\n$/)
  const debugged = anneal(['info', 'none.safetensors'], { env: { ANNEAL_DEBUG: '1' } })
  expect(debugged.stderr).toMatch(/CheckpointError: none\.safetensors does not exist[\s\S]*\n {4}at /)
  const told = await annealHere(['info', 'none.safetensors', '--json'])
  expect(told.status).toBe(1)
  expect(JSON.parse(told.stdout)).toMatchObject({ error: { code: 'CHECKPOINT' } })
})

test('build refuses a number of jobs that is none', async () => {
  const { status, stderr } = await annealHere(['build', '--jobs', 'many'])
  expect(status).toBe(1)
  expect(stderr).toContain('--jobs must be a positive integer, got many')
})

test('build has nothing to do when the engine is there', () => {
  expect(anneal(['build']).status).toBe(0)
  const { status, stdout } = anneal(['build'])
  expect(status).toBe(0)
  expect(stdout).toContain('anneal.node is up to date')
})

test('info --json tells versions, how the engine was built, and that it loads', () => {
  const { status, stdout } = anneal(['info', '--json'])
  expect(status).toBe(0)
  const info = JSON.parse(stdout) as Info
  expect(info.anneal).toBe(manifest.version)
  expect(info.node).toBe(process.versions.node)
  expect(info.build?.current).toBe(true)
  expect(info.loadError).toBeUndefined()
  expect(info.engine?.threads).toBeGreaterThanOrEqual(1)
  expect(info.engine?.onednn).toMatch(/^[23]\.\d+\.\d+$/)
  for (const name of Object.keys(info.packages)) expect(manifest.dependencies).toHaveProperty(name)

  const { build, engine } = info as Required<Info>
  expect(describeInfo(info)).toContain(`compiled by C++ ${engine.compiler} (${build.compiler}), `)
  // As in a bundle, where the compiler stayed behind.
  const { compiler: _, ...bundled } = build
  expect(describeInfo({ ...info, build: bundled })).toContain(`compiled by C++ ${engine.compiler}, `)
})

test('download without names lists what there is', async () => {
  const { status, stdout } = await annealHere(['download', '--json'])
  expect(status).toBe(0)
  const list = JSON.parse(stdout) as Record<string, unknown>[]
  expect(list.find(({ architecture }) => architecture === 'resnet18')).toMatchObject({
    license: 'BSD-3-Clause',
    bytes: 46_830_571,
    url: 'https://download.pytorch.org/models/resnet18-f37072fd.pth',
  })
})
