import { describe, expect, it } from 'vitest'
import { manualSeed, rand, type Tensor, zeros } from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'
import {
  type EncodedTensor,
  expectTensor,
  expectValueOrSummary,
  loadFixture,
  type ValueOrSummary,
} from './fixtures.ts'
import { LeNet } from './LeNet.ts'

interface Layer {
  name: string
  seed: number
  parameters: Record<string, ValueOrSummary>
  /** Drawn after the layer was built: shows how many numbers it took. */
  next: EncodedTensor
}

interface Fill extends ValueOrSummary {
  name: string
  seed: number
  shape: number[]
  arguments: { from?: number; to?: number; mean?: number; std?: number; gain?: number } & KaimingOptions
}

const { layers, fills } = loadFixture<{ layers: Layer[]; fills: Fill[] }>('initialisation')

/** `a` is also the lower bound of truncNormal_. */
type KaimingOptions = NonNullable<Parameters<typeof nn.init.kaimingUniform_>[1]> & { b?: number }

const tolerance = 1e-6

const builders: Record<string, () => { stateDict(): Record<string, Tensor> }> = {
  'Conv2d(3, 6, 5)': () => new nn.Conv2d(3, 6, 5),
  'Conv2d(4, 8, 3, groups 2, bias false)': () => new nn.Conv2d(4, 8, 3, { groups: 2, bias: false }),
  'Conv1d(4, 6, 5)': () => new nn.Conv1d(4, 6, 5),
  'ConvTranspose1d(4, 3, 2)': () => new nn.ConvTranspose1d(4, 3, 2),
  'ConvTranspose2d(4, 6, (3, 2), groups 2)': () => new nn.ConvTranspose2d(4, 6, [3, 2], { groups: 2 }),
  'ConvTranspose2d(4, 6, 3)': () => new nn.ConvTranspose2d(4, 6, 3),
  'Linear(400, 120)': () => new nn.Linear(400, 120),
  'Linear(7, 3)': () => new nn.Linear(7, 3),
  'Linear(7, 3, bias false)': () => new nn.Linear(7, 3, { bias: false }),
  'BatchNorm2d(4)': () => new nn.BatchNorm2d(4),
  'LayerNorm(5)': () => new nn.LayerNorm(5),
  'GroupNorm(2, 6)': () => new nn.GroupNorm(2, 6),
  'Embedding(10, 4)': () => new nn.Embedding(10, 4),
  'Embedding(10, 4, padding 3)': () => new nn.Embedding(10, 4, { paddingIdx: 3 }),
  LeNet: () => new LeNet(),
}

const notYet: string[] = []

describe('a freshly built layer has PyTorch’s weights', () => {
  it('has a builder for every layer of the fixture', () => {
    expect(
      layers
        .map(({ name }) => name)
        .filter((name) => !(name in builders))
        .sort(),
    ).toEqual(notYet)
  })

  for (const { name, seed, parameters, next } of layers) {
    const build = builders[name]
    if (!build) continue
    it(name, () => {
      manualSeed(seed)
      const state = build().stateDict()
      expect(Object.keys(state)).toEqual(Object.keys(parameters))
      for (const [key, expected] of Object.entries(parameters)) {
        expectValueOrSummary(state[key]!, expected, tolerance, key)
      }
      expectTensor(rand([2]), next, 0, 'the stream after it')
    })
  }
})

const initialisers: Record<string, (tensor: Tensor, given: Fill['arguments']) => Tensor> = {
  uniform_: (tensor, { from, to }) => nn.init.uniform_(tensor, from, to),
  normal_: (tensor, { mean, std }) => nn.init.normal_(tensor, mean, std),
  xavierUniform_: (tensor, given) => nn.init.xavierUniform_(tensor, given),
  xavierNormal_: (tensor, given) => nn.init.xavierNormal_(tensor, given),
  kaimingUniform_: (tensor, given) => nn.init.kaimingUniform_(tensor, given),
  kaimingNormal_: (tensor, given) => nn.init.kaimingNormal_(tensor, given),
  truncNormal_: (tensor, given) => nn.init.truncNormal_(tensor, given),
}

describe('nn.init draws PyTorch’s numbers', () => {
  for (const { name, seed, shape, arguments: given, ...expected } of fills) {
    it(`${name} [${shape.join(', ')}] ${JSON.stringify(given)}`, () => {
      manualSeed(seed)
      const tensor = initialisers[name]!(zeros(shape), given)
      expectValueOrSummary(tensor, expected, tolerance, name)
    })
  }
})
