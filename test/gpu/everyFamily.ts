// A little of every family of kernels, on the default device: for compute-sanitizer, under which the whole suite would take hours.
import { Recording } from '../../src/engine/recording.ts'
import {
  autocast,
  crossEntropy,
  type DType,
  gridSample,
  interpolate,
  layerNorm,
  logSoftmax,
  manualSeed,
  nn,
  optim,
  pad,
  randint,
  randn,
  scope,
  type Tensor,
} from '../../src/index.ts'

function network(): nn.Module {
  return new nn.Sequential(
    new nn.Conv2d(3, 8, 3, { padding: 1 }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(8, 5, 3, { stride: 2, bias: false }),
    new nn.GroupNorm(1, 5),
    new nn.AdaptiveAvgPool2d(2),
    new nn.Flatten(),
    new nn.Dropout(0.3),
    new nn.Linear(20, 7),
  )
}

/** Steps of a small network, as they come and recorded. Returns the losses, one a step. */
function train(dtype: 'float32' | 'bfloat16'): number[] {
  const model = network()
  const optimizers = [
    new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 }),
    new optim.AdamW(model.parameters(), { lr: 0.001 }),
  ]
  const [x, y] = [randn([5, 3, 13, 11]), randint(7, [5])]
  const pass = () => {
    const loss = autocast(dtype, () => crossEntropy(model.forward(x) as Tensor, y, { labelSmoothing: 0.1 }))
    loss.backward()
    return loss
  }
  const losses: number[] = []
  for (const optimizer of optimizers) {
    scope(() => losses.push(pass().item()))
    optimizer.step()
    optimizer.zeroGrad()
  }
  const { recording, result } = Recording.of(() => scope(() => pass().detach().keep()))
  for (let i = 0; i < 3; i++) recording.replay()
  losses.push(result.item())
  recording.dispose()
  return losses
}

/** Rows of several lengths, which different teams of threads take, and what moves, sorts and sums. Returns one number of each. */
function opsOf(dtype: DType): Tensor[] {
  const results: Tensor[] = []
  for (const size of [5, 33, 260, 1031]) {
    const x = randn([3, size]).to(dtype).requiresGrad_()
    const sum = logSoftmax(x, -1)
      .add(layerNorm(x, [size]))
      .sum()
    sum.backward()
    results.push(sum, x.grad!.abs().max(), x.cumsum(1).sum(), x.sort(1).values.index(0, 0), x.var(0).sum())
    results.push(x.matmul(x.t().contiguous()).sum(), x.argmax(1).sum(), x.t().add(1).mean())
    const picked = randint(size, [40])
    results.push(x.detach().indexAdd(1, picked, x.detach().indexSelect(1, picked)).sum())
  }
  const pictures = randn([2, 3, 7, 9]).to(dtype).requiresGrad_()
  const larger = interpolate(pad(pictures, [1, 2, 3, 0]), { size: [5, 17], mode: 'bilinear' })
  const sampled = gridSample(larger, randn([2, 4, 3, 2]).to(dtype))
  sampled.sum().backward()
  return [...results, sampled.sum(), pictures.grad!.sum()]
}

/** All of it. Returns numbers that are finite where nothing is wrong. */
export function runEveryFamily(): number[] {
  manualSeed(1)
  const numbers = [...train('float32'), ...train('bfloat16')]
  for (const dtype of ['float32', 'float16', 'bfloat16', 'float64'] as const) {
    numbers.push(...scope(() => opsOf(dtype).map((result) => Number(result.item()))))
  }
  return numbers
}
