import { describe, expect, it } from 'vitest'
import { autocast, manualSeed, randint, randn, type Tensor } from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as optim from '../../src/optim/index.ts'
import { models } from '../../src/vision/index.ts'
import { loadFixture } from './fixtures.ts'

const { resnet18 } = loadFixture<{ resnet18: { losses: number[] } }>('autocast')

describe("bfloat16 beside PyTorch's autocast", () => {
  // How far rounding carries gradients is chance. Norms of PyTorch's own lie off those of float32 by 0.018 on average and 0.13 at
  // most on a processor with AVX-512 (version 1.13), 0.043 and 0.26 on one with AVX2, 0.016 and 0.10 with AMX (2.11), 0.020 and 0.07
  // on an H100; its losses off float64's by 0.015 to 0.075.
  it('ResNet18: losses within 3e-2, gradients as near to those of float32 as the better half of PyTorch', () => {
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
    const apart = gradients('bfloat16').map(([name, norm]) => Math.abs(norm / exact.get(name)! - 1))
    const mean = apart.reduce((sum, value) => sum + value, 0) / apart.length
    expect(mean).toBeGreaterThan(0)
    expect(mean).toBeLessThan(0.025)
    expect(Math.max(...apart)).toBeLessThan(0.2)

    manualSeed(0)
    const model = models.resnet18({ numClasses: 10 })
    const [inputs, targets] = batch()
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
    for (const expected of resnet18.losses) {
      optimizer.zeroGrad()
      const loss = autocast('bfloat16', () => F.crossEntropy(model.forward(inputs), targets))
      loss.backward()
      optimizer.step()
      expect(Math.abs(loss.item() - expected)).toBeLessThan(3e-2)
    }
  })
})
