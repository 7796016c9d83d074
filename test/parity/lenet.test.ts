import { describe, it } from 'vitest'
import { manualSeed, randint, randn, type Tensor } from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as optim from '../../src/optim/index.ts'
import { expectSummary, expectValues, loadFixture, type Summary } from './fixtures.ts'
import { LeNet } from './LeNet.ts'

interface Run {
  name: string
  losses: number[]
  final: Record<string, Summary>
}

const { runs } = loadFixture<{ runs: Run[] }>('lenet')

const builders: Record<string, (params: Tensor[]) => optim.Optimizer> = {
  SGD: (params) => new optim.SGD(params, { lr: 0.01, momentum: 0.9 }),
  Adam: (params) => new optim.Adam(params, { lr: 1e-3 }),
}

describe('same seed, same losses as PyTorch', () => {
  for (const { name, losses, final } of runs) {
    it(`LeNet, ${losses.length} steps of ${name}`, () => {
      manualSeed(42)
      const model = new LeNet()
      const optimizer = builders[name]!(model.parameters())
      const actual = losses.map(() => {
        const inputs = randn([8, 3, 32, 32])
        const targets = randint(0, 10, [8])
        optimizer.zeroGrad()
        const loss = F.crossEntropy(model.forward(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.item()
      })
      expectValues(actual, losses, 1e-4, 'losses')
      const state = model.stateDict()
      for (const [key, summary] of Object.entries(final)) expectSummary(state[key]!, summary, 1e-3, key)
    })
  }
})
