import { batchNorm, groupNorm, layerNorm, type Tensor } from '../../src/engine/index.ts'
import { type Arguments, describeOps, type Table } from './opCases.ts'

// Returns the running statistics too, which training updates in place.
function batchNormAndStatistics(inputs: Tensor[], { momentum, epsilon, training }: Arguments): Tensor[] {
  const [x, mean, variance, weight = null, bias = null] = inputs
  const runningMean = mean!.clone()
  const runningVar = variance!.clone()
  const y = batchNorm(x!, { runningMean, runningVar, weight, bias, momentum, eps: epsilon, training })
  return [y, runningMean, runningVar]
}

const table: Table = {
  batchNorm: batchNormAndStatistics,
  layerNorm: ([x, weight = null, bias = null], { normalizedShape, epsilon }) =>
    layerNorm(x!, normalizedShape!, { weight, bias, eps: epsilon }),
  groupNorm: ([x, weight = null, bias = null], { numGroups, epsilon }) =>
    groupNorm(x!, numGroups!, { weight, bias, eps: epsilon }),
}

describeOps('opsNormalisation', table, ['normalize'])
