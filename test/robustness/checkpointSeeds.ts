import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  ActivationStats,
  CheckpointCallback,
  EarlyStoppingCallback,
  EMACallback,
  GradientAccumulation,
  LossSpikeCallback,
  MixUpCallback,
  ReduceLROnPlateauCallback,
  SWACallback,
  ValidateEvery,
} from '../../callbacks/index.ts'
import { DataBunch, TensorDataset } from '../../src/data/index.ts'
import { manualSeed, randn, scope } from '../../src/engine/index.ts'
import { type Callback, Learner, loadLearner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { TabularModel } from '../../src/tabular/index.ts'
import { models } from '../../src/vision/index.ts'

function smallData(valid: boolean) {
  manualSeed(3)
  const items = (count: number) => new TensorDataset(randn([count, 3]), randn([count, 1]))
  return DataBunch.create(items(6), valid ? items(2) : null, { batchSize: 2 })
}

function smallLearner(path: string, isMany: boolean): Learner {
  const data = smallData(isMany)
  return new Learner(
    data,
    new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm1d(2), new nn.Linear(2, 1)),
    { lossFunction: new nn.MSELoss(), path, silent: true },
  )
}

/** All callbacks that remember something and write nothing (their files would take most of the time). */
const memories = (): Callback[] => [
  new ActivationStats(),
  new EarlyStoppingCallback({ patience: 9 }),
  new EMACallback(),
  new GradientAccumulation(2),
  new LossSpikeCallback(),
  new MixUpCallback(0.4),
  new ReduceLROnPlateauCallback({ patience: 9 }),
  new SWACallback({ startEpoch: 1, batchNorm: 'average' }),
  new ValidateEvery(2),
]

const fit = (learner: Learner, callbacks: readonly Callback[]) =>
  learner.fitOneCycle(2, { maxLr: 0.01, callbacks })

/** What is only in the header of a fit with {@link memories}. */
const mark = 'EMACallback'

/** Checkpoints from the middle of an epoch and from its end, of fits with few callbacks and with many, and exported Learners. */
export async function checkpointSeeds(folder: string): Promise<Buffer[]> {
  return scope(async () => {
    const files: string[] = []
    for (const name of ['few', 'many']) {
      const learner = smallLearner(folder, name === 'many')
      const checkpoints = new CheckpointCallback({ every: 2, name, keepLast: 2 })
      await fit(learner, [...(name === 'many' ? memories() : []), checkpoints])
      files.push(...[name, `${name}-1`].map((each) => join(folder, 'models', `${each}.safetensors`)))
    }
    const exported = [
      new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm1d(2), new nn.Linear(2, 1)),
      new nn.Sequential(
        new nn.Conv2d(3, 2, 3, { bias: false }),
        new nn.AdaptiveAvgPool2d(1),
        new nn.Flatten(),
      ),
      new TabularModel({ embeddings: [[4, 2]], numbers: 2, outputs: 1, layers: [3] }),
      models.simpleCnn([3, 2, 2]),
    ]
    for (const [i, model] of exported.entries()) {
      const learner = new Learner(smallData(false), model as nn.Module, { lossFunction: new nn.MSELoss() })
      files.push(await learner.export(join(folder, `export-${i}`)))
    }
    return files.map((file) => readFileSync(file))
  })
}

/** All that takes up such a file: an exported Learner is loaded, a fit goes on from any other to its end. */
export async function readCheckpointSeed(file: string): Promise<void> {
  const bytes = readFileSync(file)
  await scope(async () => {
    if (bytes.includes('__learner__/export') || bytes.includes('modelClass')) {
      await loadLearner(file)
      return
    }
    const isMany = bytes.includes(mark)
    const learner = smallLearner(dirname(file), isMany)
    await Learner.resume(file, learner)
    await fit(learner, isMany ? memories() : [])
  })
}
