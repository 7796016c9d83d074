import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import { emptyCache, manualSeed, noGrad, scope, type Tensor, zeros } from '../../src/engine/index.ts'
import { describeModel } from '../../src/learner/modelDescription.ts'
import * as nn from '../../src/nn/index.ts'
import { createBody, models, unetLearner, type VisionData } from '../../src/vision/index.ts'
import type { Architecture } from '../../src/vision/models/architecture.ts'
import { DynamicUnet, type UnetOptions } from '../../src/vision/models/unet.ts'
import { PixelShuffleICNR } from '../../src/vision/models/unetLayers.ts'
import { fill, inputs } from './formula.ts'

interface UnetFixture {
  names: number
  directoryHash: string
  parameters: number
  shape: number[]
  output: { sum: number; norm: number; first: number[] }
  training?: { loss: number; gradient: number; first: number }
}
interface XResNetFixture {
  names: number
  directoryHash: string
  initial: number
  logits: number[][]
}
type Variant = 'plain' | 'batch' | 'spectral' | 'weight' | 'deep'
type XResNetName = 'xresnet18' | 'xresnet34' | 'xresnet50'

const fixture = JSON.parse(
  await readFile(new URL('../fixtures/vision/unet.json', import.meta.url), 'utf8'),
) as Record<Variant, UnetFixture> & Record<XResNetName, XResNetFixture> & { icnr: { weight: number[] } }

const countParameters = (model: nn.Module) => model.parameters().reduce((sum, { numel }) => sum + numel, 0)

function directoryHash(model: nn.Module): string {
  const lines = Object.entries(model.stateDict()).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`)
  return createHash('sha256').update(lines.join('\n')).digest('hex')
}

const normOf = (tensor: Tensor) => noGrad(() => tensor.double().square().sum().sqrt().item())

afterEach(() => emptyCache())

describe("DynamicUnet is fastai's", () => {
  test.each<[Variant, 'resnet18' | 'resnet34', [number, number], UnetOptions]>([
    ['plain', 'resnet18', [64, 64], {}],
    ['batch', 'resnet18', [64, 64], { norm: 'batch', selfAttention: true, blur: true }],
    ['spectral', 'resnet18', [64, 64], { norm: 'spectral', lastCross: false }],
    ['weight', 'resnet18', [48, 80], { norm: 'weight', bottleneck: true, yRange: [-1, 2] }],
    ['deep', 'resnet34', [64, 64], { blur: true, blurFinal: false }],
  ])('%s: names, shapes, outputs and gradients', (variant, arch, size, options) => {
    const expected = fixture[variant]
    scope(() => {
      const model = new DynamicUnet(createBody(models[arch]()), 3, size, options)
      expect(Object.keys(model.stateDict())).toHaveLength(expected.names)
      expect(directoryHash(model)).toBe(expected.directoryHash)
      expect(countParameters(model)).toBe(expected.parameters)
      const x = inputs(2, 3, ...size)
      fill(model)
      noGrad(() => model.train().forward(x))
      const out = noGrad(() => model.eval().forward(x))
      expect(out.shape).toEqual(expected.shape)
      const { sum, norm, first } = expected.output
      expect(Math.abs(normOf(out) / norm - 1)).toBeLessThan(1e-4)
      expect(Math.abs(out.double().sum().item() - sum) / norm).toBeLessThan(1e-2)
      const found = (out.index(':', ':', 7, ':4').toArray() as number[][][]).flat(2)
      const largest = Math.max(...first.map(Math.abs))
      for (const [i, value] of first.entries()) {
        expect(Math.abs(found[i]! - value) / largest).toBeLessThan(1e-4)
      }
      if (!expected.training) return
      const trained = model.train().forward(inputs(4, 3, ...size))
      const loss = trained.mul(inputs(...trained.shape)).sum()
      loss.backward()
      const gradients = model.parameters().map(({ grad }) => normOf(grad!))
      const whole = Math.sqrt(gradients.reduce((total, value) => total + value ** 2, 0))
      const training = { loss: loss.item(), gradient: whole, first: gradients[0]! }
      for (const [what, value] of Object.entries(expected.training)) {
        expect(Math.abs(training[what as keyof typeof training] / value - 1), what).toBeLessThan(1e-3)
      }
    })
  })

  test('pixels that come of one start out equal, whatever the norm', () => {
    manualSeed(3)
    const plain = new PixelShuffleICNR(8, 4, { norm: null })
    const weight = (plain.conv.at(0) as nn.Conv2d).weight.flatten().toArray() as number[]
    for (const [i, value] of fixture.icnr.weight.entries()) expect(weight[i]).toBeCloseTo(value, 6)
    for (const norm of [null, 'batch', 'weight', 'spectral'] as const) {
      const layer = new PixelShuffleICNR(8, 4, { norm }).eval()
      const grown = noGrad(() => layer.forward(inputs(1, 8, 3, 3)))
      const corner = grown.index(':', ':', '::2', '::2')
      expect(grown.shape).toEqual([1, 4, 6, 6])
      expect(
        corner
          .sub(grown.index(':', ':', '1::2', '1::2'))
          .abs()
          .max()
          .item(),
      ).toBe(0)
      expect(corner.abs().max().item()).toBeGreaterThan(0)
    }
  })
})

describe.each(['xresnet18', 'xresnet34', 'xresnet50'] as const)("%s is fastai's", (name) => {
  test('names, shapes, starting weights and logits', () => {
    const expected = fixture[name]
    manualSeed(0)
    const model = models[name]({ numClasses: 10 })
    expect(Object.keys(model.stateDict())).toHaveLength(expected.names)
    expect(directoryHash(model)).toBe(expected.directoryHash)
    const drawn = model.parameters().reduce((sum, tensor) => sum + tensor.double().abs().sum().item(), 0)
    expect(Math.abs(drawn / expected.initial - 1)).toBeLessThan(1e-6)
    const logits = noGrad(() =>
      fill(model)
        .eval()
        .forward(inputs(2, 3, 64, 64)),
    ).toArray() as number[][]
    const largest = Math.max(...expected.logits.flat().map(Math.abs))
    for (const [i, value] of expected.logits.flat().entries()) {
      expect(Math.abs(logits.flat()[i]! - value) / largest).toBeLessThan(1e-4)
    }
  })
})

describe('unetLearner', () => {
  const batch = { x: inputs(2, 3, 64, 64), y: zeros([2, 64, 64], { dtype: 'int64' }) }
  const batches = {
    length: 1,
    dataset: { length: 2 },
    async *[Symbol.asyncIterator]() {
      yield batch
    },
  }
  const data: VisionData = {
    trainDl: batches,
    validDl: null,
    classes: ['ground', 'shape'],
    lossFunction: new nn.CrossEntropyLoss(),
    oneBatch: async () => batch,
  }

  test.each([
    ['resnet18', 3],
    ['squeezenet1_1', 4],
    ['vgg11Bn', 3],
    ['mobilenetV2', 3],
    ['convnextTiny', 3],
  ] as const)('gives every pixel its logits on %s, at other sizes too', async (name, groups) => {
    const arch = models[name] as Architecture
    // Only shapes are looked at, and drawing the weights of a VGG takes long.
    const undrawn = Object.assign(() => nn.init.skipInit(() => arch()), { ...arch }) as Architecture
    const learner = await unetLearner(data, undrawn, { pretrained: false, silent: true })
    expect(learner.layerGroups).toHaveLength(groups)
    const { model } = learner
    noGrad(() => {
      expect(model.eval().forward(batch.x).shape).toEqual([2, 2, 64, 64])
      expect(model.forward(inputs(1, 3, 50, 40)).shape).toEqual([1, 2, 50, 40])
    })
    learner.freeze()
    const body = model.layers.at(0)!
    const trained = body.modules().filter((module) => module.ownParameters().some(([, p]) => p.requiresGrad))
    expect(trained.every((module) => module instanceof nn.BatchNorm2d)).toBe(true)
  })

  test('trains', async () => {
    manualSeed(0)
    const learner = await unetLearner(data, models.resnet18, { pretrained: false, silent: true })
    await learner.fit(2, { lr: 1e-3 })
    const { losses } = learner.recorder
    expect(losses.at(-1)).toBeLessThan(losses[0]!)
    expect(describeModel(learner.model)).toMatchObject({ kind: 'unet', outputs: 2, size: [64, 64] })
  })

  test('what cannot be', async () => {
    const { oneBatch, ...rest } = data
    await expect(unetLearner(rest, models.resnet18, { pretrained: false })).rejects.toThrow(
      /size: \[height, width\]/,
    )
    await expect(unetLearner(data, models.resnet18, { pretrained: false, size: 0 })).rejects.toThrow(
      ConfigError,
    )
    await expect(unetLearner(data, models.xresnet18)).rejects.toThrow(/needs a file of trained weights/)
    const flat = () => new nn.Sequential(new nn.Conv2d(3, 4, 3), new nn.Flatten(), new nn.Linear(4, 2))
    await expect(unetLearner(data, flat, { pretrained: false, cut: 2 })).rejects.toThrow(/feature maps/)
    await expect(unetLearner(data, models.resnet18, { pretrained: false, yRange: [1, 0] })).rejects.toThrow(
      /lower first/,
    )
  })
})
