import { describe, expect, it } from 'vitest'
import { ConfigError, ShapeError } from '../../src/engine/errors.ts'
import {
  gradcheck,
  gradgradcheck,
  manualSeed,
  randn,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'

const values = (tensor: Tensor) => Array.from(tensor.contiguous().dataSync() as ArrayLike<number>)

function expectValues(actual: Tensor, expected: number[], digits = 5): void {
  const got = values(actual)
  expect(got).toHaveLength(expected.length)
  got.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i]!, digits)
  })
}

const output = () => tensor([0.5, -1, 3, 0], { requiresGrad: true })
const target = () => tensor([0, 1, 0.5, 0])
const differences = [0.5, -2, 2.5, 0]

describe('regression losses, element by element', () => {
  const huber = (delta: number) => (d: number) =>
    Math.abs(d) <= delta ? d ** 2 / 2 : delta * (Math.abs(d) - delta / 2)
  const slope = (delta: number) => (d: number) => Math.max(-delta, Math.min(delta, d))
  const cases: [
    string,
    new (options: nn.LossOptions) => nn.Loss,
    object,
    (d: number) => number,
    (d: number) => number,
  ][] = [
    ['MSE', nn.MSELoss, {}, (d) => d ** 2, (d) => 2 * d],
    ['L1', nn.L1Loss, {}, Math.abs, Math.sign],
    ['Huber', nn.HuberLoss, {}, huber(1), slope(1)],
    ['Huber, delta 2', nn.HuberLoss, { delta: 2 }, huber(2), slope(2)],
    ['smooth L1', nn.SmoothL1Loss, {}, huber(1), slope(1)],
    [
      'smooth L1, beta 0.5',
      nn.SmoothL1Loss,
      { beta: 0.5 },
      (d) => huber(0.5)(d) / 0.5,
      (d) => slope(0.5)(d) / 0.5,
    ],
    ['smooth L1, beta 0', nn.SmoothL1Loss, { beta: 0 }, Math.abs, Math.sign],
  ]
  for (const [name, Loss, options, value, derivative] of cases) {
    it(name, () => {
      const all = differences.map(value)
      const sum = all.reduce((a, b) => a + b)
      expectValues(new Loss({ ...options, reduction: 'none' }).forward(output(), target()), all)
      expectValues(new Loss({ ...options, reduction: 'sum' }).forward(output(), target()), [sum])
      const leaf = output()
      const mean = new Loss(options).forward(leaf, target())
      expectValues(mean, [sum / 4])
      mean.backward()
      expectValues(
        leaf.grad!,
        differences.map((d) => derivative(d) / 4),
      )
    })
  }

  it('RMSE is the root of the mean, not the mean of roots', () => {
    expectValues(new nn.RMSELoss().forward(output(), target()), [Math.sqrt(10.5 / 4)])
    expectValues(F.rmseLoss(output(), target(), { reduction: 'sum' }), [Math.sqrt(10.5)])
    expectValues(F.rmseLoss(output(), target(), { reduction: 'none' }), differences.map(Math.abs))
  })

  it('refuses shapes that would broadcast', () => {
    expect(() => new nn.MSELoss().forward(zeros([4, 1]), zeros([4]))).toThrow(ShapeError)
    expect(() => F.l1Loss(zeros([4, 1]), zeros([4]))).toThrow(/\[4, 1\].*\[4\].*squeeze/)
  })
})

describe('classification losses', () => {
  const logits = () =>
    tensor(
      [
        [2, 1, 0],
        [0, 1, 0],
      ],
      { requiresGrad: true },
    )
  const classes = () => tensor([0, 2], { dtype: 'int64' })
  const logSumExp = [Math.log(Math.E ** 2 + Math.E + 1), Math.log(Math.E + 2)]
  const each = [logSumExp[0]! - 2, logSumExp[1]!]

  it('cross-entropy, by class weight, with ignored classes and smoothed', () => {
    expectValues(new nn.CrossEntropyLoss().forward(logits(), classes()), [(each[0]! + each[1]!) / 2])
    const weight = tensor([3, 1, 1])
    expectValues(new nn.CrossEntropyLoss({ weight }).forward(logits(), classes()), [
      (3 * each[0]! + each[1]!) / 4,
    ])
    expectValues(new nn.CrossEntropyLoss({ ignoreIndex: 2 }).forward(logits(), classes()), [each[0]!])
    const smoothed = new nn.CrossEntropyLoss({ labelSmoothing: 0.3, reduction: 'none' })
    const spread = [logSumExp[0]! - 1, logSumExp[1]! - 1 / 3]
    const expected = each.map((loss, i) => 0.7 * loss + 0.3 * spread[i]!)
    expectValues(smoothed.forward(logits(), classes()), expected)
    expectValues(
      new nn.LabelSmoothingLoss({ eps: 0.3, reduction: 'none' }).forward(logits(), classes()),
      expected,
    )
    expect(new nn.LabelSmoothingLoss().labelSmoothing).toBe(0.1)
  })

  it('turns logits into probabilities and classes', () => {
    for (const loss of [new nn.CrossEntropyLoss(), new nn.LabelSmoothingLoss()]) {
      expectValues(loss.activation(logits()).sum(1), [1, 1])
      expect(loss.decode(logits()).toArray()).toEqual([0, 1])
      expect(loss.decode(zeros([2, 5, 3, 3])).shape).toEqual([2, 3, 3])
      expect(loss.activation(zeros([2, 5, 3, 3])).sum(1).shape).toEqual([2, 3, 3])
    }
  })

  it('NLL takes log-probabilities', () => {
    const loss = new nn.NLLLoss({ reduction: 'none' })
    const logProbabilities = F.logSoftmax(logits(), 1)
    expectValues(loss.forward(logProbabilities, classes()), each)
    expectValues(loss.activation(logProbabilities).sum(1), [1, 1])
    expect(loss.decode(logProbabilities).toArray()).toEqual([0, 1])
  })

  it('keeps class weights as state that moves with the loss', () => {
    const loss = new nn.CrossEntropyLoss({ weight: tensor([1, 2, 3]) })
    expect(Object.keys(loss.stateDict())).toEqual(['weight'])
    expect(loss.parameters()).toEqual([])
    expect(loss.double().weight!.dtype).toBe('float64')
  })
})

describe('yes-or-no losses', () => {
  const logits = [-2, 0, 3]
  const targets = [0, 1, 1]
  const sigmoid = (z: number) => 1 / (1 + Math.exp(-z))
  const each = logits.map((z, i) => -Math.log(targets[i] ? sigmoid(z) : 1 - sigmoid(z)))

  it('BCE with logits', () => {
    const loss = new nn.BCEWithLogitsLoss({ reduction: 'none' })
    expectValues(loss.forward(tensor(logits), tensor(targets)), each)
    expectValues(loss.activation(tensor(logits)), logits.map(sigmoid))
    expect(loss.decode(tensor([-2, 0.1, 3])).toArray()).toEqual([false, true, true])
    const strict = new nn.BCEWithLogitsLoss({ threshold: 0.9 })
    expect(strict.decode(tensor(logits)).toArray()).toEqual([false, false, true])
    const favouring = new nn.BCEWithLogitsLoss({ reduction: 'none', posWeight: tensor([2, 2, 2]) })
    expectValues(favouring.forward(tensor(logits), tensor(targets)), [each[0]!, 2 * each[1]!, 2 * each[2]!])
  })

  it('BCE on probabilities, with PyTorch’s cut at -100', () => {
    const probabilities = tensor(logits.map(sigmoid))
    expectValues(new nn.BCELoss({ reduction: 'none' }).forward(probabilities, tensor(targets)), each)
    const weighted = new nn.BCELoss({ reduction: 'sum', weight: tensor([0, 0, 2]) })
    expectValues(weighted.forward(probabilities, tensor(targets)), [2 * each[2]!])
    const certain = tensor([0, 1, 0, 1], { requiresGrad: true })
    const losses = F.binaryCrossEntropy(certain, tensor([1, 0, 0, 1]), { reduction: 'none' })
    expectValues(losses, [100, 100, 0, 0])
    losses.sum().backward()
    expectValues(certain.grad!.mul(1e-12), [-1, 1, 0, 0])
    expect(() => F.binaryCrossEntropy(zeros([2, 1]), zeros([2]))).toThrow(ShapeError)
  })
})

describe('KL divergence', () => {
  it('of log-probabilities from probabilities, zero where the target is zero', () => {
    const logs = tensor([[Math.log(0.5), Math.log(0.25), Math.log(0.25)]])
    const target = tensor([[0.25, 0.75, 0]])
    const expected = [0.25 * Math.log(0.25 / 0.5), 0.75 * Math.log(3), 0]
    expectValues(new nn.KLDivLoss({ reduction: 'none' }).forward(logs, target), expected)
    const sum = expected[0]! + expected[1]!
    expectValues(new nn.KLDivLoss({ reduction: 'batchmean' }).forward(logs, target), [sum])
    expectValues(new nn.KLDivLoss().forward(logs, target), [sum / 3])
    const soft = tensor([[0.2, 0.3, 0.5]])
    expectValues(F.klDiv(logs, soft.log(), { logTarget: true }), values(F.klDiv(logs, soft)))
    expectValues(new nn.KLDivLoss().activation(logs), [0.5, 0.25, 0.25])
  })
})

describe('losses of vectors that belong together', () => {
  // Angles of 0, 90 and 60 degrees.
  const left = () =>
    tensor([
      [1, 0],
      [0, 2],
      [3, 0],
    ])
  const right = () =>
    tensor([
      [2, 0],
      [3, 0],
      [1, Math.sqrt(3)],
    ])

  it('cosine similarity and distances', () => {
    expectValues(new nn.CosineSimilarity().forward(left(), right()), [1, 0, 0.5])
    expectValues(new nn.CosineSimilarity({ dim: 0 }).forward(left(), left()), [1, 1])
    expectValues(F.pairwiseDistance(left(), right()), [1, Math.sqrt(13), Math.sqrt(7)])
    expectValues(F.pairwiseDistance(left(), right(), { p: 1 }), [1, 5, 2 + Math.sqrt(3)])
  })

  it('cosine embedding: alike, different, different beyond the margin', () => {
    const target = tensor([-1, 1, -1], { dtype: 'int64' })
    const none = new nn.CosineEmbeddingLoss({ reduction: 'none', margin: 0.2 })
    expectValues(none.forward(left(), right(), target), [0.8, 1, 0.3])
    expectValues(new nn.CosineEmbeddingLoss().forward(left(), right(), target), [2.5 / 3])
    expectValues(F.cosineEmbeddingLoss(left(), right(), target, { reduction: 'sum' }), [2.5])
  })

  it('triplets: the margin, and the nearer of anchor and positive', () => {
    const [anchor, positive, negative] = [tensor([[0, 0]]), tensor([[1, 0]]), tensor([[1.5, 0]])]
    expectValues(new nn.TripletMarginLoss().forward(anchor, positive, negative), [0.5])
    expectValues(new nn.TripletMarginLoss({ margin: 0.25 }).forward(anchor, positive, negative), [0])
    expectValues(new nn.TripletMarginLoss({ swap: true }).forward(anchor, positive, negative), [1.5])
    const loss = new nn.TripletMarginLoss({ p: 1, eps: 0, reduction: 'sum' })
    expect([loss.margin, loss.p, loss.eps, loss.swap, loss.reduction]).toEqual([1, 1, 0, false, 'sum'])
    expect(loss).toBeInstanceOf(nn.Loss)
  })

  it('refuse what does not fit, by name', () => {
    expect(() => F.cosineSimilarity(zeros([3]), zeros([3]))).toThrow(/dimension 1 is out of range .*\[3\]/)
    expect(() => F.cosineSimilarity(zeros([3]), zeros([3]), { eps: -1 })).toThrow(/eps .* -1/)
    expect(() => F.cosineEmbeddingLoss(zeros([2, 3]), zeros([2, 3]), zeros([2, 1]))).toThrow(
      /\[2, 3\], \[2, 3\], \[2, 1\]/,
    )
    expect(() => F.tripletMarginLoss(zeros([2, 3]), zeros([2, 3]), zeros([3]))).toThrow(ShapeError)
    expect(() => F.tripletMarginLoss(zeros([2]), zeros([2]), zeros([2]), { p: Number.NaN })).toThrow(/NaN/)
    expect(() => new nn.CosineSimilarity({ dimension: 1 } as never)).toThrow(/dimension; the options are dim/)
    expect(() => new nn.CosineSimilarity({ dim: 0.5 })).toThrow(ConfigError)
    expect(() => new nn.CosineEmbeddingLoss({ eps: 1 } as never)).toThrow(/unknown option eps/)
    expect(() => new nn.TripletMarginLoss({ reduction: 'avg' as never })).toThrow(/avg.*none, mean, sum/)
    expect(() => new nn.TripletMarginLoss({ margin: '1' as never })).toThrow(/margin must be a number/)
  })

  it('gradients, and gradients of gradients, agree with central differences', () => {
    manualSeed(5)
    const normal = (...shape: number[]) => randn(shape, { dtype: 'float64', requiresGrad: true })
    const target = tensor([1, -1, -1], { dtype: 'int64' })
    const functions: ((...inputs: Tensor[]) => Tensor)[] = [
      (a, b) => F.cosineSimilarity(a!, b!),
      (a, b) => F.pairwiseDistance(a!, b!, { p: 3 }),
      (a, b) => F.cosineEmbeddingLoss(a!, b!, target, { margin: -1 }),
      (a, b) => F.tripletMarginLoss(a!, b!, a!.flip(0), { swap: true, margin: 9 }),
    ]
    for (const each of functions) {
      const inputs = [normal(3, 4), normal(3, 4)]
      expect(gradcheck(each, inputs)).toBe(true)
      expect(gradgradcheck(each, inputs)).toBe(true)
    }
  })
})

describe('losses of one’s own', () => {
  it('extend a ready one', () => {
    class FractionalMSE extends nn.MSELoss {
      override forward(output: Tensor, target: Tensor): Tensor {
        return super.forward(output.div(target), target.div(target))
      }
    }
    const loss = new FractionalMSE()
    const prediction = tensor([2, 8], { requiresGrad: true })
    const result = loss.forward(prediction, tensor([1, 4]))
    expectValues(result, [1])
    result.backward()
    expectValues(prediction.grad!, [1, 0.25])
    expect(loss).toBeInstanceOf(nn.Loss)
    expectValues(loss.activation(prediction), [2, 8])
    expectValues(loss.decode(prediction), [2, 8])
  })

  it('refuse options that they do not know', () => {
    expect(() => new nn.MSELoss({ reduce: 'sum' } as never)).toThrow(ConfigError)
    expect(() => new nn.MSELoss({ reduction: 'avg' as never })).toThrow(/avg.*none, mean, sum/)
    expect(() => new nn.KLDivLoss({ reduction: 'avg' as never })).toThrow(/batchmean/)
    expect(() => F.mseLoss(zeros([1]), zeros([1]), { reduction: 'avg' as never })).toThrow(/avg/)
    expect(() => new nn.HuberLoss({ delta: 0 }).forward(zeros([1]), zeros([1]))).toThrow(/delta/)
  })
})

describe('training with modules, losses and optimizers together', () => {
  it('learns a linear map', () => {
    manualSeed(0)
    const x = randn([64, 3])
    const y = x.matmul(tensor([[1], [-2], [0.5]])).add(0.7)
    const model = new nn.Linear(3, 1)
    const loss = new nn.MSELoss()
    for (let step = 0; step < 200; step++) {
      model.zeroGrad()
      loss.forward(model.forward(x), y).backward()
      for (const parameter of model.parameters()) parameter.detach().sub_(parameter.grad!.mul(0.1))
    }
    expectValues(model.weight, [1, -2, 0.5], 3)
    expectValues(model.bias!, [0.7], 3)
  })
})
