import * as F from '../../src/nn/functional.ts'
import { describeOps, type Table, three, two } from './opCases.ts'

const table: Table = {
  crossEntropy: three((x, target, weight, { reduction, labelSmoothing, ignoreIndex }) =>
    F.crossEntropy(x, target, { weight, reduction, labelSmoothing, ignoreIndex }),
  ),
  nllLoss: three((x, target, weight, { reduction }) => F.nllLoss(x, target, { weight, reduction })),
  binaryCrossEntropyWithLogits: three((x, target, weights, { reduction, third }) =>
    F.binaryCrossEntropyWithLogits(x, target, { reduction, ...(third && { [third]: weights }) }),
  ),
  binaryCrossEntropy: three((x, target, weight, { reduction }) =>
    F.binaryCrossEntropy(x, target, { reduction, weight }),
  ),
  mseLoss: two((x, target, { reduction }) => F.mseLoss(x, target, { reduction })),
  l1Loss: two((x, target, { reduction }) => F.l1Loss(x, target, { reduction })),
  smoothL1Loss: two((x, target, { reduction, beta }) => F.smoothL1Loss(x, target, { reduction, beta })),
  huberLoss: two((x, target, { reduction, delta }) => F.huberLoss(x, target, { reduction, delta })),
  cosineSimilarity: two((a, b, { dim, epsilon }) =>
    F.cosineSimilarity(a, b, { dim: dim as number, eps: epsilon }),
  ),
  pairwiseDistance: two((a, b, { p, infiniteP, epsilon, keepdim }) =>
    F.pairwiseDistance(a, b, { p: infiniteP ? Number.POSITIVE_INFINITY : p, eps: epsilon, keepdim }),
  ),
  cosineEmbeddingLoss: three((a, b, target, { margin, reduction }) =>
    F.cosineEmbeddingLoss(a, b, target!, { margin, reduction }),
  ),
  tripletMarginLoss: three((a, b, c, { margin, p, swap, epsilon, reduction }) =>
    F.tripletMarginLoss(a, b, c!, { margin, p, swap, eps: epsilon, reduction }),
  ),
  klDivLoss: two((x, target, { reduction, logTarget }) => F.klDiv(x, target, { reduction, logTarget })),
}

describeOps('opsLoss', table)
