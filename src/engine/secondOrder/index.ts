import { registerSecondOrder } from '../recordedWalk.ts'
import { arrangingNames, arrangingOps } from './arranging.ts'
import { convolutionNames, convolutionOps } from './convolution.ts'
import { elementwiseNames, elementwiseOps } from './elementwise.ts'
import { lossNames, lossOps } from './loss.ts'
import { normalizationNames, normalizationOps } from './normalization.ts'

// A gradient function computes with `call`, which records nothing. For `grad` with createGraph each op that it calls has a
// recorded form here; most are the public operation of that name.
registerSecondOrder(elementwiseOps, elementwiseNames)
registerSecondOrder(arrangingOps, arrangingNames)
registerSecondOrder(convolutionOps, convolutionNames)
registerSecondOrder(normalizationOps, normalizationNames)
registerSecondOrder(lossOps, lossNames)
