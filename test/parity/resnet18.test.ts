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

  it('gives the same logits, loss and gradients', () => {
    model.eval()
    const evaluated = noGrad(() => model.forward(inputs))
    expectTensor(evaluated, expected.evalLogits, 1e-4, 'logits in evaluation')
    model.train()
    const logits = model.forward(inputs)
    const loss = F.crossEntropy(logits, targets)
    loss.backward()
    expectTensor(logits, expected.trainLogits, 1e-4, 'logits in training')
    expectValues([loss.item()], [expected.losses[0]!], 1e-6, 'loss')
    for (const [name, parameter] of model.namedParameters()) {
      const norm = Math.sqrt(valuesOf(parameter.grad!).reduce((sum, value) => sum + value * value, 0))
      expectValues([norm], [expected.gradientNorms[name]!], 2e-5, `norm of the gradient of ${name}`)
    }
  })

  // In float64, as the fixture: in float32 a value at a ReLU's edge falls to one side or the other, and PyTorch's own losses
  // after three steps lie up to 3 % apart where the input changes by a millionth.
  it('takes the same steps', () => {
    manualSeed(0)
    const wide = models.resnet18({ numClasses: 10 }).to('float64')
    const pictures = randn([4, 3, 64, 64]).double()
    const optimizer = new optim.SGD(wide.parameters(), { lr: 0.01, momentum: 0.9 })
    const losses = expected.losses.map(() => {
      optimizer.zeroGrad()
      const loss = F.crossEntropy(wide.forward(pictures), targets)
      loss.backward()
      optimizer.step()
      return loss.item()
    })
    expectValues(losses, expected.losses, 1e-9, 'losses')
    expectSummary(wide.stateDict()['bn1.running_mean']!, expected.finalRunningMean, 1e-9, 'running mean')
    wide.eval()
    const evaluated = noGrad(() => wide.forward(pictures))
    expectTensor(evaluated, expected.finalEvalLogits, 1e-9, 'logits at the end')
  })
})
