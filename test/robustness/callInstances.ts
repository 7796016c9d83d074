/** One right object of the classes whose constructors are not to be guessed, for their methods to be called. Small and quick. */
import * as callbacks from '../../callbacks/index.ts'
import * as anneal from '../../src/index.ts'
import { lineLearner } from '../learner/support.ts'
import { Hostile } from './draw.ts'

const { DataBunch, DataLoader, nn, ones, optim, randn, TensorDataset } = anneal

/** A fit of 1e20 epochs is long by right: after a few batches it is called off. */
class Enough extends anneal.Callback {
  #left = 6
  #more() {
    if (--this.#left < 0) throw new Hostile('enough of this fit')
  }
  override onBatchBegin(): undefined {
    this.#more()
  }
  override onEpochBegin(): undefined {
    this.#more()
  }
}

const params = () => [new nn.Parameter(ones([2, 3])), new nn.Parameter(ones([3]))]
const sgd = () => new optim.SGD(params(), { lr: 0.1, momentum: 0.9 })
const dataset = () => new TensorDataset(ones([6, 2]), ones([6, 1]))
const loader = () => new DataLoader(dataset(), { batchSize: 2, workers: 0 })
const rgb = () => ({ data: new Uint8Array(4 * 3 * 3).fill(7), width: 4, height: 3 })
const learner = () => lineLearner({ batches: 2, callbacks: [new Enough()], path: 'learner' })
const tiny = () =>
  new nn.Sequential(
    new nn.Conv2d(3, 2, 3),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
    new nn.Linear(2, 2),
  )

export const instances: Record<string, () => unknown> = {
  Linear: () => new nn.Linear(3, 2),
  Conv1d: () => new nn.Conv1d(3, 2, 3),
  Conv2d: () => new nn.Conv2d(3, 2, 3),
  ConvTranspose1d: () => new nn.ConvTranspose1d(3, 2, 3),
  ConvTranspose2d: () => new nn.ConvTranspose2d(3, 2, 3),
  BatchNorm1d: () => new nn.BatchNorm1d(3),
  BatchNorm2d: () => new nn.BatchNorm2d(3),
  LayerNorm: () => new nn.LayerNorm([3]),
  GroupNorm: () => new nn.GroupNorm(1, 3),
  Embedding: () => new nn.Embedding(5, 2),
  Dropout: () => new nn.Dropout(0.5),
  MaxPool2d: () => new nn.MaxPool2d(2),
  AvgPool2d: () => new nn.AvgPool2d(2),
  AdaptiveAvgPool2d: () => new nn.AdaptiveAvgPool2d(2),
  Sequential: tiny,
  ModuleList: () => new nn.ModuleList([new nn.Linear(2, 2)]),
  Parameter: () => new nn.Parameter(ones([2, 3])),
  SGD: sgd,
  Adam: () => new optim.Adam(params(), { lr: 0.1 }),
  AdamW: () => new optim.AdamW(params(), { lr: 0.1 }),
  RMSprop: () => new optim.RMSprop(params(), { lr: 0.1 }),
  Adagrad: () => new optim.Adagrad(params(), { lr: 0.1 }),
  LAMB: () => new optim.LAMB(params(), { lr: 0.1 }),
  StepLR: () => new optim.StepLR(sgd(), { stepSize: 2 }),
  OneCycleLR: () => new optim.OneCycleLR(sgd(), { maxLr: 0.1, totalSteps: 10 }),
  TensorDataset: dataset,
  DataLoader: loader,
  DataBunch: () => DataBunch.create(dataset(), dataset(), { batchSize: 2, workers: 0 }),
  Picture: () => anneal.Picture.of(rgb()),
  RandomStream: () => new anneal.RandomStream({ seed: 1 }),
  WeightedSampler: () => new anneal.WeightedSampler([1, 2, 3], { seed: 1 } as never),
  Learner: learner,
  GANLearner: () =>
    anneal.GANLearner.wgan({ trainDl: loader(), validDl: null } as never, tiny(), tiny(), {
      callbacks: [new Enough()],
      silent: true,
    }),
  GANModule: () => new anneal.GANModule(tiny() as never, tiny() as never),
  OptimizerWrapper: () => learner().optimizer,
  Scheduler: () => new anneal.Scheduler([1, 2] as never, 10 as never, optim.annealingCosine as never),
  SmoothedValue: () => new anneal.SmoothedValue(0.9),
  Figure: () => anneal.lineChart([{ x: [1, 2], y: [3, 4], name: 'a' }] as never, {}),
  TabularModel: () =>
    new anneal.TabularModel({ embeddings: [[3, 2]] as never, numbers: 2, outputs: 1, layers: [4] }),
  Recorder: () => learner().recorder,
  CSVLogger: () => new callbacks.CSVLogger(),
  SaveModelCallback: () => new callbacks.SaveModelCallback({ monitor: 'valid_loss' as never, name: 'best' }),
  EarlyStoppingCallback: () => new callbacks.EarlyStoppingCallback(),
  CheckpointCallback: () => new callbacks.CheckpointCallback({ every: 2 } as never),
  MixUpCallback: () => new callbacks.MixUpCallback(),
  GradientClipping: () => new callbacks.GradientClipping({ max: 1 } as never),
  GradientAccumulation: () => new callbacks.GradientAccumulation({ steps: 2 } as never),
  SelfAttention: () => new anneal.SelfAttention(8),
  SpectralConv2d: () => new anneal.SpectralConv2d(3, 2, { kernelSize: 3 }),
  randn: () => randn([2, 3]),
}
