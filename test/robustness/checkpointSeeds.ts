import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CheckpointCallback } from '../../callbacks/CheckpointCallback.ts'
import { DataBunch, TensorDataset } from '../../src/data/index.ts'
import { manualSeed, randn, scope } from '../../src/engine/index.ts'
import { Learner, loadLearner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'

function smallLearner(path: string): Learner {
  manualSeed(3)
  const items = new TensorDataset(randn([6, 3]), randn([6, 1]))
  const data = DataBunch.create(items, null, { batchSize: 2 })
  return new Learner(
    data,
    new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm1d(2), new nn.Linear(2, 1)),
    {
      lossFunction: new nn.MSELoss(),
      path,
      silent: true,
    },
  )
}

const fit = (learner: Learner, checkpoints: CheckpointCallback[] = []) =>
  learner.fitOneCycle(2, { maxLr: 0.01, callbacks: checkpoints })

/** A checkpoint from the middle of an epoch, one from its end, and an exported Learner. */
export async function checkpointSeeds(folder: string): Promise<Buffer[]> {
  return scope(async () => {
    const learner = smallLearner(folder)
    await fit(learner, [new CheckpointCallback({ every: 2, name: 'seed', keepLast: 2 })])
    const exported = await learner.export(join(folder, 'seed-export'))
    const files = ['seed', 'seed-1'].map((name) => join(folder, 'models', `${name}.safetensors`))
    return [...files, exported ?? join(folder, 'seed-export.safetensors')].map((file) => readFileSync(file))
  })
}

/** All that takes up such a file: an exported Learner is loaded, a fit goes on from any other to its end. */
export async function readCheckpointSeed(file: string): Promise<void> {
  await scope(async () => {
    if (readFileSync(file).includes('__learner__/export') || readFileSync(file).includes('modelClass')) {
      await loadLearner(file)
      return
    }
    const learner = smallLearner(dirname(file))
    await Learner.resume(file, learner)
    await fit(learner)
  })
}
