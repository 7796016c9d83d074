// What is measured. Each case prepares itself and gives a function that does one unit of work and returns its loss (or
// any figure that shows that the work was done). peer.py has the same cases under the same names, and draws the same
// numbers in the same order. Learning rates are small, so that rounding does not grow into another loss until the end.
import {
  autocast,
  F,
  manualSeed,
  models,
  type nn,
  noGrad,
  ones,
  optim,
  randint,
  randn,
  type Tensor,
  zeros,
} from '../../src/index.ts'
import { LeNet } from '../parity/LeNet.ts'
import { dcganDiscriminator, dcganGenerator, mlp } from './networks.ts'

/** One unit of work; the runner wraps it in a scope. */
export type Step = () => Promise<number> | number

export interface Case {
  /** Units of work in one measurement. */
  steps: number
  /** How many times faster than PyTorch it has to be. */
  goal?: number
  /** Among those of `--quick`. */
  short?: boolean
  /** How far the last losses may lie apart, as a part of the larger one. */
  tolerance: number
  /** Enqueues that many ops a unit: the time is given for one op, to the enqueued kernel. */
  opsPerStep?: number
  /** PyTorch knows a second layout for it, channels-last. */
  pictures?: boolean
  /** TensorFlow.js can do it, on one of its backends at least. */
  tensorFlow?: boolean
  /** What an iteration computes, for the ceiling. */
  resnet?: { batch: number; size: number; dtype: Precision }
  prepare(): Step
}

export type Precision = 'float32' | 'bfloat16'

/** What a case is beside its work. */
type Traits = Omit<Case, 'steps' | 'prepare' | 'tolerance'> & { tolerance?: number }

const lossOf = async (loss: Tensor) => (await loss.data())[0] as number

function train(model: nn.Module, optimizer: optim.Optimizer, lossOfBatch: () => Tensor): Step {
  model.train()
  return async () => {
    optimizer.zeroGrad()
    const loss = lossOfBatch()
    loss.backward()
    optimizer.step()
    return await lossOf(loss)
  }
}

function resnetTraining(
  batch: number,
  size: number,
  steps: number,
  dtype: Precision,
  traits: Traits = {},
): Case {
  return {
    steps,
    pictures: true,
    goal: dtype === 'bfloat16' ? 2 : 1.5,
    // PyTorch's own bfloat16 losses at 16 x 64 px lie up to 3.7 % apart where the input changes by a thousandth.
    tolerance: dtype === 'bfloat16' ? 0.03 : 0.01,
    resnet: { batch, size, dtype },
    ...traits,
    prepare() {
      manualSeed(0)
      const model = models.resnet18({ numClasses: 10 })
      const optimizer = new optim.SGD(model.parameters(), { lr: 1e-3, momentum: 0.9 })
      const [x, y] = [randn([batch, 3, size, size]), randint(10, [batch])]
      return train(model, optimizer, () => autocast(dtype, () => F.crossEntropy(model.forward(x), y)))
    },
  }
}

function resnetInference(
  batch: number,
  size: number,
  steps: number,
  dtype: Precision,
  traits: Traits = {},
): Case {
  return {
    steps,
    pictures: true,
    goal: dtype === 'bfloat16' ? 1.5 : 1.3,
    tolerance: dtype === 'bfloat16' ? 0.02 : 1e-4,
    ...traits,
    prepare() {
      manualSeed(0)
      const model = models.resnet18({ numClasses: 10 })
      model.eval()
      const x = randn([batch, 3, size, size])
      // Squares, since outputs of either sign would cancel.
      return () => noGrad(() => autocast(dtype, () => lossOf(model.forward(x).float().square().sum())))
    },
  }
}

function lenet(batch: number, steps: number, traits: Traits): Case {
  return {
    steps,
    pictures: true,
    tensorFlow: true,
    tolerance: 2e-3,
    ...traits,
    prepare() {
      manualSeed(0)
      const model = new LeNet()
      const optimizer = new optim.SGD(model.parameters(), { lr: 1e-3, momentum: 0.9 })
      const [x, y] = [randn([batch, 3, 32, 32]), randint(10, [batch])]
      return train(model, optimizer, () => F.crossEntropy(model.forward(x), y))
    },
  }
}

/** Learns so slowly that its last loss is not yet what rounding leaves over, which would compare nothing. */
function perceptron(batch: number, steps: number, traits: Traits): Case {
  return {
    steps,
    tensorFlow: true,
    tolerance: 5e-3,
    ...traits,
    prepare() {
      manualSeed(0)
      const model = mlp()
      const optimizer = new optim.Adam(model.parameters(), { lr: 1e-5 })
      const [x, y] = [randn([batch, 80]), randn([batch, 1])]
      return train(model, optimizer, () => F.mseLoss(model.forward(x), y))
    },
  }
}

function dcgan(batch: number, steps: number): Case {
  return {
    steps,
    pictures: true,
    goal: 2,
    // PyTorch's own layouts are 0.013 apart after five steps: Adam's first ones are signs of gradients.
    tolerance: 0.05,
    prepare() {
      manualSeed(0)
      const [generator, critic] = [dcganGenerator(), dcganDiscriminator()]
      const options = { lr: 2e-4, betas: [0.5, 0.999] as [number, number] }
      const [first, second] = [
        new optim.Adam(critic.parameters(), options),
        new optim.Adam(generator.parameters(), options),
      ]
      const real = randn([batch, 3, 64, 64])
      const [yes, no] = [ones([batch, 1]), zeros([batch, 1])]
      const judge = (pictures: Tensor, target: Tensor) =>
        F.binaryCrossEntropyWithLogits(critic.forward(pictures), target)
      return async () => {
        const fake = generator.forward(randn([batch, 100, 1, 1]))
        first.zeroGrad()
        const criticLoss = judge(real, yes).add(judge(fake.detach(), no))
        criticLoss.backward()
        first.step()
        second.zeroGrad()
        const generatorLoss = judge(fake, yes)
        generatorLoss.backward()
        second.step()
        return (await lossOf(criticLoss)) + (await lossOf(generatorLoss))
      }
    },
  }
}

/** The way from a call in TypeScript to an enqueued kernel, on tensors too small for the arithmetic to matter. */
function overhead(body: (a: Tensor, b: Tensor) => Tensor, shape: number[], requiresGrad: boolean): Case {
  const opsPerStep = 1000
  return {
    steps: 200,
    opsPerStep,
    short: true,
    tolerance: 0,
    prepare() {
      const [a, b] = [randn(shape, { requiresGrad }), randn(shape)]
      return () => {
        for (let i = 0; i < opsPerStep; i++) body(a, b)
        return 0
      }
    },
  }
}

export const cases: Record<string, Case> = {
  'overhead: a + b, 4 elements': overhead((a, b) => a.add(b), [4], false),
  'overhead: a + b, with gradient': overhead((a, b) => a.add(b), [4], true),
  'overhead: 2 x 2 matrix product': overhead((a, b) => a.matmul(b), [2, 2], false),
  'MLP 80-10-5-1, Adam, batch 4': perceptron(4, 3000, { goal: 5, short: true }),
  'MLP 80-10-5-1, Adam, batch 1024': perceptron(1024, 1000, { goal: 3, short: true }),
  'LeNet, SGD, batch 4': lenet(4, 900, { goal: 4, short: true }),
  'LeNet, SGD, batch 64': lenet(64, 200, { goal: 3, short: true }),
  'LeNet, SGD, batch 512': lenet(512, 30, { goal: 3 }),
  'DCGAN step, batch 16, 64 px': dcgan(16, 8),
  'DCGAN step, batch 128, 64 px': dcgan(128, 3),
  'ResNet18 training, 16 x 64 px': resnetTraining(16, 64, 25, 'float32', { short: true }),
  'ResNet18 training, 8 x 224 px': resnetTraining(8, 224, 8, 'float32'),
  'ResNet18 training, 32 x 224 px': resnetTraining(32, 224, 3, 'float32'),
  'ResNet18 training, bf16, 16 x 64 px': resnetTraining(16, 64, 25, 'bfloat16', { short: true }),
  'ResNet18 training, bf16, 8 x 224 px': resnetTraining(8, 224, 8, 'bfloat16'),
  'ResNet18 training, bf16, 32 x 224 px': resnetTraining(32, 224, 3, 'bfloat16'),
  'ResNet18 inference, 16 x 64 px': resnetInference(16, 64, 40, 'float32', { short: true }),
  'ResNet18 inference, 8 x 224 px': resnetInference(8, 224, 12, 'float32'),
  'ResNet18 inference, bf16, 16 x 64 px': resnetInference(16, 64, 40, 'bfloat16', { short: true }),
  'ResNet18 inference, bf16, 8 x 224 px': resnetInference(8, 224, 12, 'bfloat16'),
}
