import { describe, it } from 'vitest'
import type { DType, Tensor } from '../../src/engine/index.ts'
import * as optim from '../../src/optim/index.ts'
import { type EncodedTensor, expectTensor, expectValues, loadFixture, tensorOf } from './fixtures.ts'

interface Run {
  name: string
  optimizer: string
  options: Options
  /** Options of the weight and of the bias, where they form groups of their own. */
  groups?: [Options, Options]
  /** Learning rates, gone through again and again, where they change. */
  schedule?: number[]
  steps: { loss: number; weight?: EncodedTensor; bias?: EncodedTensor }[]
}

type Options = Record<string, number | boolean | [number, number]>

interface Fixture {
  inputs: EncodedTensor
  targets: EncodedTensor
  weight: EncodedTensor
  bias: EncodedTensor
  runs: Run[]
}

const { inputs, targets, weight: startWeight, bias: startBias, runs } = loadFixture<Fixture>('optimizers')

type Constructor = new (
  params: Tensor[] | (Options & { params: Tensor[] })[],
  options: Options,
) => optim.Optimizer

const { SGD, Adam, AdamW, RMSprop, Adagrad } = optim
const optimizers = { SGD, Adam, AdamW, RMSprop, Adagrad } as unknown as Record<string, Constructor>

const tolerances: [DType, number][] = [
  ['float32', 1e-5],
  ['float64', 1e-10],
]

describe('optimizers take PyTorch’s steps', () => {
  for (const run of runs) {
    for (const [dtype, tolerance] of tolerances) {
      it(`${run.name}, ${dtype}`, () => replay(run, optimizers[run.optimizer]!, dtype, tolerance))
    }
  }
})

/** Linear regression by mean squared error, as test/fixtures/optimizer_cases.py does it. */
function replay(run: Run, Optimizer: Constructor, dtype: DType, tolerance: number): void {
  const weight = tensorOf(startWeight, { dtype, requiresGrad: true })
  const bias = tensorOf(startBias, { dtype, requiresGrad: true })
  const x = tensorOf(inputs, { dtype })
  const y = tensorOf(targets, { dtype })
  const params = run.groups
    ? [
        { params: [weight], ...run.groups[0] },
        { params: [bias], ...run.groups[1] },
      ]
    : [weight, bias]
  const optimizer = new Optimizer(params as Tensor[], run.options)
  run.steps.forEach((expected, step) => {
    if (run.schedule)
      for (const group of optimizer.paramGroups) group.lr = run.schedule[step % run.schedule.length]!
    optimizer.zeroGrad()
    const loss = x.matmul(weight.t()).add(bias).sub(y).square().mean()
    loss.backward()
    optimizer.step()
    expectValues([loss.item()], [expected.loss], tolerance, `loss of step ${step}`)
    if (expected.weight) expectTensor(weight, expected.weight, tolerance, `weight after step ${step}`)
    if (expected.bias) expectTensor(bias, expected.bias, tolerance, `bias after step ${step}`)
  })
}
