import { noGrad, ones, Tensor, where } from '../engine/index.ts'
import * as nn from '../nn/index.ts'
import type { Output, Target } from './data.ts'
import type { LossFunction } from './lossFunction.ts'

/** How much each target counts in the mean of a loss, in the targets' shape; undefined where all count alike. */
export function targetWeights(loss: LossFunction, output: Output, target: Target): Tensor | undefined {
  const isNll = loss instanceof nn.CrossEntropyLoss || loss instanceof nn.NLLLoss
  if (
    !isNll ||
    !(target instanceof Tensor && output instanceof Tensor) ||
    target.shape.length === output.shape.length
  )
    return undefined
  const { weight, ignoreIndex } = loss
  return noGrad(() => {
    const counts = target.ne(ignoreIndex)
    const classes = where(counts, target, 0).to('int64').reshape([-1])
    const weights = weight
      ? weight.indexSelect(0, classes)
      : ones([classes.shape[0]!], { device: output.device })
    return weights.mul(counts.reshape([-1]).to(weights.dtype)).reshape([...target.shape])
  })
}
