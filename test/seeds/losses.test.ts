import { describe, expect, it } from 'vitest'
import { eye, manualSeed, oneHot, randn, type Tensor, tensor } from '../../src/engine/index.ts'
import { F, nn } from '../../src/index.ts'

/** As PyTorch prints: four decimals. */
function expectPrinted(actual: Tensor, expected: number | readonly (readonly number[])[]): void {
  const wanted = (typeof expected === 'number' ? [expected] : expected.flat()) as number[]
  expect(Array.from(actual.dataSync(), (value) => value.toFixed(4))).toEqual(
    wanted.map((value) => value.toFixed(4)),
  )
}

const labels = (values: number[]) => tensor(values, { dtype: 'int64' })

describe('losses by hand and by library, seed 42', () => {
  const draw = () => {
    manualSeed(42)
    return { input: randn([3, 5], { requiresGrad: true }), target: randn([3, 5]) }
  }

  it('mean squared error', () => {
    const { input, target } = draw()
    expectPrinted(new nn.MSELoss().forward(input, target), 1.0192)
    expectPrinted(input.sub(target).pow(2).sum().div(input.numel), 1.0192)
    expectPrinted(F.mseLoss(input, target), 1.0192)
  })

  it('mean absolute error', () => {
    const { input, target } = draw()
    expectPrinted(new nn.L1Loss().forward(input, target), 0.8502)
    expectPrinted(input.sub(target).abs().mean(), 0.8502)
  })

  it('root mean squared error', () => {
    const { input, target } = draw()
    expectPrinted(new nn.RMSELoss().forward(input, target), 1.0096)
    expectPrinted(F.mseLoss(input, target).sqrt(), 1.0096)
  })

  it('squared error of each element', () => {
    const { input, target } = draw()
    const each = F.mseLoss(input, target, { reduction: 'none' })
    expect(each.shape).toEqual([3, 5])
    // PyTorch 1.13 prints these.
    expectPrinted(each, [
      [0.386, 1.424, 0.3396, 0.9924, 0.1386],
      [2.3681, 2.3161, 0.0962, 0.1111, 0.0002],
      [0.2292, 0.0822, 1.8188, 2.6893, 2.2961],
    ])
    expectPrinted(each.mean(), 1.0192)
  })

  it('cross-entropy', () => {
    const { input } = draw()
    const target = labels([1, 0, 3])
    expectPrinted(new nn.CrossEntropyLoss().forward(input, target), 2.6812)
    const chosen = input.exp().gather(1, target.unsqueeze(1)).squeeze(1)
    const byHand = chosen.div(input.exp().sum(1)).log().neg()
    expectPrinted(byHand.mean(), 2.6812)
    expectPrinted(F.crossEntropy(input, target, { reduction: 'none' }), [[1.5551, 2.7779, 3.7108]])
  })
})

describe('negative log-likelihood, seed 11', () => {
  const target = labels([0, 0, 1, 2, 1])
  const draw = () => {
    manualSeed(11)
    return new nn.LogSoftmax(1).forward(randn([5, 3]))
  }

  it('of this table of log-probabilities', () => {
    expectPrinted(draw(), [
      [-1.5229, -0.3146, -2.96],
      [-1.7934, -1.0044, -0.7607],
      [-1.2513, -1.0136, -1.0471],
      [-2.6799, -0.2219, -2.0367],
      [-1.0728, -1.9098, -0.6737],
    ])
  })

  it('is the mean of the labels’ entries', () => {
    expectPrinted(new nn.NLLLoss().forward(draw(), target), 1.6553)
    expectPrinted(draw().gather(1, target.unsqueeze(1)).neg().mean(), 1.6553)
    manualSeed(11)
    expectPrinted(F.crossEntropy(randn([5, 3]), target), 1.6553)
  })

  it('with the third class twice as heavy', () => {
    expectPrinted(new nn.NLLLoss({ weight: tensor([1, 1, 2]) }).forward(draw(), target), 1.7188)
  })

  it('ignoring class 2', () => {
    expectPrinted(new nn.NLLLoss({ ignoreIndex: 2 }).forward(draw(), target), 1.5599)
  })
})

describe('binary cross-entropy', () => {
  const prediction = tensor([0.9, 0.1, 0.2, 0.8])
  const truth = tensor([1, 0, 0, 1])

  it('of predictions and truth', () => {
    expectPrinted(new nn.BCELoss().forward(prediction, truth), 0.1643)
    const byHand = truth.mul(prediction.log()).add(truth.neg().add(1).mul(prediction.neg().add(1).log()))
    expectPrinted(byHand.mean().neg(), 0.1643)
  })

  it('with the arguments swapped, where logarithms stop at -100', () => {
    const swapped = new nn.BCELoss().forward(truth, prediction)
    expect(swapped.item()).toBeCloseTo(15, 4)
  })
})

describe('soft and one-hot targets in double precision', () => {
  it('two classes', () => {
    const scores = tensor([[-0.1211, 0.1059]])
    const target = tensor([[1, 0]], { dtype: 'int64' })
    const loss = new nn.CrossEntropyLoss().forward(scores.double(), target.double())
    expect(loss.dtype).toBe('float64')
    expectPrinted(loss, 0.8131)
    expect(String(loss)).toBe('tensor(0.8131, dtype=float64)')
  })

  it('four classes', () => {
    const scores = tensor([[0.1, 6, -2, 3.2]], { dtype: 'float64' })
    const target = oneHot(labels([2]), 4)
    expect(target.toArray()).toEqual([[0, 0, 1, 0]])
    const loss = F.crossEntropy(scores, target.double())
    expectPrinted(loss, 8.0619)
    expectPrinted(F.crossEntropy(scores, labels([2])), 8.0619)
    // Half on the label, the rest on the others: linear in the target.
    const soft = target
      .double()
      .mul(0.5)
      .add(eye(4, { dtype: 'float64' }).select(0, 1).mul(0.5))
    const best = F.crossEntropy(scores, labels([1])).item()
    expect(F.crossEntropy(scores, soft).item()).toBeCloseTo((loss.item() + best) / 2, 12)
  })
})
