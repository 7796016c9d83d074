import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import { emptyCache, manualSeed, noGrad, scope, type Tensor } from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'
import { models } from '../../src/vision/index.ts'
import { type Architecture, architecture, type ModelOptions } from '../../src/vision/models/architecture.ts'
import { fill, inputs } from './formula.ts'

interface ModelFixture {
  names: number
  directoryHash: string
  parameters: number
  /** Of the first and the last matrix: sum of absolutes, and first values. */
  initial: number[][]
  logits: number[][]
  /** In float64; and by how much PyTorch's own float32 is off. */
  training?: Record<'loss' | 'gradient' | 'first' | 'last' | 'rounding', number>
}

const family = JSON.parse(
  await readFile(new URL('../fixtures/vision/family.json', import.meta.url), 'utf8'),
) as Record<string, ModelFixture>

/** A ConvNeXt of few channels: drawing and training the real one takes long. */
const convnextNarrow = architecture({
  name: 'convnextNarrow',
  build: (options) => new models.ConvNeXt({ channels: [8, 16, 24, 32], blocks: [2, 2, 2, 2] }, options),
  options: ['stochasticDepth'] as never,
  cut: (model: models.ConvNeXt) => model.avgpool,
  split: () => [],
})

/** Ours by torchvision's names; and what turns off all that is random in training. */
const ours: Record<string, [Architecture<never>, object?]> = {
  resnet18: [models.resnet18],
  resnet34: [models.resnet34],
  resnet50: [models.resnet50],
  resnet101: [models.resnet101],
  resnet152: [models.resnet152],
  wide_resnet50_2: [models.wideResnet50_2],
  wide_resnet101_2: [models.wideResnet101_2],
  resnext50_32x4d: [models.resnext50_32x4d],
  resnext101_32x8d: [models.resnext101_32x8d],
  vgg11: [models.vgg11],
  vgg11_bn: [models.vgg11Bn],
  vgg13: [models.vgg13],
  vgg13_bn: [models.vgg13Bn],
  vgg16: [models.vgg16],
  vgg16_bn: [models.vgg16Bn],
  vgg19: [models.vgg19],
  vgg19_bn: [models.vgg19Bn],
  squeezenet1_0: [models.squeezenet1_0],
  squeezenet1_1: [models.squeezenet1_1, { dropout: 0 }],
  densenet121: [models.densenet121],
  densenet161: [models.densenet161],
  densenet169: [models.densenet169],
  densenet201: [models.densenet201],
  mobilenet_v2: [models.mobilenetV2, { dropout: 0 }],
  efficientnet_b0: [models.efficientnetB0, { dropout: 0, stochasticDepth: 0 }],
  convnext_tiny: [models.convnextTiny],
  convnext_narrow: [convnextNarrow, { stochasticDepth: 0 }],
}

const build = (name: string, options: object = {}): nn.Module =>
  (ours[name]![0] as unknown as Architecture<ModelOptions>)({ numClasses: 10, ...options })

const countParameters = (model: nn.Module) => model.parameters().reduce((sum, { numel }) => sum + numel, 0)

function directoryHash(model: nn.Module): string {
  const lines = Object.entries(model.stateDict()).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`)
  return createHash('sha256').update(lines.join('\n')).digest('hex')
}

/** Largest difference, over the largest value. */
function deviation(found: Tensor, expected: number[][]): number {
  const values = (found.toArray() as number[][]).flat()
  const wanted = expected.flat()
  expect(values).toHaveLength(wanted.length)
  const largest = Math.max(...wanted.map(Math.abs))
  return Math.max(...values.map((value, i) => Math.abs(value - wanted[i]!))) / largest
}

const sumOf = (tensors: readonly Tensor[], measure: (tensor: Tensor) => Tensor) =>
  noGrad(() => tensors.reduce((sum, tensor) => sum + scope(() => measure(tensor.double()).item()), 0))

afterEach(() => emptyCache())

test('every model of torchvision that is here has a fixture', () => {
  expect(Object.keys(family).sort()).toEqual(Object.keys(ours).sort())
})

describe.each(Object.entries(family))("%s is torchvision's", (name, expected) => {
  test('names, shapes, parameters and logits', () => {
    scope(() => {
      const model = nn.init.skipInit(() => build(name))
      expect(Object.keys(model.stateDict())).toHaveLength(expected.names)
      expect(directoryHash(model)).toBe(expected.directoryHash)
      expect(countParameters(model)).toBe(expected.parameters)
      const logits = noGrad(() =>
        fill(model)
          .eval()
          .forward(inputs(2, 3, 64, 64)),
      )
      expect(deviation(logits, expected.logits)).toBeLessThan(1e-4)
    })
  })

  if (!expected.training) return
  test('the same seed draws the same weights; the same loss and gradients', () => {
    scope(() => {
      manualSeed(0)
      const model = build(name, ours[name]![1])
      const matrices = model.parameters().filter(({ ndim }) => ndim > 1)
      for (const [i, [absolutes, ...first]] of expected.initial.entries()) {
        const matrix = matrices.at(-i)!
        expect(Math.abs(sumOf([matrix], (tensor) => tensor.abs().sum()) / absolutes! - 1)).toBeLessThan(1e-6)
        const start = noGrad(() => matrix.flatten().index(':3').toArray()) as number[]
        for (const [j, value] of first.entries()) expect(Math.abs(start[j]! - value)).toBeLessThan(1e-7)
      }

      fill(model).train()
      const loss = model
        .forward(inputs(4, 3, 64, 64))
        .mul(inputs(4, 10))
        .sum()
      loss.backward()
      const gradients = model.parameters().map(({ grad }) => grad!)
      const norm = (tensors: Tensor[]) => Math.sqrt(sumOf(tensors, (tensor) => tensor.square().sum()))
      const found = {
        loss: loss.item(),
        gradient: norm(gradients),
        first: norm([gradients[0]!]),
        last: norm([gradients.at(-1)!]),
      }
      const { rounding, ...exact } = expected.training!
      for (const [what, value] of Object.entries(exact)) {
        const off = Math.abs(found[what as keyof typeof found] / value - 1)
        expect(off, what).toBeLessThan(Math.max(5e-4, 4 * rounding))
      }
    })
  })
})

describe("xresnet has fastai's numbers of parameters", () => {
  test.each([
    ['xresnet18', 11_708_744],
    ['xresnet34', 21_816_904],
    ['xresnet50', 25_576_264],
  ] as const)('%s', (name, parameters) => {
    expect(countParameters(models[name]())).toBe(parameters)
  })
})

describe('simpleCnn', () => {
  test("has fastai's number of parameters, but no ReLU at the end", () => {
    const model = models.simpleCnn([3, 16, 16, 16, 2], { batchNorm: true })
    expect(countParameters(model)).toBe(5426)
    const logits = noGrad(() => model.eval().forward(inputs(8, 3, 32, 32)))
    expect(logits.shape).toEqual([8, 2])
    expect(logits.min().item()).toBeLessThan(0)
  })

  test('lists that do not fit are named', () => {
    expect(() => models.simpleCnn([3])).toThrow(/at least two numbers of channels, got 1/)
    expect(() => models.simpleCnn([3, 8, 2], { strides: [2] })).toThrow(
      /2 convolutions, but there are 1 strides/,
    )
    // @ts-expect-error an option that does not exist
    expect(() => models.simpleCnn([3, 2], { bn: true })).toThrow(ConfigError)
  })
})

describe('stochastic depth', () => {
  test('drops whole samples in training, scales the others, and is off in evaluation', () => {
    manualSeed(1)
    const model = models.efficientnetB0({ numClasses: 2, stochasticDepth: 0.5 })
    const [, block] = (model.features.at(4) as nn.Sequential).children() as [nn.Module, nn.Module]
    const depth = block.children()[1]!
    const x = inputs(64, 3, 2, 2)
    const kept = depth.forward(x).div(x).flatten(1).toArray() as number[][]
    const { p } = depth as unknown as { p: number }
    // The 8th of 16 blocks.
    expect(p).toBeCloseTo((0.5 * 6) / 16, 10)
    for (const row of kept)
      for (const factor of row) expect(factor).toBeCloseTo(row[0]! > 0 ? 1 / (1 - p) : 0, 5)
    const share = kept.filter(([first]) => first! > 0).length / kept.length
    expect(share).toBeGreaterThan(0.6)
    expect(share).toBeLessThan(1)
    expect(depth.eval().forward(x)).toBe(x)
  })
})
