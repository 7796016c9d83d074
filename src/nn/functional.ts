/** Layers and losses as plain functions, by PyTorch's names. Exported from the package as `F`. */
export {
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  avgPool2d,
  batchNorm,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  conv2d,
  crossEntropy,
  dropout,
  dropout2d,
  gelu,
  leakyRelu,
  linear,
  logSoftmax,
  maxPool2d,
  nllLoss,
  oneHot,
  relu,
  sigmoid,
  silu,
  softmax,
  softplus,
  tanh,
} from '../engine/index.ts'
export { klDiv } from './losses/divergence.ts'
export { huberLoss, l1Loss, mseLoss, rmseLoss, smoothL1Loss } from './losses/regression.ts'
