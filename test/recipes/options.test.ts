import { describe, expect, it } from 'vitest'
import { runRecipe, temporaryFolder } from './support.ts'

const recipes = ['demo', 'transfer-resnet18', 'lenet-cifar10']
const stack = /^ {4}at /m

describe.each(recipes)('%s', (recipe) => {
  it('tells about itself and its flags with --help', async () => {
    const { code, stdout, stderr } = await runRecipe(recipe, ['--help'])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    for (const flag of ['--out DIR', '--epochs N', '--batch-size N', '--seed N', '(default 42)', '--help']) {
      expect(stdout).toContain(flag)
    }
  })
})

describe('a bad command line', () => {
  it.each([
    [['--epohcs', '3'], /--epohcs.*--epochs/s],
    [['--epochs', 'many'], /--epochs .*whole number.*'many'/],
    [['--epochs', '1.5'], /--epochs .*whole number.*'1.5'/],
    [['--batch-size', '0'], /--batch-size .*at least \d.*'0'/],
    [['--seed', '-1'], /--seed/],
    [['--out'], /--out/],
    [['stray'], /stray/],
  ])('refuses %j without a stack', async (args, message) => {
    const { code, stderr } = await runRecipe('transfer-resnet18', args)
    expect(code).toBe(1)
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(stack)
  })
})

describe.each(recipes.slice(1))('%s', (recipe) => {
  it('says that it needs data', async () => {
    const { code, stderr } = await runRecipe(recipe, ['--out', await temporaryFolder()])
    expect(code).toBe(1)
    expect(stderr).toMatch(/--data DIR is missing/)
    expect(stderr).not.toMatch(stack)
  })
})
