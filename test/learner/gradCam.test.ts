import { describe, expect, it } from 'vitest'
import { ConfigError, linspace, manualSeed, models, nn, noGrad, randn, ShapeError } from '../../src/index.ts'
import { gradCam } from '../../src/learner/index.ts'

describe('gradCam', () => {
  const build = () => {
    manualSeed(2)
    return new nn.Sequential(
      new nn.Sequential(new nn.Conv2d(3, 5, 3, { padding: 1 }), new nn.BatchNorm2d(5), new nn.ReLU()),
      new nn.Sequential(new nn.AdaptiveAvgPool2d(1), new nn.Flatten(), new nn.Linear(5, 4)),
    )
  }

  it('is the weighted sum of the feature maps where the head is linear on their means', async () => {
    const model = build()
    model.requiresGrad_(false)
    const x = randn([3, 3, 6, 5])
    const { maps, classes } = await gradCam(model, x)
    expect(model.training).toBe(true)
    const [features, logits, weight] = noGrad(() => {
      model.eval()
      const body = model[0]!.forward(x)
      return [body, model.forward(x), (model[1]!.children()[2] as nn.Linear).weight] as const
    })
    expect(classes).toEqual(logits.argmax(1).toArray())
    const rows = weight.toArray() as number[][]
    const values = features.toArray() as number[][][][]
    for (const [i, label] of classes.entries()) {
      const raw = Array.from({ length: 6 }, (_, y) =>
        Array.from({ length: 5 }, (_, j) =>
          Math.max(
            0,
            values[i]!.reduce((sum, channel, c) => sum + rows[label]![c]! * channel[y]![j]!, 0),
          ),
        ),
      )
      const largest = Math.max(...raw.flat())
      const map = maps.index(i).toArray() as number[][]
      for (const [y, row] of raw.entries())
        for (const [j, value] of row.entries()) expect(map[y]![j]).toBeCloseTo(value / largest, 4)
    }
  })

  it.each(['convnextTiny', 'resnet18', 'efficientnetB0', 'mobilenetV2'] as const)(
    'looks at the end of the body, with what goes past its last layers: %s',
    async (name) => {
      manualSeed(4)
      const model = models[name]({ numClasses: 3 })
      const x = randn([2, 3, 64, 64])
      const body = 'features' in model ? model.features : model.layer4
      const [found, told] = [await gradCam(model, x), await gradCam(model, x, { layer: body })]
      expect(found.maps.toArray()).toEqual(told.maps.toArray())
      expect(found.classes).toEqual(told.classes)
    },
  )

  it('works where gradients are off', async () => {
    const [model, x] = [build(), randn([2, 3, 6, 5])]
    const { maps } = await noGrad(() => gradCam(model, x))
    expect(maps.toArray()).toEqual((await gradCam(model, x)).maps.toArray())
  })

  it('explains a class of your choice, from a layer of your choice, and leaves gradients alone', async () => {
    const model = build()
    const x = randn([2, 3, 6, 5])
    const layer = model[0]!.children()[0] as nn.Module
    const { maps, classes } = await gradCam(model, x, { layer, classes: [3, 0] })
    expect(maps.shape).toEqual([2, 6, 5])
    expect(classes).toEqual([3, 0])
    expect(model.parameters().every(({ grad }) => !grad)).toBe(true)
    expect(maps.max().item()).toBeLessThanOrEqual(1)
    await expect(gradCam(model, x, { classes: [4, 0] })).rejects.toThrow(/whole numbers from 0 to 3/)
    await expect(gradCam(model, x, { layer: new nn.ReLU() })).rejects.toThrow(/never calls the ReLU/)
    await expect(gradCam(model, x, { layer: model[1]!.children()[2]! })).rejects.toThrow(/no feature maps/)
    await expect(gradCam(model[0]!, x)).rejects.toThrow(ShapeError)
    await expect(gradCam(new nn.Linear(3, 2), linspace(0, 1, 6).view(2, 3))).rejects.toThrow(ConfigError)
  })
})
