import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify, stripVTControlCharacters } from 'node:util'
import { afterAll, expect, it } from 'vitest'
import { cases } from './bench/cases.ts'
import { ceilingOf, resnet18Convolutions, resnet18Step } from './bench/ceiling.ts'
import { measure } from './bench/measure.ts'
import { agree, summarise } from './bench/table.ts'

const folder = mkdtempSync(path.join(os.tmpdir(), 'anneal-bench-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('measures as many steps as asked for, with their loss, memory and the time of ops', async () => {
  const chosen = cases['LeNet, SGD, batch 4']!
  const { times, loss, peakMegabytes, profile } = await measure({ ...chosen, steps: 2 }, true)
  expect(times).toHaveLength(2)
  // Four steps at a small rate leave the loss of ten classes close to its first value.
  expect(Math.abs(loss - Math.log(10))).toBeLessThan(0.3)
  expect(peakMegabytes).toBeGreaterThan(10)
  expect(profile!.find(({ op }) => op === 'conv2d')!.count).toBe(4)
})

it('the whole run: compiles, measures a case and the start of a program, writes the results', async () => {
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [
      ...['--import', 'tsx', 'test/bench/run.ts', '--quick', '--python', 'no-such-python', '--out', folder],
      ...args,
    ])
  const { stdout } = await run('--only', '4 elements')
  const shown = stripVTControlCharacters(stdout)
  expect(shown).toContain('no PyTorch to compare with')
  await expect(run('--only', 'nothing of that name')).rejects.toThrow(/no case's name contains/)
  const { results } = JSON.parse(readFileSync(path.join(folder, 'results.json'), 'utf8'))
  for (const { name, ours, peer } of results) {
    expect(ours).toBeGreaterThan(0)
    expect(peer).toBeNull()
    expect(shown).toContain(name)
  }
})

it("ResNet18's arithmetic is what its authors and torchvision state: 1.8 billion multiplications a picture", () => {
  const total = resnet18Convolutions(224).reduce((sum, { multiplications }) => sum + multiplications, 0)
  expect(total / 1e9).toBeCloseTo(1.814, 2)
  // All weights but the last layer's 512 x 1000 + 1000 and the norms' 9600, of 11 689 512.
  const weights = resnet18Convolutions(224).reduce((sum, layer) => sum + layer.weights, 0)
  expect(weights).toBe(11_689_512 - 513_000 - 9_600)
  const { operations } = resnet18Step(2, 224, 'float32')
  expect(operations / 1e9).toBeCloseTo(2 * (6 * 1.814 - 2 * 0.118), 1)
  const rates = { float32: 1e11, bfloat16: 2e11, bandwidth: 1e10 }
  const [single, half] = (['float32', 'bfloat16'] as const).map((dtype) => ceilingOf(8, 64, dtype, rates))
  expect(single!.arithmetic / half!.arithmetic).toBeCloseTo(2)
  expect(half!.memory).toBeLessThan(single!.memory)
})

it('takes ratios turn by turn, and says when losses part', () => {
  const turn = (time: number, loss: number) => ({ times: [9, time, 0], loss, peakMegabytes: time })
  const [own, theirs] = [
    [turn(1, 5), turn(2, 5)],
    [turn(3, 5.1), turn(4, 5.1)],
  ]
  const row = summarise('x', { goal: 2, tolerance: 0.01 }, own, theirs, null)
  expect(row).toMatchObject({
    ours: 1.5,
    peer: 3.5,
    ratio: 2.5,
    spread: [2, 3],
    lossesAgree: false,
    peakMegabytes: [2, 4],
  })
  // PyTorch's other layout stands for it as well.
  const either = summarise('x', { tolerance: 0.01 }, own, theirs, 'contiguous', 4.98)
  expect(either).toMatchObject({ losses: [5, 4.98], lossesAgree: true })
  expect(summarise('x', { tolerance: 0.01 }, own, theirs, 'contiguous', 4.8).lossesAgree).toBe(false)
  expect(agree(5, 5.04, 0.01)).toBe(true)
  expect(agree(0, 0, 0)).toBe(true)
  expect(agree(Number.NaN, Number.NaN, 1)).toBe(false)
})
