import { describe, expect, it } from 'vitest'
import { CheckpointCallback, FixedGANSwitcher, GANGuard } from '../../../callbacks/index.ts'
import { DataBunch, TensorDataset } from '../../../src/data/index.ts'
import { grad, manualSeed, ones, randn, type Tensor, tensor, zeros } from '../../../src/engine/index.ts'
import { type BatchEndContext, Callback, CancelFit, Learner, metricName } from '../../../src/learner/index.ts'
import * as nn from '../../../src/nn/index.ts'
import * as optim from '../../../src/optim/index.ts'
import {
  AdaptiveLoss,
  accuracyThreshExpand,
  basicCritic,
  basicGenerator,
  GANLearner,
  GANModule,
  ganLossFromFunctions,
  gradientPenalty,
  NoopLoss,
  WassersteinLoss,
} from '../../../src/vision/gan/index.ts'
import { temporaryFolder } from '../../io/temporaryFolder.ts'
import { outcome } from '../../learner/resumable.ts'
import { expected, pictureData, smallData, smallGan, smallNetworks, Turns } from './support.ts'

describe('losses', () => {
  it('are fastai’s', () => {
    const [real, fake] = [tensor([1, 2]), tensor([4, 6])]
    expect(new WassersteinLoss().forward(real, fake).item()).toBe(-3.5)
    expect(new NoopLoss().forward(fake, real).item()).toBe(5)
    const scores = tensor([[[2]], [[-1]]])
    const bce = new AdaptiveLoss(new nn.BCEWithLogitsLoss())
    const single = (z: number, t: number) => Math.log1p(Math.exp(-z)) + (1 - t) * z
    expect(bce.forward(scores, tensor([1, 0])).item()).toBeCloseTo((single(2, 1) + single(-1, 0)) / 2, 6)
    expect(accuracyThreshExpand(scores, tensor([1, 1])).item()).toBe(0.5)
    expect(accuracyThreshExpand(scores, tensor([1, 1]), { threshold: 3, sigmoid: false }).item()).toBe(0)
  })

  it('of two learners are weighed', () => {
    const { generatorLoss, criticLoss } = ganLossFromFunctions(
      (output, target) => output.sub(target).abs().mean(),
      (scores, target) => scores.sub(target).square().mean(),
      [2, 50],
    )
    const [output, target] = [tensor([1, 3]), tensor([0, 0])]
    expect(generatorLoss(tensor([0, 3]), target, output).item()).toBe(2 * 2.5 + 50 * 2)
    expect(criticLoss(tensor([1, 3]), tensor([2, 0])).item()).toBe((2 + 2) / 2)
  })
})

describe('gradientPenalty', () => {
  it('and its gradients are PyTorch’s, through batch norm too', () => {
    manualSeed(7)
    const real = randn([8, 3, 8, 8]).tanh()
    manualSeed(1)
    const critic = new nn.Sequential(
      new nn.Conv2d(3, 8, 4, { stride: 2, padding: 1 }),
      new nn.LeakyReLU(0.2),
      new nn.GroupNorm(1, 8),
      new nn.Conv2d(8, 8, 3, { padding: 1 }),
      new nn.Tanh(),
      new nn.BatchNorm2d(8),
      new nn.Flatten(),
      new nn.Linear(8 * 16, 1),
    )
    const fake = randn([8, 3, 8, 8]).tanh()
    const optimizer = new optim.SGD(critic.parameters(), { lr: 0.05 })
    const judge = (x: Tensor) => critic.forward(x)
    for (const row of expected.gradientPenalty) {
      const penalty = gradientPenalty(judge, real, fake)
      const loss = judge(real).mean().sub(judge(fake).mean()).add(penalty)
      optimizer.zeroGrad()
      loss.backward()
      const norms = critic.parameters().map(({ grad }) => grad!.norm().item())
      for (const [i, value] of [penalty.item(), loss.item(), ...norms].entries()) {
        // Batch norm takes away what the bias before it adds: its gradient is rounding.
        const tolerance = 2e-4 * Math.max(1, Math.abs(row[i]!))
        expect(Math.abs(value - row[i]!), `figure ${i}`).toBeLessThan(tolerance)
      }
      optimizer.step()
    }
  })

  it('counts each picture’s own slope where the critic gives the batch’s mean', () => {
    const weight = randn([12])
    const single = (x: Tensor) => x.flatten(1).matmul(weight)
    const data = [randn([5, 3, 2, 2]), randn([5, 3, 2, 2])] as const
    const slope = weight.norm().item()
    for (const critic of [single, (x: Tensor) => single(x).mean().reshape([1])]) {
      const penalty = gradientPenalty(critic, ...data, { weight: 3, center: 0.5 })
      expect(penalty.item()).toBeCloseTo(3 * (slope - 0.5) ** 2, 3)
    }
  })

  it('says what cannot be', () => {
    const x = randn([2, 3])
    expect(() => gradientPenalty((y) => y.sum(1), x, randn([3, 3]))).toThrow(/one shape/)
    expect(() => gradientPenalty((y) => y.sum(1), x, x, { weight: -1 })).toThrow(/weight/)
    expect(() => gradientPenalty((y) => y.prod(1), x, x)).toThrow(/prod/)
  })
})

describe('GANModule', () => {
  it('is the network whose turn it is', () => {
    const { generator, critic } = smallNetworks()
    const model = new GANModule(generator, critic)
    expect(model.forward(randn([3, 1, 2, 2])).shape).toEqual([3, 1])
    model.switch()
    expect(model.forward(randn([3, 4])).shape).toEqual([3, 1, 2, 2])
    model.switch(true)
    expect(model.genMode).toBe(true)
    expect(Object.keys(model.stateDict())[0]).toBe('generator.0.weight')
  })

  it('lets gradients through a frozen critic, and leaves it as it was', () => {
    const { generator, critic } = smallNetworks()
    const model = new GANModule(generator, critic)
    critic.parameters()[0]!.requiresGrad = false
    const x = randn([3, 1, 2, 2], { requiresGrad: true })
    const [slope] = grad(model.criticise(x, { frozen: true }).sum(), x)
    expect(slope!.abs().sum().item()).toBeGreaterThan(0)
    expect(critic.parameters().map(({ requiresGrad }) => requiresGrad)).toEqual([false, true, true, true])
    expect(critic.parameters().every(({ grad }) => grad === null)).toBe(true)
  })
})

describe('GANLearner', () => {
  it('trains only the network whose turn it is, and clips the critic after its step', async () => {
    const { generator, critic } = smallNetworks()
    const changed: string[] = []
    let before: number[] = []
    const values = () =>
      [generator, critic].map((net) =>
        net.parameters().reduce((sum, p) => sum + p.detach().abs().sum().item(), 0),
      )
    class Changes extends Callback {
      override onBatchBegin() {
        before = values()
      }
      override onBatchEnd() {
        const now = values()
        changed.push(now.map((value, i) => (value === before[i] ? '-' : 'x')).join(''))
        for (const parameter of critic.parameters()) {
          expect(parameter.detach().abs().max().item()).toBeLessThanOrEqual(Math.fround(0.05))
        }
      }
    }
    const switcher = new FixedGANSwitcher({ nCrit: 2 })
    const gan = GANLearner.wgan(smallData(6), generator, critic, {
      clip: 0.05,
      switcher,
      lr: 0.02,
      silent: true,
      callbacks: [new Changes()],
    })
    await gan.fit(1)
    expect(changed).toEqual(['-x', '-x', 'x-', '-x', '-x', 'x-'])
    expect(gan.recorder.genBatches).toEqual([2, 5])
    expect(gan.recorder.criticBatches).toEqual([0, 1, 3, 4])
    expect(gan.recorder.genLosses).toEqual([2, 5].map((i) => gan.recorder.rawLosses[i]))
    expect(gan.recorder.criticLosses).toEqual([0, 1, 3, 4].map((i) => gan.recorder.rawLosses[i]))
    expect(gan.optimizer.momentum).toBe(0)
  })

  it('computes what a loop by hand does', async () => {
    const [byHand, learned] = [smallNetworks(), smallNetworks()]
    const data = smallData(4)
    const gan = GANLearner.wgan(data, learned.generator, learned.critic, {
      clip: 0.1,
      switcher: new FixedGANSwitcher(1, 1),
      optimizer: optim.RMSprop,
      lr: 0.01,
      silent: true,
    })
    await gan.fit(1)
    const ofCritic = new optim.RMSprop(byHand.critic.parameters(), { lr: 0.01 })
    const ofGenerator = new optim.RMSprop(byHand.generator.parameters(), { lr: 0.01 })
    const losses: number[] = []
    let turn = 0
    for await (const { x, y } of data.fixDl) {
      const [own, optimizer] = turn++ % 2 === 0 ? [byHand.critic, ofCritic] : [byHand.generator, ofGenerator]
      const fake = byHand.generator.forward(x)
      const loss =
        own === byHand.critic
          ? byHand.critic.forward(y).mean().sub(byHand.critic.forward(fake.detach()).mean())
          : byHand.critic.forward(fake).mean()
      optimizer.zeroGrad()
      loss.backward()
      optimizer.step()
      byHand.critic.zeroGrad()
      if (own === byHand.critic) for (const p of own.parameters()) p.detach().clamp_(-0.1, 0.1)
      losses.push(loss.item())
    }
    for (const [i, loss] of losses.entries()) expect(gan.recorder.rawLosses[i]).toBeCloseTo(loss, 6)
    const weights = (net: nn.Module) => net.parameters().flatMap((p) => Array.from(p.dataSync()))
    for (const name of ['generator', 'critic'] as const) {
      const [a, b] = [weights(byHand[name]), weights(learned[name])]
      for (const [i, value] of a.entries()) expect(b[i]).toBeCloseTo(value, 6)
    }
  })

  it('puts the idle network in evaluation mode, if told', async () => {
    const modes: string[] = []
    class Modes extends Callback {
      override onBackwardBegin({ learner }: { learner: Learner }) {
        const { generator, critic } = (learner as unknown as GANLearner).model
        modes.push([generator, critic].map(({ training }) => (training ? 't' : 'e')).join(''))
      }
    }
    const options = { switcher: new FixedGANSwitcher(), callbacks: [new Modes()] }
    await smallGan(smallData(2, 1), { ...options, switchEval: true }).fit(2)
    await smallGan(smallData(2, 1), { ...options, switchEval: false }).fit(1)
    expect(modes).toEqual(['et', 'te', 'et', 'te', 'tt', 'tt'])
  })

  it('fills its columns whether or not there is validation', async () => {
    const gan = smallGan(smallData(8, 2))
    await gan.fit(1)
    const { values } = gan.recorder.epochs[0]!
    expect(Object.keys(values)).toEqual(['trainLoss', 'validLoss', 'genLoss', 'criticLoss'])
    expect(Object.values(values).every(Number.isFinite)).toBe(true)
    // The validation's loss is the generator's.
    const scores = gan.model.criticise(gan.model.generate(await firstNoise(gan)))
    expect(scores.shape).toEqual([4, 1])
  })

  it('resumes to the bit in the middle of a turn, with a gradient penalty and its draws', async () => {
    const folder = await temporaryFolder()
    const make = () => {
      const data = pictureData(56, 8, { shuffle: true })
      manualSeed(11)
      const sizes = { size: 8, channels: 3, features: 4 }
      const generator = basicGenerator({ ...sizes, latent: 5 })
      return GANLearner.wgan(withoutNoise(data), generator, basicCritic({ ...sizes, norm: 'layer' }), {
        gradientPenalty: 10,
        path: folder,
        silent: true,
      })
    }
    class Kill extends Callback {
      override order = Number.POSITIVE_INFINITY
      override onBatchEnd({ iteration }: BatchEndContext) {
        if (iteration + 1 === 9) throw new CancelFit()
      }
    }
    const whole = make()
    await whole.fitOneCycle(2, { maxLr: 1e-3 })
    expect(whole.recorder.genBatches).toEqual([5, 11])
    await make().fitOneCycle(2, {
      maxLr: 1e-3,
      callbacks: [new CheckpointCallback({ every: 1, name: 'wgan' }), new Kill()],
    })
    manualSeed(1)
    const resumed = await Learner.resume('wgan', make())
    await resumed.fitOneCycle(2, {
      maxLr: 1e-3,
      callbacks: [new CheckpointCallback({ every: 1, name: 'wgan' })],
    })
    expect(outcome(resumed)).toEqual(outcome(whole))
    expect(resumed.recorder.criticLosses).toEqual(whole.recorder.criticLosses)
  })

  it('trains in mixed precision, penalty included', async () => {
    const data = withoutNoise(pictureData(48, 8))
    const sizes = { size: 8, channels: 3, features: 4 }
    const gan = GANLearner.wgan(
      data,
      basicGenerator({ ...sizes, latent: 5 }),
      basicCritic({ ...sizes, norm: 'layer' }),
      {
        gradientPenalty: 10,
        silent: true,
      },
    ).toBf16()
    await gan.fit(1)
    expect(gan.recorder.rawLosses.every(Number.isFinite)).toBe(true)
  })

  it('has a finder, and finds other data’s want of noise', async () => {
    const gan = smallGan(smallData(8))
    const found = await gan.lrFind({ numIt: 8, startLr: 1e-6, endLr: 1e-2 })
    expect(found.losses.length).toBeGreaterThan(4)
    const { critic } = smallNetworks()
    const generator = new nn.Sequential(new nn.Flatten(), new nn.Linear(3, 4), new nn.Sigmoid())
    const plain = GANLearner.wgan(withoutNoise(pictureData(8, 8)), generator, critic, { silent: true })
    await expect(plain.fit(1)).rejects.toThrow(/option latent/)
    await expect(plain.generate(3)).rejects.toThrow(/option latent/)
  })

  it('refuses what it does not know', () => {
    const { generator, critic } = smallNetworks()
    const data = smallData()
    const make = (options: object) => () => GANLearner.wgan(data, generator, critic, options)
    expect(make({ clipping: 1 })).toThrow(/unknown option clipping/)
    expect(make({ clip: 0 })).toThrow(/clip must be above 0/)
    expect(make({ gradientPenalty: 10, lossFunction: 1 })).toThrow(/unknown option lossFunction/)
  })
})

describe('GANLearner.fromLearners', () => {
  it('joins a generator and a critic that were trained apart', async () => {
    // Pictures out of pictures: the generator undoes a scaling.
    manualSeed(5)
    const sharp = randn([32, 1, 2, 2])
    const set = new TensorDataset(sharp.mul(0.5), sharp)
    const data = DataBunch.create(set, set, { batchSize: 8, shuffle: false, seed: 1 })
    class Convolution extends nn.Module {
      conv = new nn.Conv2d(1, 1, 1)
      override forward(x: Tensor) {
        return this.conv.forward(x)
      }
    }
    const learnGenerator = new Learner(data, new Convolution(), {
      lossFunction: new nn.L1Loss(),
      silent: true,
    })
    const { critic } = smallNetworks()
    const judged = DataBunch.create(new TensorDataset(sharp, ones([32])), null, { batchSize: 8 })
    const learnCritic = new Learner(judged, critic, {
      lossFunction: new AdaptiveLoss(new nn.BCEWithLogitsLoss()),
      silent: true,
    })
    await learnCritic.fit(1)
    const turns = new Turns()
    const gan = GANLearner.fromLearners(learnGenerator, learnCritic, {
      weightsGen: [1, 50],
      switcher: new FixedGANSwitcher(1, 1),
      callbacks: [turns],
    })
    const before = await gan.validate()
    await gan.fit(20, { lr: 0.05 })
    expect(turns.turns).toMatch(/^ggggCGCGgggg CGCG/)
    expect((await gan.validate()).loss).toBeLessThan(0.5 * before.loss)
    const { predictions } = await gan.getPredictions()
    expect(predictions.shape).toEqual([32, 1, 2, 2])
    expect(gan.model.generator).toBe(learnGenerator.model)
    expect(() => GANLearner.fromLearners(learnGenerator, 3 as never)).toThrow(/learnCritic must be a Learner/)
    expect(() => GANLearner.fromLearners(learnGenerator, learnCritic, { weightsGen: [1] as never })).toThrow(
      /two numbers/,
    )
  })
})

describe('GANGuard', () => {
  class Constant extends nn.Module {
    weight = new nn.Parameter(zeros([1]))
    override forward(x: Tensor) {
      return this.weight.expand([x.size(0), 1, 2, 2])
    }
  }

  it.each([
    [1, true],
    [1, false],
    [5, true],
    [5, false],
  ])(
    'looks in the generator’s next batch: %i batches of the critic, generator first %s',
    async (nCrit, genFirst) => {
      const guard = new GANGuard({ every: 2, zeroLoss: 0 })
      const gan = new GANLearner(smallData(14), new Constant(), smallNetworks().critic, {
        generatorLoss: (scores) => scores.mean(),
        criticLoss: (real, fake) => real.mean().sub(fake.mean()),
        switcher: new FixedGANSwitcher(nCrit, 1),
        genFirst,
        guard,
        silent: true,
      })
      await gan.fit(1)
      expect(guard.warnings.join()).toMatch(/collapsed/)
    },
  )

  it('takes a Wasserstein loss near zero for no victory of the critic', async () => {
    const { generator, critic } = smallNetworks()
    const gan = GANLearner.wgan(smallData(12), generator, critic)
    const guard = gan.callbacks.find((callback) => callback instanceof GANGuard)
    expect(guard?.zeroLoss).toBe(0)
    const other = new GANLearner(smallData(12), generator, critic, {
      generatorLoss: (scores) => scores.mean(),
      criticLoss: (real) => real.mean(),
    })
    expect(other.callbacks.find((callback) => callback instanceof GANGuard)?.zeroLoss).toBe(1e-3)
  })

  it('warns once when the pictures are all alike, and when the critic has won', async () => {
    const guard = new GANGuard({ every: 2, zeroSteps: 3 })
    const { critic } = smallNetworks()
    const gan = new GANLearner(smallData(12), new Constant(), critic, {
      generatorLoss: (scores) => scores.mean(),
      criticLoss: (real) => real.mean().mul(0),
      switcher: new FixedGANSwitcher(1, 1),
      guard,
      silent: true,
    })
    await gan.fit(1)
    expect(guard.warnings).toHaveLength(2)
    expect(guard.warnings.join()).toMatch(/collapsed.*differ from each other by 0/)
    expect(guard.warnings.join()).toMatch(/below 0.001 for 3 of its batches/)
    const calm = new GANGuard({ every: 2, zeroSteps: 3, diversity: 0, zeroLoss: 0 })
    await smallGan(smallData(8), { guard: calm }).fit(1)
    expect(calm.warnings).toEqual([])
    expect(() => new GANGuard({ every: 0 })).toThrow(/every/)
    await expect(
      smallGan(smallData(), { guard: new GANGuard({ monitor: metricName('fid') }) }).fit(1),
    ).rejects.toThrow(/monitors "fid"/)
  })
})

it('batch sizes are tried with turns of both networks, and leave no trace', async () => {
  const turns = new Turns()
  const gan = smallGan(smallData(8), { callbacks: [turns] })
  const before = outcome(gan)
  const { batchSize, trials } = await gan.findBatchSize({ start: 8 })
  expect([batchSize, trials.length]).toEqual([32, 3])
  // Four batches of 8 an epoch, two of 16, one of 32; five of the critic to one of the generator.
  expect(turns.turns).toBe('CCCC CG CC CC CG C C C C C G ')
  expect(outcome(gan)).toEqual(before)
})

async function firstNoise(gan: GANLearner): Promise<Tensor> {
  for await (const { x } of gan.data.trainDl) return x as Tensor
  throw new Error('no batch')
}

/** The pictures as inputs, with labels, as of a classifier. */
function withoutNoise(data: ReturnType<typeof pictureData>) {
  const { y } = data.trainDs as unknown as TensorDataset
  return DataBunch.create(new TensorDataset(y, zeros([y.size(0)], { dtype: 'int64' })), null, {
    batchSize: 8,
    seed: 1,
  })
}
