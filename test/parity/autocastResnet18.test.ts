import { describe, expect, it } from 'vitest'
import { autocast, manualSeed, randint, randn, type Tensor } from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as optim from '../../src/optim/index.ts'
import { models } from '../../src/vision/index.ts'
import { loadFixture } from './fixtures.ts'

const { resnet18 } = loadFixture<{
  resnet18: { losses: number[]; gradientNorms: Record<string, number> }
}>('autocast')
/** As PyTorch has them on a GPU: how far they are from float32's hangs on where kernels round, by a quarter among PyTorch's own. */
const { gradientNorms: normsOnCuda } = loadFixture<{ gradientNorms: Record<string, number> }>('autocastCuda')

describe("bfloat16 beside PyTorch's autocast", () => {
  it('ResNet18: losses within 2e-2, gradients no further from those of float32 than PyTorch', () => {
    const batch = (): [Tensor, Tensor] => [randn([8, 3, 64, 64]), randint(0, 10, [8])]
    const gradients = (dtype: 'bfloat16' | 'float32') => {
      manualSeed(0)
      const model = models.resnet18({ numClasses: 10 })
      const [inputs, targets] = batch()
      autocast(dtype, () => F.crossEntropy(model.forward(inputs), targets)).backward()
      return model.namedParameters().map(([name, parameter]) => {
        expect(parameter.grad!.dtype).toBe('float32')
        return [name, parameter.grad!.norm().item()] as const
      })
    }
    const exact = new Map(gradients('float32'))
    const apart = (list: Iterable<readonly [string, number]>) =>
      Array.from(list, ([name, norm]) => Math.abs(norm / exact.get(name)! - 1))
    const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length
    const ours = apart(gradients('bfloat16'))
    const theirs = [resnet18.gradientNorms, normsOnCuda].map((norms) => apart(Object.entries(norms)))
    expect(mean(ours)).toBeGreaterThan(0)
    expect(mean(ours)).toBeLessThan(Math.max(...theirs.map(mean)))
    expect(Math.max(...ours)).toBeLessThan(Math.max(...theirs.flat()))

    manualSeed(0)
    const model = models.resnet18({ numClasses: 10 })
    const [inputs, targets] = batch()
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
    for (const expected of resnet18.losses) {
      optimizer.zeroGrad()
      const loss = autocast('bfloat16', () => F.crossEntropy(model.forward(inputs), targets))
      loss.backward()
      optimizer.step()
      expect(Math.abs(loss.item() - expected)).toBeLessThan(2e-2)
    }
  })
})
