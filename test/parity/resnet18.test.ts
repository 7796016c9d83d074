import { beforeAll, describe, expect, it } from 'vitest'
import { manualSeed, noGrad, randint, randn, type Tensor } from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import type * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import * as models from '../../src/vision/models/index.ts'
import {
  type EncodedTensor,
  expectSummary,
  expectTensor,
  expectValues,
  loadFixture,
  numbersOf,
  type Summary,
  valuesOf,
} from './fixtures.ts'

interface Fixture {
  targets: EncodedTensor
  initial: Record<string, Summary>
  evalLogits: EncodedTensor
  trainLogits: EncodedTensor
  losses: number[]
  gradientNorms: Record<string, number>
  finalEvalLogits: EncodedTensor
  finalRunningMean: Summary
  stateDict: Record<string, number[]>
}

const expected = loadFixture<Fixture>('resnet18')

/** The steps of test/fixtures/training_cases.py: seed, model, one batch, then three SGD steps on it. */
describe('ResNet18 is torchvision’s', () => {
  let model: nn.Module<[Tensor], Tensor>
  let inputs: Tensor
  let targets: Tensor

  beforeAll(() => {
    manualSeed(0)
    model = models.resnet18({ numClasses: 10 })
    inputs = randn([4, 3, 64, 64])
    targets = randint(0, 10, [4])
  })

  it('has the same names and shapes in the state dict', () => {
    const state = models.resnet18().stateDict()
    const shapes = Object.fromEntries(Object.entries(state).map(([key, value]) => [key, [...value.shape]]))
    expect(shapes).toEqual(expected.stateDict)
    expect(Object.keys(shapes)).toEqual(Object.keys(expected.stateDict))
  })

  it('starts from the same weights', () => {
    const state = model.stateDict()
    for (const [key, summary] of Object.entries(expected.initial))
      expectSummary(state[key]!, summary, 1e-6, key)
    expect(valuesOf(targets)).toEqual(numbersOf(expected.targets))
  })

  it('gives the same logits, gradients and losses', () => {
    model.eval()
    expectTensor(
      noGrad(() => model.forward(inputs)),
      expected.evalLogits,
      1e-4,
      'logits in evaluation',
    )
    model.train()
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
    const losses = expected.losses.map((_, step) => {
      optimizer.zeroGrad()
      const logits = model.forward(inputs)
      const loss = F.crossEntropy(logits, targets)
      loss.backward()
      if (step === 0) {
        expectTensor(logits, expected.trainLogits, 1e-4, 'logits in training')
        for (const [name, parameter] of model.namedParameters()) {
          const norm = Math.sqrt(valuesOf(parameter.grad!).reduce((sum, value) => sum + value * value, 0))
          expectValues([norm], [expected.gradientNorms[name]!], 2e-5, `norm of the gradient of ${name}`)
        }
      }
      optimizer.step()
      return loss.item()
    })
    expectValues(losses, expected.losses, 1e-5, 'losses')
    expectSummary(model.stateDict()['bn1.running_mean']!, expected.finalRunningMean, 1e-4, 'running mean')
    model.eval()
    expectTensor(
      noGrad(() => model.forward(inputs)),
      expected.finalEvalLogits,
      1e-4,
      'logits at the end',
    )
  })
})
