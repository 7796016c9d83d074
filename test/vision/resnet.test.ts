import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { CheckpointError, ConfigError } from '../../src/engine/errors.ts'
import { linspace, manualSeed, noGrad, type Tensor } from '../../src/engine/index.ts'
import { loadWeights, saveWeights } from '../../src/io/index.ts'
import * as nn from '../../src/nn/index.ts'
import { models } from '../../src/vision/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'

interface Totals {
  sum: number
  absoluteSum: number
  first: number[]
}
interface ModelFixture {
  parameters: number
  names: number
  directoryHash: string
  initial: Record<string, Totals>
  evalLogits: number[][]
  trainLogits: number[][]
}
interface Fixture {
  models: Record<'resnet18' | 'resnet34' | 'resnet50', ModelFixture> &
    Record<'resnet101' | 'resnet152', { parameters: number; names: number; directoryHash1000: string }>
  sharedLogits: number[][] | null
}

const fixture = JSON.parse(
  await readFile(new URL('../fixtures/vision/vision.json', import.meta.url), 'utf8'),
) as Fixture
const shared = fileURLToPath(new URL('../../../shared/weights/resnet18-cifar10.pth', import.meta.url))

const ramp = (...shape: number[]) =>
  linspace(
    -2,
    2,
    shape.reduce((a, b) => a * b),
  ).reshape(shape)

function countParameters(model: nn.Module): number {
  return model.parameters().reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
}

function directoryHash(model: nn.Module): string {
  const lines = Object.entries(model.stateDict()).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`)
  return createHash('sha256').update(lines.join('\n')).digest('hex')
}

function expectClose(tensor: Tensor, expected: number[][], tolerance: number): void {
  const found = tensor.toArray() as number[][]
  expect([found.length, found[0]?.length]).toEqual([expected.length, expected[0]?.length])
  const largest = Math.max(
    ...found.flatMap((row, i) => row.map((value, j) => Math.abs(value - expected[i]![j]!))),
  )
  expect(largest).toBeLessThan(tolerance)
}

describe.each(['resnet18', 'resnet34', 'resnet50'] as const)("%s is torchvision's", (name) => {
  const expected = fixture.models[name]

  test('names, shapes and their order; number of parameters', () => {
    const model = models[name]({ numClasses: 10 })
    expect(Object.keys(model.stateDict())).toHaveLength(expected.names)
    expect(directoryHash(model)).toBe(expected.directoryHash)
    expect(countParameters(models[name]())).toBe(expected.parameters)
  })

  test('the same seed gives the same starting weights', () => {
    manualSeed(0)
    const state = models[name]({ numClasses: 10 }).stateDict()
    for (const [key, { sum, absoluteSum, first }] of Object.entries(expected.initial)) {
      const weights = state[key]!
      const flat = weights.double().flatten()
      expect(flat.sum().item()).toBeCloseTo(sum, 2)
      expect(Math.abs(flat.abs().sum().item() / absoluteSum - 1)).toBeLessThan(1e-6)
      const start = flat.index(':4').toArray() as number[]
      for (const [i, value] of first.entries()) expect(Math.abs(start[i]! - value)).toBeLessThan(1e-7)
    }
  })

  test('the same logits in evaluation and in training', () => {
    manualSeed(0)
    const model = models[name]({ numClasses: 10 })
    const x = ramp(2, 3, 64, 64)
    expectClose(
      noGrad(() => model.eval().forward(x)),
      expected.evalLogits,
      1e-4,
    )
    // Two pictures only: batch norm of the last layer divides by tiny differences.
    expectClose(
      noGrad(() => model.train().forward(x)),
      expected.trainLogits,
      5e-3,
    )
  })
})

test.each(['resnet101', 'resnet152'] as const)("%s has the names and shapes of torchvision's", (name) => {
  const expected = fixture.models[name]
  const model = models[name]()
  expect(countParameters(model)).toBe(expected.parameters)
  expect(directoryHash(model)).toBe(expected.directoryHash1000)
})

describe('resnet18', () => {
  test.skipIf(!existsSync(shared))('with the shared weights gives the logits of PyTorch', () => {
    const model = models.resnet18({ numClasses: 10, weights: shared }).eval()
    expectClose(
      noGrad(() => model.forward(ramp(4, 3, 64, 64))),
      fixture.sharedLogits!,
      1e-4,
    )
  })

  test('saved weights give the same logits to the bit', async () => {
    const file = `${await temporaryFolder()}/model.safetensors`
    const first = models.resnet18({ numClasses: 3 })
    const x = ramp(2, 3, 32, 32)
    noGrad(() => first.forward(x)) // running statistics that are not those of a new model
    await saveWeights(first, file)
    const second = models.resnet18({ numClasses: 3 })
    await loadWeights(second, file)
    const logits = (model: nn.Module) => noGrad(() => model.eval().forward(x)).toArray()
    expect(logits(second)).toEqual(logits(first))
  })

  test('the step-by-step path gives what the fused one gives, forward and backward', () => {
    manualSeed(5)
    const model = models.resnet18({ numClasses: 4 })
    const x = ramp(2, 3, 64, 64)
    const run = () => {
      model.zeroGrad()
      const loss = model.forward(x).pow(2).sum()
      loss.backward()
      return [loss.item(), model.conv1.weight.grad!.norm().item(), model.fc.weight.grad!.norm().item()]
    }
    const fused = run()
    const seen: number[][] = []
    const hooks = model
      .modules()
      .filter((module) => module instanceof nn.ReLU)
      .map((relu) =>
        relu.registerForwardHook((_module, _inputs, output) => void seen.push([...output.shape])),
      )
    const stepwise = run()
    for (const hook of hooks) hook.remove()
    // One for the stem and two for each of eight blocks; every block's ReLU is called twice.
    expect(seen).toHaveLength(17)
    for (const [i, value] of fused.entries()) expect(Math.abs(stepwise[i]! / value - 1)).toBeLessThan(1e-3)
    expect(run()[0]).toBe(fused[0])
    expect(seen).toHaveLength(17)
  })

  test('a ReLU that is replaced is used', () => {
    const model = models.resnet18({ numClasses: 2 }).eval()
    const x = ramp(1, 3, 32, 32)
    const before = noGrad(() => model.forward(x)).toArray()
    for (const module of model.modules()) if ('relu' in module) module.relu = new nn.LeakyReLU(0.5)
    expect(noGrad(() => model.forward(x)).toArray()).not.toEqual(before)
  })

  test('zeroInitResidual starts blocks as identities', () => {
    const state = models.resnet18({ zeroInitResidual: true }).stateDict()
    expect(state['layer3.1.bn2.weight']!.abs().sum().item()).toBe(0)
    expect(state['layer3.1.bn1.weight']!.sum().item()).toBe(256)
  })

  test('pretrained weights need a file; wrong options are named', async () => {
    expect(() => models.xresnet18({ pretrained: true })).toThrow(ConfigError)
    expect(() => models.xresnet18({ pretrained: true })).toThrow(
      /xresnet18: pretrained: true needs a file.*weights: 'xresnet18\.pth'/,
    )
    vi.stubEnv('ANNEAL_OFFLINE', '1')
    vi.stubEnv('ANNEAL_CACHE', await temporaryFolder())
    onTestFinished(() => void vi.unstubAllEnvs())
    expect(() => models.resnet18({ pretrained: true })).toThrow(/resnet18 are not here, and ANNEAL_OFFLINE/)
    expect(() => models.resnet18({ pretrained: false, weights: 'x.pth' })).toThrow(/contradicts/)
    expect(() => models.resnet18({ weights: '/none/x.pth' })).toThrow(CheckpointError)
    expect(() => models.resnet18({ numClasses: 0 })).toThrow(/numClasses must be a positive integer, got 0/)
    // @ts-expect-error an option that does not exist
    expect(() => models.resnet18({ classes: 3 })).toThrow(
      /unknown option classes; the options are numClasses/,
    )
    expect(models.resnet18.name).toBe('resnet18')
  })

  test.skipIf(!existsSync(shared))('weights of another number of classes are refused by name', () => {
    expect(() => models.resnet18({ weights: shared })).toThrow(
      /fc\.weight is \[10, 512\] in the file, \[1000, 512\] in the model; fc\.bias is \[10\]/,
    )
  })
})
