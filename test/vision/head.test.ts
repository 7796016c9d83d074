import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import { linspace, manualSeed, noGrad } from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'
import { countFeatures, createBody, createHead, initialiseHead } from '../../src/vision/head.ts'
import { models } from '../../src/vision/index.ts'

const fixture = (
  JSON.parse(await readFile(new URL('../fixtures/vision/vision.json', import.meta.url), 'utf8')) as {
    head: { names: string[]; logits: number[][] }
  }
).head

const countParameters = (module: nn.Module) =>
  module.parameters().reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
const types = (module: nn.Module) => module.children().map((child) => child.constructor.name)

describe('createHead', () => {
  test("is fastai's: names, starting weights and logits", () => {
    manualSeed(1)
    const head = createHead(8, 3, { linearFeatures: [6] })
    initialiseHead(head)
    expect(Object.keys(head.stateDict())).toEqual(fixture.names)
    const logits = noGrad(() =>
      head.eval().forward(linspace(-2, 2, 144).view(2, 8, 3, 3)),
    ).toArray() as number[][]
    const expected = fixture.logits.flat()
    for (const [i, value] of logits.flat().entries()) expect(value).toBeCloseTo(expected[i]!, 5)
  })

  test('layers, sizes and dropout for resnet18 with 10 classes', () => {
    const head = createHead(512, 10)
    expect(types(head)).toEqual([
      'AdaptiveConcatPool2d',
      'Flatten',
      'BatchNorm1d',
      'Dropout',
      'Linear',
      'ReLU',
      'BatchNorm1d',
      'Dropout',
      'Linear',
    ])
    expect(countParameters(head)).toBe(533_002)
    expect(
      head
        .modules()
        .filter((module) => module instanceof nn.Dropout)
        .map(({ p }) => p),
    ).toEqual([0.25, 0.5])
    initialiseHead(head)
    // Kaiming's deviation √(2 / fanIn), as fastai's figures have it.
    expect((head[4] as nn.Linear).weight.std().item()).toBeCloseTo(0.0442, 3)
    expect((head[8] as nn.Linear).weight.std().item()).toBeCloseTo(0.0625, 2)
    expect((head[4] as nn.Linear).bias!.abs().sum().item()).toBe(0)
  })

  test('options', () => {
    expect(
      types(createHead(4, 2, { linearFeatures: [], dropout: 0, concatPool: false, bnFinal: true })),
    ).toEqual(['AdaptiveAvgPool2d', 'Flatten', 'BatchNorm1d', 'Linear', 'BatchNorm1d'])
    const rates = (head: nn.Module) =>
      head
        .modules()
        .filter((module) => module instanceof nn.Dropout)
        .map(({ p }) => p)
    expect(rates(createHead(4, 2, { linearFeatures: [8, 8], dropout: 0.4 }))).toEqual([0.2, 0.2, 0.4])
    expect(rates(createHead(4, 2, { dropout: [0.1, 0.3] }))).toEqual([0.1, 0.3])
    expect(() => createHead(4, 2, { dropout: [0.1] })).toThrow(/2 linear layers, but dropout gives 1/)
    expect(() => createHead(4, 2, { dropout: 1 })).toThrow(ConfigError)
    expect(() => createHead(4, 0)).toThrow(/positive whole numbers/)
  })
})

describe('createBody', () => {
  test.each([
    ['resnet18', 512],
    ['resnet50', 2048],
  ] as const)(
    '%s gives %d feature maps; cut by rule and by the place of its pooling alike',
    (name, features) => {
      const model = models[name]()
      const body = createBody(model, models[name].cut(model))
      expect(countFeatures(body)).toBe(features)
      expect(body.length).toBe(8)
      expect(createBody(model).children()).toEqual(body.children())
      expect(createBody(model, -2).children()).toEqual(body.children())
      expect(body.training).toBe(true)
    },
  )

  test('the body of a resnet gives the maps that the whole network makes', () => {
    const model = models.resnet18({ numClasses: 2 }).eval()
    const x = linspace(-2, 2, 3 * 64 * 64).view(1, 3, 64, 64)
    const pooled = noGrad(() => createBody(model).eval().forward(x).mean([2, 3]))
    const logits = noGrad(() => model.fc.forward(pooled)).toArray() as number[][]
    const whole = noGrad(() => model.forward(x)).toArray() as number[][]
    for (const [i, value] of logits[0]!.entries()) expect(value).toBeCloseTo(whole[0]![i]!, 5)
  })

  test('cuts that cannot be made', () => {
    const model = new nn.Sequential(new nn.Conv2d(3, 4, 3), new nn.ReLU())
    expect(() => createBody(model)).toThrow(/no pooling layer to cut before/)
    expect(() => createBody(model, 0)).toThrow(/cannot be cut at 0: it has 2 children \(Conv2d, ReLU\)/)
    expect(() => createBody(model, 0.5)).toThrow(ConfigError)
    expect(() => createBody(model, new nn.ReLU())).toThrow(/a ReLU that is none of its children/)
    expect(() => countFeatures(new nn.Sequential(new nn.Conv2d(3, 4, 3), new nn.Flatten()))).toThrow(
      /Cut it earlier/,
    )
  })
})
