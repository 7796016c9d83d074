import { getRngState, noGrad, setRngState } from '../engine/index.ts'
import type { BatchNorm1d, BatchNorm2d } from '../nn/index.ts'
import { tensorsOf } from './data.ts'
import { eachBatch } from './eachBatch.ts'
import type { Learner } from './Learner.ts'
import { type AnyModule, isBatchNorm } from './layerGroups.ts'

export type BatchNorm = BatchNorm1d | BatchNorm2d

/** Batch-norm layers of the model that keep running statistics, and are in training mode. */
export function movingBatchNorms({ model }: Learner): BatchNorm[] {
  return model
    .modules()
    .filter((module) => isBatchNorm(module) && module.training)
    .map((module) => module as unknown as BatchNorm)
    .filter(({ runningMean }) => runningMean !== null)
}

/**
 * Computes the running statistics of batch norm anew, for weights that were not trained as they are now: the mean over one pass
 * of the training data, in training mode, as PyTorch's `update_bn`. Loader, random stream and modes are afterwards as before.
 */
export async function recomputeBatchNorm(learner: Learner, norms: readonly BatchNorm[]): Promise<void> {
  if (norms.length === 0) return
  const { data } = learner
  const model: AnyModule = learner.model
  const { trainDl } = data
  const position = trainDl.state?.()
  const random = getRngState()
  const modes = model.modules().map((module) => [module, module.training] as const)
  const momenta = norms.map((norm) => [norm, norm.momentum, norm.numBatchesTracked?.clone()] as const)
  const moving = new Set<unknown>(norms)
  for (const [module] of modes) module.training = !isBatchNorm(module) || moving.has(module)
  let batches = 0
  try {
    await eachBatch(trainDl, async ({ x }) => {
      batches++
      // The running mean of the statistics of all batches so far.
      for (const norm of norms) norm.momentum = 1 / batches
      noGrad(() => model.forward(...(tensorsOf(x) as never[])))
      return undefined
    })
  } finally {
    for (const [norm, momentum, count] of momenta) {
      norm.momentum = momentum
      if (count) norm.numBatchesTracked?.copy_(count)
      count?.dispose()
    }
    for (const [module, training] of modes) module.training = training
    setRngState(random)
    if (position !== undefined) trainDl.loadState?.(position)
  }
}
