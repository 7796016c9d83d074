import { expect, it } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import * as engine from '../../src/engine/index.ts'
import { arange, ones, rand, type Tensor, tensor, zeros } from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'

/** What nobody knows, to each function that takes options. */
const misspelt = { nonsense: 1 } as object
const x = () => ones([1, 2, 4, 4])
const rows = () => ones([2, 3])
const labels = () => zeros([2], { dtype: 'int64' })

const calls: Record<string, () => unknown> = {
  crossEntropy: () => F.crossEntropy(rows(), labels(), misspelt),
  nllLoss: () => F.nllLoss(rows(), labels(), misspelt),
  binaryCrossEntropy: () => F.binaryCrossEntropy(rows(), rows(), misspelt),
  binaryCrossEntropyWithLogits: () => F.binaryCrossEntropyWithLogits(rows(), rows(), misspelt),
  mseLoss: () => F.mseLoss(rows(), rows(), misspelt),
  l1Loss: () => F.l1Loss(rows(), rows(), misspelt),
  huberLoss: () => F.huberLoss(rows(), rows(), misspelt),
  smoothL1Loss: () => F.smoothL1Loss(rows(), rows(), misspelt),
  klDiv: () => F.klDiv(rows(), rows(), misspelt),
  cosineSimilarity: () => F.cosineSimilarity(rows(), rows(), misspelt),
  pairwiseDistance: () => F.pairwiseDistance(rows(), rows(), misspelt),
  cosineEmbeddingLoss: () => F.cosineEmbeddingLoss(rows(), rows(), labels(), misspelt),
  tripletMarginLoss: () => F.tripletMarginLoss(rows(), rows(), rows(), misspelt),
  conv2d: () => F.conv2d(x(), ones([1, 2, 1, 1]), null, misspelt),
  convTranspose2d: () => F.convTranspose2d(x(), ones([2, 1, 1, 1]), null, misspelt),
  maxPool2d: () => F.maxPool2d(x(), 2, misspelt),
  avgPool2d: () => F.avgPool2d(x(), 2, misspelt),
  batchNorm: () => F.batchNorm(x(), misspelt),
  layerNorm: () => F.layerNorm(rows(), 3, misspelt),
  groupNorm: () => F.groupNorm(x(), 1, misspelt),
  interpolate: () => F.interpolate(x(), misspelt),
  pad: () => F.pad(x(), [1, 1], misspelt),
  gelu: () => F.gelu(x(), misspelt),
  tensor: () => tensor([1], misspelt),
  zeros: () => zeros([1], misspelt),
  ones: () => ones([1], misspelt),
  arange: () => arange(3, misspelt),
  'random numbers': () => rand([1], misspelt),
  sum: () => x().sum(1, misspelt),
  mean: () => x().mean(1, misspelt),
  max: () => x().max(1, misspelt),
  argmax: () => x().argmax(1, misspelt),
  var: () => x().var(1, misspelt),
  norm: () => x().norm(2, 1, misspelt),
  median: () => x().median(1, misspelt),
  nanmedian: () => x().nanmedian(1, misspelt),
  quantile: () => x().quantile(0.5, 1, misspelt),
  unique: () => x().unique(misspelt),
  bincount: () => labels().bincount(misspelt),
  sort: () => x().sort(-1, misspelt),
  topk: () => x().topk(1, -1, misspelt),
  isclose: () => x().isclose(x(), misspelt),
  backward: () => (rows().requiresGrad_().sum() as Tensor).backward(misspelt),
  grad: () => engine.grad([rows()], [rows()], misspelt),
  gradcheck: () => engine.gradcheck((t) => t, [rows()], misspelt),
  truncNormal_: () => nn.init.truncNormal_(rows(), misspelt),
  init: () => nn.init.kaimingNormal_(rows(), misspelt),
}

it.each(Object.entries(calls))(
  '%s tells of an option that it does not know, and of those that it does',
  (name, call) => {
    expect(call).toThrow(ConfigError)
    expect(call).toThrow(new RegExp(`^${name}: unknown option nonsense; the options are \\w+`))
  },
)

it('PyTorch’s words and order are not taken in silence', () => {
  expect(() => F.layerNorm(rows(), [3], ones([3]) as object)).toThrow(
    /^layerNorm: the options must be an object, got a tensor of shape \[3\]/,
  )
  expect(() => rows().var(0, { unbiased: false } as object)).toThrow(/unbiased; .*keepdim, correction/)
  expect(() => rows().sum(1, { keepDim: true } as object)).toThrow(/keepDim; the options are keepdim/)
})
