import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { imagenetStats } from '../../src/data/index.ts'
import { CheckpointError, ConfigError } from '../../src/engine/errors.ts'
import { emptyCache, randn, zeros } from '../../src/engine/index.ts'
import { saveWeights } from '../../src/io/index.ts'
import * as nn from '../../src/nn/index.ts'
import { models, type VisionData, visionLearner } from '../../src/vision/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'

const shared = fileURLToPath(new URL('../../../shared/weights/resnet18-cifar10.pth', import.meta.url))

const batches = {
  length: 1,
  dataset: { length: 2 },
  async *[Symbol.asyncIterator]() {
    yield { x: randn([2, 3, 64, 64]), y: zeros([2], { dtype: 'int64' }) }
  },
}
const data: VisionData = { trainDl: batches, validDl: null, c: 10, lossFunction: new nn.CrossEntropyLoss() }

const count = (modules: Iterable<nn.Module>, trainable = false) =>
  [...modules].reduce(
    (sum, module) =>
      module
        .parameters()
        .filter(({ requiresGrad }) => !trainable || requiresGrad)
        .reduce((inner, { shape }) => inner + shape.reduce((a, b) => a * b, 1), sum),
    0,
  )

describe('visionLearner', () => {
  // Leaves and parameters of each group; and trainable ones with the body frozen, and with its first group alone frozen, with
  // batch norm trained and without: fastai's figures for 10 classes.
  test.each([
    ['resnet18', [26, 24, 10], [683_072, 10_493_440, 533_002]],
    ['resnet34', [41, 49, 10], [1_347_904, 19_936_768, 533_002]],
    ['resnet50', [57, 67, 10], [1_444_928, 22_063_104, 2_112_010]],
    ['squeezenet1_1', [15, 13, 25, 10], [25_632, 94_784, 602_080, 533_002]],
    ['densenet121', [116, 249, 10], [1_297_536, 5_656_320, 1_059_338]],
    ['vgg16Bn', [22, 23, 10], [1_737_792, 12_985_344, 533_002]],
    ['mobilenetV2', [72, 67, 10], [185_088, 2_038_784, 1_322_506]],
  ] as const)('%s is cut and grouped as fastai does', async (name, leaves, parameters) => {
    const learner = await visionLearner(data, models[name], { pretrained: false, silent: true })
    const groups = learner.layerGroups
    expect(groups.map((group) => group.length)).toEqual(leaves)
    expect(groups.map((group) => count([group]))).toEqual(parameters)
    expect(count(groups, true)).toBe(parameters.reduce<number>((sum, size) => sum + size, 0))
    learner.freeze()
    expect(count(groups.slice(-1), true)).toBe(parameters.at(-1))
    emptyCache()
  })

  test.each([
    ['resnet18', [542_602, 533_002], [11_028_362, 11_026_442]],
    ['resnet34', [550_026, 533_002], [20_472_970, 20_469_770]],
    ['resnet50', [2_165_130, 2_112_010], [24_185_226, 24_175_114]],
  ] as const)('%s is frozen as fastai does', async (name, frozen, frozenTo1) => {
    for (const [i, trainBn] of [true, false].entries()) {
      const learner = await visionLearner(data, models[name], { pretrained: false, trainBn, silent: true })
      learner.freeze()
      expect(count(learner.layerGroups, true)).toBe(frozen[i])
      learner.freezeTo(1)
      expect(count(learner.layerGroups, true)).toBe(frozenTo1[i])
      learner.unfreeze()
      expect(count(learner.layerGroups, true)).toBe(count(learner.layerGroups))
    }
  })

  // Those that fastai does not know.
  test.each([
    ['resnext50_32x4d', 3, 2048],
    ['xresnet18', 3, 512],
    ['squeezenet1_0', 4, 512],
    ['vgg19Bn', 3, 512],
    ['densenet169', 3, 1664],
    ['efficientnetB0', 3, 1280],
    ['convnextTiny', 3, 768],
  ] as const)('%s has %d groups, and a body of %d channels', async (name, groups, features) => {
    const learner = await visionLearner(data, models[name], { pretrained: false, silent: true })
    expect(learner.layerGroups).toHaveLength(groups)
    expect(learner.model.stateDict()['1.2.weight']!.shape).toEqual([2 * features])
    learner.freeze()
    expect(
      learner.model
        .children()[1]!
        .parameters()
        .every(({ requiresGrad }) => requiresGrad),
    ).toBe(true)
    expect(models[name].stats).toEqual(imagenetStats)
    emptyCache()
  })

  test('pretrained: the body has the weights of the file and is frozen, the head is new', async () => {
    const file = `${await temporaryFolder()}/trained.safetensors`
    const trained = models.resnet18({ numClasses: 7 })
    await saveWeights(trained, file)
    const learner = await visionLearner(data, models.resnet18, { weights: file, silent: true })
    const state = learner.model.stateDict()
    expect(state['0.4.1.conv2.weight']!.toArray()).toEqual(
      trained.stateDict()['layer1.1.conv2.weight']!.toArray(),
    )
    expect(state['1.8.weight']!.shape).toEqual([10, 512])
    expect(count(learner.layerGroups, true)).toBe(542_602)
  })

  test.skipIf(!existsSync(shared))('takes a file of PyTorch', async () => {
    const learner = await visionLearner(
      { ...data, c: undefined, classes: ['ants', 'bees'] },
      models.resnet18,
      { weights: shared, silent: true },
    )
    expect(learner.model.stateDict()['1.8.weight']!.shape).toEqual([2, 512])
  })

  test('a model and a head of your own', async () => {
    const build = () =>
      new nn.Sequential(
        new nn.Conv2d(3, 4, 3),
        new nn.BatchNorm2d(4),
        new nn.ReLU(),
        new nn.AdaptiveAvgPool2d(1),
        new nn.Flatten(),
        new nn.Linear(4, 2),
      )
    const learner = await visionLearner(data, build, { pretrained: false, linearFeatures: [], silent: true })
    expect(learner.layerGroups.map((group) => group.length)).toEqual([3, 6])
    const head = new nn.Sequential(new nn.AdaptiveAvgPool2d(1), new nn.Flatten(), new nn.Linear(4, 3))
    const own = await visionLearner(data, build, {
      pretrained: false,
      head,
      split: (model) => [model.children()[1]!],
      silent: true,
    })
    expect(own.layerGroups.map((group) => group.length)).toEqual([1, 2, 3])
    expect(own.model.children()[1]).toBe(head)
  })

  test('trains', async () => {
    const learner = await visionLearner(data, models.resnet18, { pretrained: false, silent: true })
    await learner.fit(1)
    expect(learner.recorder.losses).toHaveLength(1)
    expect(Number.isFinite(learner.recorder.losses[0])).toBe(true)
  })

  test('what cannot be', async () => {
    await expect(visionLearner(data, models.xresnet18)).rejects.toThrow(
      /xresnet18: pretrained: true needs a file/,
    )
    await expect(visionLearner(data, models.resnet18, { pretrained: false, weights: 'x' })).rejects.toThrow(
      ConfigError,
    )
    await expect(
      visionLearner({ ...data, c: undefined }, models.resnet18, { pretrained: false }),
    ).rejects.toThrow(/number of classes/)
    await expect(visionLearner(data, models.resnet18, { weights: '/none' })).rejects.toThrow(CheckpointError)
    // @ts-expect-error an option that does not exist
    await expect(visionLearner(data, models.resnet18, { pretrained: false, metric: [] })).rejects.toThrow(
      /unknown option metric/,
    )
  })

  test('weights of another architecture are refused, with all names', async () => {
    const file = `${await temporaryFolder()}/other.safetensors`
    await saveWeights(models.resnet34({ numClasses: 2 }), file)
    await expect(visionLearner(data, models.resnet18, { weights: file })).rejects.toThrow(
      /not in the model \(\d+\): layer1\.2\.conv1\.weight/,
    )
  })
})
