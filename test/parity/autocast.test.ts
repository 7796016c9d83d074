import { describe, expect, it } from 'vitest'
import {
  autocast,
  convTranspose2d,
  manualSeed,
  noGrad,
  ones,
  randint,
  randn,
  type Tensor,
  zeros,
} from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { loadFixture } from './fixtures.ts'
import { LeNet } from './LeNet.ts'

interface Fixture {
  runs: { losses: number[] }[]
}

const { runs } = loadFixture<Fixture>('autocast')
const [single] = loadFixture<Fixture>('lenet').runs

function train(model: nn.Module<[Tensor]>, batch: () => [Tensor, Tensor], steps: number): number[] {
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
  return Array.from({ length: steps }, () => {
    const [inputs, targets] = batch()
    optimizer.zeroGrad()
    const loss = autocast('bfloat16', () => F.crossEntropy(model.forward(inputs) as Tensor, targets))
    loss.backward()
    optimizer.step()
    return loss.item()
  })
}

describe("bfloat16 beside PyTorch's autocast", () => {
  it('LeNet, 20 steps: the losses of PyTorch, which are not those of float32', () => {
    manualSeed(42)
    const losses = runs[0]!.losses
    const actual = train(new LeNet(), () => [randn([8, 3, 32, 32]), randint(0, 10, [8])], losses.length)
    actual.forEach((loss, i) => {
      expect(Math.abs(loss - losses[i]!)).toBeLessThan(2e-3)
    })
    expect(actual.some((loss, i) => Math.abs(loss - single!.losses[i]!) > 1e-5)).toBe(true)
  })
})

describe('what autocast lowers and raises', () => {
  const x = () => randn([2, 3, 8, 8])

  it('convolutions, linear layers and products give bfloat16; parameters and gradients stay float32', () => {
    const [conv, linear] = [new nn.Conv2d(3, 4, 3), new nn.Linear(8, 5)]
    const transposed = new nn.ConvTranspose2d(3, 4, 2)
    autocast('bfloat16', () => {
      const results = [
        conv.forward(x()),
        transposed.forward(x()),
        linear.forward(x()),
        x().matmul(x()),
        F.conv1d(randn([1, 2, 9]), randn([3, 2, 3])),
      ]
      for (const result of results) expect(result.dtype).toBe('bfloat16')
      const total = results.reduce((sum, result) => sum.add(result.float().sum()), zeros([]))
      total.backward()
    })
    for (const parameter of [...conv.parameters(), ...linear.parameters(), ...transposed.parameters()]) {
      expect([parameter.dtype, parameter.grad!.dtype]).toEqual(['float32', 'float32'])
    }
  })

  it('weights that are half precision themselves get half-precision gradients', () => {
    const weight = randn([4, 3, 3, 3]).to('bfloat16').requiresGrad_()
    F.conv2d(x().to('bfloat16'), weight).float().sum().backward()
    expect(weight.grad!.dtype).toBe('bfloat16')
    const input = x().to('float16').requiresGrad_()
    const kernel = randn([3, 4, 3, 3]).requiresGrad_()
    const out = convTranspose2d(input, kernel)
    out.float().sum().backward()
    expect([out.dtype, input.grad!.dtype, kernel.grad!.dtype]).toEqual(['float16', 'float16', 'float32'])
  })

  it('batch norm keeps bfloat16 and its float32 statistics; losses and softmax are float32', () => {
    const norm = new nn.BatchNorm2d(3)
    autocast('bfloat16', () => {
      const half = x().to('bfloat16')
      expect(norm.forward(half).dtype).toBe('bfloat16')
      expect(F.softmax(half).dtype).toBe('float32')
      expect(F.logSoftmax(half).dtype).toBe('float32')
      const logits = randn([4, 5]).to('bfloat16')
      const probabilities = logits.sigmoid()
      expect(F.crossEntropy(logits, randint(0, 5, [4])).dtype).toBe('float32')
      expect(F.nllLoss(logits, randint(0, 5, [4])).dtype).toBe('float32')
      expect(F.binaryCrossEntropyWithLogits(logits, ones([4, 5])).dtype).toBe('float32')
      expect(F.binaryCrossEntropy(probabilities, ones([4, 5])).dtype).toBe('float32')
      expect(F.mseLoss(logits, zeros([4, 5])).dtype).toBe('float32')
      for (const each of [
        F.cosineSimilarity(logits, logits),
        F.pairwiseDistance(logits, logits),
        F.cosineEmbeddingLoss(logits, logits, ones([4])),
        F.tripletMarginLoss(logits, logits, logits),
      ]) {
        expect(each.dtype).toBe('float32')
      }
      expect(F.klDiv(logits, zeros([4, 5])).dtype).toBe('float32')
    })
    expect(norm.runningMean!.dtype).toBe('float32')
  })

  it('leaves float64 alone, ends with its body, nests, switches off, and lasts over awaits', async () => {
    const [a, b] = [randn([2, 2]), randn([2, 2])]
    const dtype = () => a.matmul(b).dtype
    expect(autocast('bfloat16', () => a.double().matmul(b.double()).dtype)).toBe('float64')
    expect(autocast('bfloat16', dtype)).toBe('bfloat16')
    expect(dtype()).toBe('float32')
    expect(autocast('bfloat16', () => autocast('float32', dtype))).toBe('float32')
    expect(autocast('bfloat16', () => noGrad(dtype))).toBe('bfloat16')
    const later = autocast('bfloat16', async () => {
      await new Promise((resolve) => setImmediate(resolve))
      return dtype()
    })
    expect(dtype()).toBe('float32')
    expect(await later).toBe('bfloat16')
    expect(() =>
      autocast('bfloat16', () => {
        throw new Error('inside')
      }),
    ).toThrow('inside')
    expect(dtype()).toBe('float32')
  })

  it('refuses other dtypes and bodies', () => {
    expect(() => autocast('float64' as 'bfloat16', () => 1)).toThrow(/'bfloat16'/)
    expect(() => autocast('bfloat16', 3 as never)).toThrow(/function/)
  })
})
