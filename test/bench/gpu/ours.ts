// One measurement on a CUDA device: `ours.ts CASE eager|compiled STEPS float32|tf32` prints one JSON line. The peer has the same
// cases.

import { Recording } from '../../../src/engine/recording.ts'
import {
  allowTf32,
  autocast,
  device,
  F,
  manualSeed,
  models,
  type nn,
  ones,
  optim,
  randint,
  randn,
  scope,
  setDefaultDevice,
  synchronize,
  type Tensor,
  zeros,
} from '../../../src/index.ts'
import { LeNet } from '../../parity/LeNet.ts'
import { dcganDiscriminator, dcganGenerator } from '../networks.ts'

const [name, mode, steps, precision] = process.argv.slice(2) as [string, string, string, string]
setDefaultDevice(device('cuda'))
allowTf32(precision === 'tf32')
const compiled = mode === 'compiled'

/** Passes that leave gradients behind, eager or recorded at the second call; `keep` are the parameters they belong to. */
function passes(keep: readonly Tensor[], body: () => Tensor): () => Tensor {
  let calls = 0
  let recorded: { recording: Recording; loss: Tensor; gradients: (Tensor | null)[] } | undefined
  return () => {
    if (!compiled || calls++ < 2) return body()
    if (recorded) recorded.recording.replay()
    else {
      const { recording, result } = Recording.of(() => body().keep())
      const gradients = keep.map(({ grad }) => grad?.keep() ?? null) // seen: zeroGrad leaves them alone
      recorded = { recording, loss: result, gradients }
    }
    const { gradients } = recorded
    for (const [i, param] of keep.entries()) param.accumulated = gradients[i] ?? null
    return recorded.loss
  }
}

function training(model: nn.Module, lossOf: () => Tensor): () => Tensor {
  model.train()
  const optimizer = new optim.SGD(model.parameters(), { lr: 1e-3, momentum: 0.9 })
  const run = passes(model.parameters(), () => {
    const loss = lossOf()
    loss.backward()
    return loss
  })
  return () => {
    optimizer.zeroGrad()
    const loss = run()
    optimizer.step()
    return loss
  }
}

function dcgan(batch: number): () => Tensor {
  manualSeed(0)
  const [make, judge] = [dcganGenerator().to('cuda'), dcganDiscriminator().to('cuda')]
  const settings = { lr: 2e-4, betas: [0.5, 0.999] as [number, number] }
  const first = new optim.Adam(judge.parameters(), settings)
  const second = new optim.Adam(make.parameters(), settings)
  const real = randn([batch, 3, 64, 64])
  const noise = randn([batch, 100, 1, 1])
  const [yes, no] = [ones([batch, 1]), zeros([batch, 1])]
  const loss = F.binaryCrossEntropyWithLogits
  // The generator learns from the pictures that were made for the critic: what is recorded keeps their graph.
  let fake: Tensor
  const critic = passes(judge.parameters(), () => {
    fake = make.forward(noise)
    const total = loss(judge.forward(real), yes).add(loss(judge.forward(fake.detach()), no))
    total.backward()
    return total
  })
  const generator = passes(make.parameters(), () => {
    const total = loss(judge.forward(fake), yes)
    total.backward()
    return total
  })
  return () => {
    first.zeroGrad()
    const criticLoss = critic()
    first.step()
    first.zeroGrad()
    second.zeroGrad()
    const generatorLoss = generator()
    second.step()
    first.zeroGrad()
    return criticLoss.add(generatorLoss)
  }
}

const cases: Record<string, () => () => Tensor> = {
  resnet18() {
    manualSeed(0)
    const model = models.resnet18({ numClasses: 10 }).to('cuda')
    const [x, y] = [randn([128, 3, 224, 224]), randint(10, [128])]
    return training(model, () => autocast('bfloat16', () => F.crossEntropy(model.forward(x), y)))
  },
  lenet() {
    manualSeed(0)
    const model = new LeNet().to('cuda')
    const [x, y] = [randn([64, 3, 32, 32]), randint(10, [64])]
    return training(model, () => F.crossEntropy(model.forward(x), y))
  },
  dcgan16: () => dcgan(16),
  dcgan128: () => dcgan(128),
}

const step = (cases[name] as () => () => Tensor)()
const times: number[] = []
let loss = 0
for (let i = -10; i < Number(steps); i++) {
  const start = performance.now()
  scope(() => {
    loss = step().item()
  })
  synchronize()
  if (i >= 0) times.push(performance.now() - start)
  await new Promise<void>((resolve) => setImmediate(resolve))
}
console.log(JSON.stringify({ times, loss }))
