import { describe, expect, it } from 'vitest'
import {
  manualSeed,
  noGrad,
  ones,
  onesLike,
  rand,
  randint,
  randn,
  stack,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import { F, models, nn, optim } from '../../src/index.ts'
import {
  type EncodedTensor,
  expectSummary,
  expectTensor,
  expectValues,
  loadFixture,
  type Summary,
} from '../parity/fixtures.ts'
import { LeNet } from '../parity/LeNet.ts'

/** What the same programs gave with PyTorch: test/fixtures/seed_cases.py. */
const figures = loadFixture<{
  multiLabel: {
    outputs: EncodedTensor
    loss: number
    each: EncodedTensor
    labels: number
    weightGradient: Summary
    firstGradient: Summary
  }
  cuboids: { losses: number[] }
  descent: { losses: number[]; weight: EncodedTensor; bias: EncodedTensor }
  houses: { train: number[]; valid: number[] }
  lenet: { reports: number[] }
}>('seeds')

describe('many labels for one picture', () => {
  it('binary cross-entropy of the sigmoids of a ResNet18 with dropout', () => {
    const expected = figures.multiLabel
    manualSeed(42)
    const model = models.resnet18()
    const head = new nn.Linear(512, 19)
    model.fc = new nn.Sequential(new nn.Dropout(0.2), head) as never
    const pictures = rand([4, 3, 64, 64])
    const labels = rand([4, 19]).gt(0.7).float()
    expect(labels.sum().item()).toBe(expected.labels)
    const outputs = model.forward(pictures).sigmoid()
    expect(outputs.shape).toEqual([4, 19])
    expectTensor(outputs, expected.outputs, 1e-4, 'outputs')
    const loss = new nn.BCELoss().forward(outputs, labels)
    expectValues([loss.item()], [expected.loss], 1e-4, 'loss')
    const each = new nn.BCELoss({ reduction: 'none' }).forward(outputs, labels)
    expectTensor(each, expected.each, 1e-4, 'losses of the elements')
    loss.backward()
    expectSummary(head.weight.grad!, expected.weightGradient, 1e-3, 'gradient of the head')
    expectSummary(model.conv1.weight.grad!, expected.firstGradient, 5e-3, 'gradient of the first layer')
  })
})

describe('a loss of one’s own', () => {
  class FractionalMSE extends nn.MSELoss {
    override forward(prediction: Tensor, target: Tensor): Tensor {
      return super.forward(prediction.div(target), onesLike(target))
    }
  }

  it('is relative', () => {
    const loss = new FractionalMSE()
    expect(loss.forward(tensor([2, 8]), tensor([1, 4])).item()).toBe(1)
    const each = new FractionalMSE({ reduction: 'none' })
    expect(each.forward(tensor([2, 6]), tensor([1, 4])).toArray()).toEqual([1, 0.25])
  })

  it('teaches volume and surface of cuboids', () => {
    manualSeed(0)
    const model = new nn.Sequential(new nn.Linear(3, 16), new nn.Tanh(), new nn.Linear(16, 2))
    const edges = rand([32, 3]).add(0.5)
    const [a, b, c] = [0, 1, 2].map((i) => edges.index(':', i)) as [Tensor, Tensor, Tensor]
    const surface = a.mul(b).add(b.mul(c)).add(c.mul(a)).mul(2)
    const targets = stack([a.mul(b).mul(c), surface], 1)
    const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
    const criterion = new FractionalMSE()
    const losses = figures.cuboids.losses.map(() => {
      optimizer.zeroGrad()
      const loss = criterion.forward(model.forward(edges), targets)
      loss.backward()
      optimizer.step()
      return loss.item()
    })
    expectValues(losses, figures.cuboids.losses, 1e-4, 'losses')
  })
})

describe('gradient descent by hand', () => {
  it('accumulates over two backward calls and updates in place', () => {
    manualSeed(42)
    const x = randn([20, 3])
    const noiseless = x.matmul(tensor([1.5, -2, 0.5])).add(0.3)
    const y = noiseless.add(randn([20]).mul(0.1))
    const weight = randn([3], { requiresGrad: true })
    const bias = zeros([1], { requiresGrad: true })
    const losses = figures.descent.losses.map(() => {
      let total = 0
      for (const half of ['0:10', '10:20']) {
        const error = x.index(half).matmul(weight).add(bias).sub(y.index(half))
        const loss = error.pow(2).sum().div(20)
        loss.backward()
        total += loss.item()
      }
      noGrad(() => {
        for (const parameter of [weight, bias]) {
          parameter.sub_(parameter.grad!.mul(0.1))
          parameter.grad!.zero_()
        }
      })
      return total
    })
    expectValues(losses, figures.descent.losses, 1e-5, 'losses')
    expectTensor(weight, figures.descent.weight, 1e-5, 'weight')
    expectTensor(bias, figures.descent.bias, 1e-5, 'bias')
  })

  it('doubles the gradient with a second backward call', () => {
    const w = ones([2], { requiresGrad: true })
    const once = () =>
      w
        .mul(tensor([2, 3]))
        .sum()
        .backward()
    once()
    expect(w.grad?.toArray()).toEqual([2, 3])
    once()
    expect(w.grad?.toArray()).toEqual([4, 6])
  })
})

describe('prices of houses', () => {
  it('are learned until the error of their logarithms stops falling', () => {
    manualSeed(7)
    const table = rand([160, 4])
    const noise = randn([160]).mul(0.2)
    const prices = table
      .matmul(tensor([1, -0.5, 0.25, 0.75]))
      .add(0.5)
      .add(noise)
      .exp()
    const model = new nn.Sequential(new nn.Linear(4, 16), new nn.ReLU(), new nn.Linear(16, 1))
    const criterion = new nn.MSELoss()
    const logError = (features: Tensor, targets: Tensor) =>
      criterion.forward(model.forward(features).squeeze(1).clamp(1).log(), targets.log()).sqrt()
    const optimizer = new optim.Adam(model.parameters(), { lr: 0.02 })
    const train: number[] = []
    const valid: number[] = []
    let [best, waited] = [Infinity, 0]
    while (waited < 3 && valid.length < 60) {
      let running = 0
      for (let start = 0; start < 128; start += 32) {
        const batch = `${start}:${start + 32}`
        optimizer.zeroGrad()
        const loss = criterion.forward(model.forward(table.index(batch)).squeeze(1), prices.index(batch))
        loss.backward()
        optimizer.step()
        running += loss.item()
      }
      train.push(running / 4)
      const error = noGrad(() => logError(table.index('128:'), prices.index('128:'))).item()
      valid.push(error)
      if (error < best) [best, waited] = [error, 0]
      else waited++
    }
    expect(valid.length, 'epochs until it stopped').toBe(figures.houses.valid.length)
    expectValues(train, figures.houses.train, 1e-3, 'training losses')
    expectValues(valid, figures.houses.valid, 1e-3, 'errors')
  })
})

describe('LeNet', () => {
  it('reports the running loss of the tutorial’s loop', () => {
    manualSeed(1)
    const net = new LeNet()
    const criterion = new nn.CrossEntropyLoss()
    const optimizer = new optim.SGD(net.parameters(), { lr: 0.001, momentum: 0.9 })
    const reports: number[] = []
    let runningLoss = 0
    for (let i = 0; i < 15; i++) {
      const inputs = randn([4, 3, 32, 32])
      const labels = randint(0, 10, [4])
      optimizer.zeroGrad()
      const loss = criterion.forward(net.forward(inputs), labels)
      loss.backward()
      optimizer.step()
      runningLoss += loss.item()
      if (i % 5 === 4) {
        reports.push(runningLoss / 5)
        runningLoss = 0
      }
    }
    expectValues(reports, figures.lenet.reports, 1e-4, 'running losses')
  })

  it('is what F names too', () => {
    const x = randn([1, 3, 32, 32])
    expect(F.softmax(new LeNet().forward(x), -1).sum().item()).toBeCloseTo(1, 5)
  })
})
