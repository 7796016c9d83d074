import { expect, test } from 'vitest'
import {
  arange,
  cat,
  channelsLast,
  empty,
  eye,
  full,
  linspace,
  manualSeed,
  ones,
  rand,
  randint,
  randn,
  stack,
  type Tensor,
  tensor,
  where,
  zeros,
  zerosLike,
} from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import { trace } from '../../src/onnx/batches.ts'
import { exporters } from '../../src/onnx/exporters/index.ts'
import { Expression } from './Expression.ts'
import { differenceOf } from './runtime.ts'

manualSeed(3)
const picture = () => randn([2, 4, 6, 7])
const positive = () => rand([3, 5]).add(0.1)
const small = () => rand([3, 5]).mul(1.6).sub(0.8)
const row = tensor([1, 2, 3, 4, 5])
const weight = randn([6, 2, 3, 3])
const norm = new nn.BatchNorm2d(4)
norm.eval()

/** Each with an input; that of the first dimension is the batch. */
const cases: Record<string, [input: () => Tensor, of: (x: Tensor) => Tensor | Tensor[]]> = {
  signs: [small, (x) => [x.neg(), x.abs(), x.sign(), x.square(), x.reciprocal()]],
  exponentials: [small, (x) => [x.exp(), x.exp2(), x.expm1(), x.tanh(), x.sigmoid(), x.erf()]],
  logarithms: [positive, (x) => [x.log(), x.log1p(), x.log2(), x.log10(), x.sqrt(), x.rsqrt()]],
  angles: [small, (x) => [x.sin(), x.cos(), x.tan(), x.asin(), x.acos(), x.atan()]],
  hyperbolic: [small, (x) => [x.sinh(), x.cosh(), x.asinh(), x.add(2).acosh(), x.atanh()]],
  rounding: [() => randn([3, 5]).mul(3), (x) => [x.floor(), x.ceil(), x.round(), x.trunc(), x.frac()]],
  'not numbers': [
    () => tensor([[1, Number.NaN, Number.POSITIVE_INFINITY]]),
    (x) => [x.isnan(), x.isinf(), x.isfinite()],
  ],
  activations: [
    picture,
    (x) => [
      F.relu(x),
      F.silu(x),
      F.gelu(x),
      F.softplus(x),
      F.leakyRelu(x, 0.2),
      F.elu(x),
      F.selu(x),
      F.mish(x),
    ],
  ],
  'more activations': [
    picture,
    (x) => [F.hardswish(x), F.hardsigmoid(x), F.logSigmoid(x), F.gelu(x, { approximate: 'tanh' })],
  ],
  softmax: [picture, (x) => [F.softmax(x, 1), F.logSoftmax(x, -1)]],
  arithmetic: [
    positive,
    (x) => [x.add(row), row.sub(x), x.mul(2), x.div(row), x.pow(2.5), x.maximum(row), x.minimum(0.5)],
  ],
  'numbers on the left': [positive, (x) => [x.mul(-1).add(1), x.pow(-1), x.sub(3).abs()]],
  remainders: [
    () => randn([3, 5]).mul(5),
    (x) => [
      x.remainder(3),
      x.remainder(-2.5),
      x.long().remainder(3),
      x.long().div(2),
      x.floorDivide(1.5),
      x.long().floorDivide(3),
    ],
  ],
  // Quotients that rounding takes to the next integer, signs of every kind, and what is no number.
  'remainders at the edges': [
    () =>
      tensor([
        [1, -1, 0.3, -0.3, -1e-9, 0, -0, 7.5],
        [-6, 6, 1e20, -1e20, 5, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
      ]),
    (x) =>
      [0.1, -0.1, 3, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
        .flatMap((y) => [x.remainder(y), x.floorDivide(y), full([1], y).floorDivide(x)])
        .concat([x.double().remainder(0.1), x.double().floorDivide(0.1)]),
  ],
  'remainders of halves': [
    () => randn([3, 5]).mul(5),
    (x) => {
      const [half, divisor] = [x.to('float16'), full([1], 0.7).to('float16')]
      return [half.remainder(divisor).float(), half.floorDivide(divisor).float()]
    },
  ],
  'kinds of numbers': [
    () => randint(0, 9, [3, 5]),
    (x) => [x.add(0.5), x.mul(row), x.float().div(4), x.gt(3.5).long().add(x), x.eq(4)],
  ],
  comparisons: [small, (x) => [x.gt(0), x.ge(0.1), x.lt(row.div(9)), x.le(0), x.eq(x), x.ne(0)]],
  logic: [
    small,
    (x) => [
      x.gt(0).logicalAnd(x.lt(0.5)),
      x.gt(0).logicalOr(x.lt(-0.5)),
      x.gt(0).logicalXor(x.lt(0.5)),
      x.gt(0).logicalNot(),
    ],
  ],
  choosing: [
    small,
    (x) => [where(x.gt(0), x, 0), where(x.gt(0), row, x), x.clamp(-0.3, 0.3), x.clamp(undefined, 0.1)],
  ],
  shapes: [
    picture,
    (x) => [
      x.flatten(1),
      x.reshape([-1, 6, 7]),
      x.permute(0, 2, 3, 1),
      x.transpose(1, 3),
      x.unsqueeze(-1),
      x.view(x.shape[0]!, 4, -1),
    ],
  ],
  squeezing: [
    () => randn([3, 1, 5, 1]),
    (x) => [x.squeeze(), x.squeeze(1), x.squeeze(2), x.expand(-1, 4, 5, 2)],
  ],
  'sizes of the batch': [
    picture,
    (x) => [
      zeros([x.shape[0]!, 3]).add(1),
      ones([2, x.shape[0]! * 2]),
      arange(x.shape[0]!).add(0.5),
      full([4], x.shape[1]!),
    ],
  ],
  parts: [
    picture,
    (x) => [
      x.index(':', '1:3'),
      x.index(':', ':', '::2', -1),
      x.slice(3, 1, -1),
      x.select(2, -2),
      x.index(0),
    ],
  ],
  'the last of the batch': [picture, (x) => [x.slice(0, 1), x.index(-1)]],
  joining: [
    picture,
    (x) => [cat([x, x.mul(2)], 1), stack([x, x], 2), ...x.chunk(2, 1), ...x.split([1, 3], 1)],
  ],
  picking: [
    () => randn([3, 5]),
    (x) => [
      x.indexSelect(1, tensor([4, 0, 0], { dtype: 'int64' })),
      x.gather(1, x.argmax(1, { keepdim: true })),
      x.index(':', tensor([1, 2], { dtype: 'int64' })),
    ],
  ],
  'picking by two': [
    () => randn([3, 5]),
    (x) => [x.index(tensor([0, 0], { dtype: 'int64' }), tensor([1, -1], { dtype: 'int64' }))],
  ],
  'flips and repeats': [
    picture,
    (x) => [
      x.flip(1),
      x.flip(2, 3),
      x.roll(2, 3),
      x.repeat(1, 2, 1, 3),
      x.repeat(2, 1, 1, 1),
      x.repeatInterleave(2, 2),
    ],
  ],
  padding: [
    picture,
    (x) => [
      F.pad(x, [1, 2, 3, 0]),
      F.pad(x, [-1, 2], { value: 7 }),
      F.pad(x, [2, 1, 1, 2], { mode: 'reflect' }),
      F.pad(x, [2, 1, 1, 2], { mode: 'replicate' }),
      F.pad(x, [2, 1], { mode: 'circular' }),
    ],
  ],
  diagonals: [
    () => randn([2, 4, 5, 3]),
    (x) => [x.diagonal(0, 1, 2), x.diagonal(-2, 1, -1), x.diagonal(1, 3, 2), x.diagonal(9, 1, 2)],
  ],
  'the middle and others in order': [
    picture,
    (x) => [
      x.median(1).values,
      x.median(-1, { keepdim: true }).indices,
      x.nanmedian(2).values,
      x.quantile(0.3, 1),
      x.quantile([0.2, 0.5], 3, { keepdim: true }),
      x.quantile(0.6, 1, { interpolation: 'nearest' }),
      x.quantile(0.6, 1, { interpolation: 'midpoint' }),
    ],
  ],
  'likeness and distance': [
    () => randn([3, 5]),
    (x) => [
      F.cosineSimilarity(x, x.flip(1)),
      F.cosineSimilarity(x.unsqueeze(1), ones([1, 4, 5]), { dim: -1 }),
      F.cosineSimilarity(x.unsqueeze(1), x.unsqueeze(0), { dim: 2 }),
      F.cosineSimilarity(x.mul(0), x),
      F.pairwiseDistance(x, row),
      F.pairwiseDistance(x, row, { p: 1, keepdim: true }),
      F.pairwiseDistance(x, row, { p: Number.POSITIVE_INFINITY }),
    ],
  ],
  triangles: [() => randn([2, 4, 4]), (x) => [x.tril(), x.triu(1)]],
  reductions: [
    picture,
    (x) => [
      x.sum(1),
      x.mean([2, 3]),
      x.mean([2, 3], { keepdim: true }),
      x.prod(3),
      x.amax(1),
      x.amin([1, 2]),
      x.sum(),
      x.mean(),
    ],
  ],
  'reductions of truth': [picture, (x) => [x.gt(2).any(1), x.gt(-2).all(1), x.gt(0).sum(1)]],
  spread: [
    picture,
    (x) => [x.var(1), x.std([2, 3]), x.var(1, { correction: 0, keepdim: true }), x.norm(2, 1)],
  ],
  extremes: [
    picture,
    (x) => [
      x.max(1).values,
      x.max(1).indices,
      x.min(3).values,
      x.argmax(1),
      x.argmin(2),
      x.argmax(),
      x.topk(3).values,
      x.topk(2, 1).indices,
    ],
  ],
  sorting: [picture, (x) => [x.sort(-1).values, x.sort(1, { descending: true }).values, x.cumsum(2)]],
  products: [
    () => randn([3, 5]),
    (x) => [
      x.matmul(eye(5)),
      F.linear(x, ones([2, 5])),
      x.matmul(row),
      x.unsqueeze(1).matmul(x.unsqueeze(2)),
    ],
  ],
  'rows of rows': [
    () => randn([3, 2, 5]),
    (x) => [F.linear(x, ones([2, 5]), tensor([1, 2])), x.matmul(linspace(0, 1, 5))],
  ],
  convolutions: [
    picture,
    (x) => [
      F.conv2d(x, weight, null, { groups: 2, padding: 'same' }),
      F.conv2d(x, weight, row.sum().expand(6), { stride: 2, padding: [1, 0], groups: 2 }),
      F.conv2d(x, weight, null, { dilation: 2, groups: 2 }),
    ],
  ],
  'transposed convolutions': [
    () => randn([2, 6, 5, 4]),
    (x) => [
      F.convTranspose2d(x, weight, null, { stride: 2, padding: 1, outputPadding: 1 }),
      F.convTranspose2d(x, weight, null, { groups: 3, dilation: 2 }),
    ],
  ],
  lines: [() => randn([2, 4, 9]), (x) => [F.conv1d(x, ones([3, 4, 3]), null, { padding: 1 })]],
  'maximum pools': [
    picture,
    (x) => [
      F.maxPool2d(x, 2),
      F.maxPool2d(x, 3, { stride: 2, padding: 1 }),
      F.maxPool2d(x, 3, { stride: 2, ceilMode: true }),
      F.maxPool2d(x, 2, { dilation: 2, stride: 1 }),
    ],
  ],
  'average pools': [
    picture,
    (x) => [
      F.avgPool2d(x, 2),
      F.avgPool2d(x, 3, { stride: 2, padding: 1 }),
      F.avgPool2d(x, 3, { stride: 2, padding: 1, countIncludePad: false }),
      F.avgPool2d(x, 2, { ceilMode: true }),
      F.avgPool2d(x, 3, { stride: 2, padding: 1, ceilMode: true }),
      F.avgPool2d(x, 2, { divisorOverride: 3 }),
    ],
  ],
  'adaptive pools': [
    picture,
    (x) => [
      F.adaptiveAvgPool2d(x, 1),
      F.adaptiveMaxPool2d(x, 1),
      F.adaptiveAvgPool2d(x, [3, 7]),
      F.adaptiveAvgPool2d(x, [4, 5]),
      F.adaptiveMaxPool2d(x, [4, 5]),
      F.adaptiveAvgPool2d(x, 9),
    ],
  ],
  'other sizes': [
    picture,
    (x) => [
      F.interpolate(x, { scaleFactor: 2 }),
      F.interpolate(x, { size: [5, 11] }),
      F.interpolate(x, { scaleFactor: 2, mode: 'bilinear' }),
      F.interpolate(x, { size: [9, 5], mode: 'bilinear' }),
      F.interpolate(x, { size: [9, 5], mode: 'bilinear', alignCorners: true }),
      F.interpolate(x, { scaleFactor: 1.5, mode: 'bilinear' }),
    ],
  ],
  // The product of the size and the scale, in float32, is on the other side of an integer.
  'scales that float32 would round to another size': [
    () => rand([2, 1, 100, 20]),
    (x) => [
      F.interpolate(x, { scaleFactor: [0.29, 1.15], mode: 'bilinear' }),
      F.interpolate(x, { scaleFactor: [1.15, 0.29], mode: 'bilinear' }),
      F.interpolate(x, { scaleFactor: [0.57, 1.01], mode: 'bilinear' }),
    ],
  ],
  shuffles: [() => randn([2, 8, 4, 6]), (x) => [F.pixelShuffle(x, 2), F.pixelUnshuffle(x, 2)]],
  sampling: [picture, (x) => [F.gridSample(x, x.flatten(1).slice(1, 0, 40).reshape([-1, 5, 4, 2]).mul(0.5))]],
  normalisation: [
    picture,
    (x) => [
      F.layerNorm(x, [6, 7]),
      F.groupNorm(x, 2),
      F.layerNorm(x, [7], { weight: ones([7]).mul(2), bias: zeros([7]).add(1) }),
      F.groupNorm(x, 4, { weight: ones([4]).mul(2), bias: ones([4]) }),
    ],
  ],
  'in place': [
    picture,
    (x) => {
      const y = x.mul(2)
      y.add_(1)
      y.mul_(x)
      const z = empty([x.shape[0]!, 4])
      z.copy_(x.sum([2, 3]))
      return [y, z.fill_(3).add(z)]
    },
  ],
  copies: [
    picture,
    (x) => [
      x.clone().add(1),
      x.permute(0, 2, 3, 1).contiguous().sum(1),
      channelsLast(x),
      x.detach().exp(),
      zerosLike(x),
    ],
  ],
  'more in place': [
    positive,
    (x) => [x.mul(1).sub_(2), x.mul(1).div_(row), x.mul(1).pow_(2), x.gt(1).long().add_(2)],
  ],
  scattering: [
    () => randn([3, 5]),
    (x) => {
      const places = x.argmax(1, { keepdim: true })
      return [
        x.scatter(1, places, ones([x.shape[0]!, 1])),
        x.scatterAdd(1, places, x.slice(1, 0, 1)),
        x.argmin(),
      ]
    },
  ],
  'batch norm': [
    picture,
    (x) => {
      const { runningMean, runningVar, weight, bias } = norm
      return [
        norm.forward(x),
        norm.forward(x, { activation: 'relu', residual: x }),
        F.batchNorm(x, { runningMean, runningVar }),
        F.batchNorm(x.mean([2, 3]), { runningMean, runningVar, weight, bias }),
      ]
    },
  ],
  'one-hot': [() => randint(0, 4, [3]), (x) => [F.oneHot(x, 5)]],
}

test.each(Object.entries(cases))('%s: as onnxruntime computes it', async (_, [input, of]) => {
  manualSeed(11)
  const x = input()
  const many = cat([x, x.flip(0), x, x], 0)
  const others = [2, 5].map((size) => [many.slice(0, 0, size)])
  expect(await differenceOf(new Expression(of), [x], {}, others)).toBeLessThan(2e-5)
})

test('every exporter is for an op of the engine, and has been tried', () => {
  const tried = new Set<string>()
  for (const [input, of] of Object.values(cases)) {
    const x = input()
    const forward = (value: Tensor) => of(value) as Tensor[]
    for (const { op } of trace(forward, [x]).steps) tried.add(op)
  }
  tried.add('to_device') // Here there is one device only, and nothing is moved.
  const untried = Object.keys(exporters).filter((op) => !tried.has(op))
  expect(untried).toEqual([])
})
