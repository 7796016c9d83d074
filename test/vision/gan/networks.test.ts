import { describe, expect, it } from 'vitest'
import { manualSeed, noGrad, randn, type Tensor } from '../../../src/engine/index.ts'
import * as nn from '../../../src/nn/index.ts'
import {
  basicCritic,
  basicGenerator,
  dcganDiscriminator,
  dcganGenerator,
  ganCritic,
  SelfAttention,
  SpectralConv2d,
} from '../../../src/vision/gan/index.ts'
import { expected } from './support.ts'

const count = (network: nn.Module) => network.parameters().reduce((sum, { numel }) => sum + numel, 0)
const shapeOf = (network: nn.Module, ...shape: number[]) =>
  noGrad(() => network.eval().forward(randn(shape)).shape)
const deviation = (weight: Tensor) => weight.detach().std().item()

describe('DCGAN', () => {
  it('has the layers of PyTorch’s tutorial', () => {
    const [generator, discriminator] = [dcganGenerator(), dcganDiscriminator()]
    expect([count(generator), count(discriminator)]).toEqual([3_576_704, 2_765_568])
    expect(shapeOf(generator, 2, 100, 1, 1)).toEqual([2, 3, 64, 64])
    expect(shapeOf(discriminator, 2, 3, 64, 64)).toEqual([2, 1, 1, 1])
    expect(Object.keys(generator.stateDict())).toContain('main.12.weight')
    expect(Object.keys(generator.stateDict()).slice(0, 4)).toEqual([
      'main.0.weight',
      'main.1.weight',
      'main.1.bias',
      'main.1.running_mean',
    ])
    expect(Object.keys(discriminator.stateDict()).slice(0, 3)).toEqual([
      'main.0.weight',
      'main.2.weight',
      'main.3.weight',
    ])
  })

  it('starts from N(0, 0.02), and N(1, 0.02) in batch norm', () => {
    manualSeed(1)
    const { main } = dcganGenerator({ features: 16 })
    const norm = main[1] as unknown as nn.BatchNorm2d
    expect(deviation((main[0] as nn.ConvTranspose2d).weight)).toBeCloseTo(0.02, 3)
    expect(norm.weight!.detach().mean().item()).toBeCloseTo(1, 2)
    expect(deviation(norm.weight!)).toBeCloseTo(0.02, 2)
    expect(norm.bias!.toArray()).toEqual(new Array(128).fill(0))
  })

  it('comes in other sizes', () => {
    for (const size of [8, 32, 128]) {
      const options = { size, features: 4, channels: 1 }
      expect(shapeOf(dcganGenerator({ ...options, latent: 7 }), 2, 7, 1, 1)).toEqual([2, 1, size, size])
      expect(shapeOf(dcganDiscriminator(options), 2, 1, size, size)).toEqual([2, 1, 1, 1])
    }
  })

  it('says which sizes can be', () => {
    for (const make of [dcganGenerator, dcganDiscriminator]) {
      expect(() => make({ size: 48 })).toThrow(/48 pixels.*32 or 64/)
      expect(() => make({ size: 4 })).toThrow(/8, 16, 32/)
      expect(() => make({ size: Number.NaN })).toThrow(/8, 16, 32/)
      expect(() => make({ features: 0 })).toThrow(/features/)
      expect(() => make({ filters: 3 } as object)).toThrow(/unknown option filters/)
    }
  })
})

describe('basic networks', () => {
  // fastai 1.0.64.
  it.each([
    [16, 0, 339_328, 136_512],
    [32, 0, 1_068_928, 663_360],
    [64, 0, 3_576_704, 2_765_632],
    [64, 1, 3_613_696, 2_802_624],
  ])(
    'for %i pixels and %i extra layers have fastai’s parameters',
    (size, extraLayers, ofGenerator, ofCritic) => {
      const generator = basicGenerator(size, 3, { extraLayers })
      expect(count(generator)).toBe(ofGenerator)
      expect(count(basicCritic(size, 3, { extraLayers }))).toBe(ofCritic)
      expect(count(basicGenerator({ size, channels: 3, extraLayers }))).toBe(ofGenerator)
      expect(generator.latent).toBe(100)
    },
  )

  it('have fastai’s deviations, order of layers and shapes', () => {
    manualSeed(2)
    const generator = basicGenerator(64, 3)
    const convolutions = [...generator].filter((layer) => layer instanceof nn.ConvTranspose2d)
    const deviations = convolutions.map(({ weight }) => deviation(weight))
    for (const [i, value] of [0.0156, 0.0221, 0.0313, 0.0443].entries()) {
      expect(deviations[i]! / value).toBeCloseTo(1, 1)
    }
    const scoring = [...basicCritic(64, 3)].filter((layer) => layer instanceof nn.Conv2d).at(-1)!
    expect(deviation(scoring.weight) / Math.sqrt(2 / 8192)).toBeCloseTo(1, 1)
    expect([...generator].slice(0, 3).map((layer) => layer.constructor.name)).toEqual([
      'ConvTranspose2d',
      'ReLU',
      'BatchNorm2d',
    ])
    expect(shapeOf(basicGenerator(28, 1, { features: 8 }), 2, 100, 1, 1)).toEqual([2, 1, 32, 32])
    expect(shapeOf(basicCritic(32, 1, { features: 8 }), 2, 1, 32, 32)).toEqual([1])
    expect(shapeOf(basicCritic(32, 1, { features: 8, norm: 'layer' }), 2, 1, 32, 32)).toEqual([1])
  })

  it('say what cannot be', () => {
    expect(() => basicCritic(28, 1)).toThrow(/28 pixels.*16 or 32/)
    expect(() => basicCritic(32, 3, { norm: 'group' as 'batch' })).toThrow(/'batch', 'layer' or 'none'/)
    expect(() => basicGenerator(32, 3, { features: 5 })).toThrow(/even/)
    expect(() => basicGenerator(32, 0)).toThrow(/channels/)
  })
})

describe('ganCritic', () => {
  it('has fastai’s parameters and scores', () => {
    expect(count(ganCritic())).toBe(44_705_665)
    const small = ganCritic(3, { features: 4 })
    for (const [size, scores] of [
      [64, 1],
      [96, 9],
      [128, 25],
    ] as const) {
      expect(shapeOf(small, 2, 3, size, size)).toEqual([2, scores])
    }
    expect(() => ganCritic(3, { dropout: 2 })).toThrow(/dropout/)
  })

  it('trains: gradients reach everything', () => {
    const critic = ganCritic(1, { features: 4, blocks: 1 })
    critic
      .forward(randn([2, 1, 16, 16]))
      .sum()
      .backward()
    const without = critic.namedParameters().filter(([, { grad }]) => grad === null)
    expect(without).toEqual([])
  })

  it('attends to nothing at first, and then to all places', () => {
    manualSeed(4)
    const attention = new SelfAttention(8)
    const x = randn([1, 8, 3, 3])
    expect(attention.forward(x).sub(x).abs().max().item()).toBe(0)
    noGrad(() => attention.gamma.fill_(1))
    const changed = attention.forward(x).sub(attention.forward(x.mul(1).indexPut_([0, 0, 0, 0], 5)))
    expect(changed.abs().sum(1).min().item()).toBeGreaterThan(0)
  })
})

describe('spectral norm', () => {
  it('is PyTorch’s', () => {
    manualSeed(3)
    const layer = new SpectralConv2d(4, 6, { kernelSize: 3, padding: 1 })
    const x = randn([2, 4, 5, 5])
    const { rows, u } = expected.spectral
    for (const row of rows.slice(0, 3)) {
      layer.zeroGrad()
      const out = layer.forward(x)
      out.square().sum().backward()
      const found = [
        out.abs().sum().item(),
        out.index(0, 0, 0, 0).item(),
        layer.weight.grad!.norm().item(),
        layer.bias!.grad!.norm().item(),
      ]
      for (const [i, value] of found.entries()) expect(value / row[i]!).toBeCloseTo(1, 4)
    }
    layer.eval()
    expect(layer.forward(x).abs().sum().item() / rows[3]![0]!).toBeCloseTo(1, 4)
    const left = layer.stateDict().weight_u!.toArray() as number[]
    for (const [i, value] of left.entries()) expect(value).toBeCloseTo(u[i]!, 5)
    expect(Object.keys(layer.stateDict())).toEqual(['weight_orig', 'bias', 'weight_u', 'weight_v'])
  })
})
