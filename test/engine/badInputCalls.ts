/** Calls that are right, to be spoilt one argument (or one option) at a time by badInputWalk.ts. */
import * as engine from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

const { ones, randn, tensor } = engine

export interface RightCall {
  name: string
  run: (...given: never[]) => unknown
  given: () => unknown[]
}

const picture = () => randn([2, 4, 6, 6], { requiresGrad: true })
const line = () => randn([2, 4, 9], { requiresGrad: true })
const matrix = () => randn([2, 3], { requiresGrad: true })
const labels = () => tensor([0, 2], { dtype: 'int64' })
const places = () => tensor([[0, 1, 1]], { dtype: 'int64' })
const mask = () => randn([2, 3]).gt(0)
const weights = () => ones([3])

function call(name: string, run: (...given: never[]) => unknown, given: () => unknown[]): RightCall {
  return { name, run, given }
}

function method(
  name: keyof engine.Tensor,
  given: () => unknown[],
  make: () => engine.Tensor = matrix,
): RightCall {
  return call(
    `x.${String(name)}`,
    (...list) => (make()[name] as (...all: never[]) => unknown)(...list),
    given,
  )
}

const conv = () => ({ stride: 1, padding: 1, dilation: 1, groups: 2 })
const convTranspose = () => ({ stride: 2, padding: 1, outputPadding: 1, dilation: 1, groups: 2 })
const pool = () => ({ stride: 2, padding: 1, ceilMode: true })
const dim = () => [1, { keepdim: true }]

const functions: RightCall[] = [
  call('tensor', engine.tensor, () => [
    [[1, 2]],
    { dtype: 'float64', shape: [2], device: 'cpu', requiresGrad: true },
  ]),
  call('full', engine.full, () => [[2, 3], 1, { dtype: 'float64', device: 'cpu' }]),
  call('zerosLike', engine.zerosLike, () => [matrix(), { dtype: 'float64' }]),
  call('arange', engine.arange, () => [0, 5, 1, { dtype: 'float32' }]),
  call('linspace', engine.linspace, () => [0, 1, 5, { dtype: 'float32' }]),
  call('eye', engine.eye, () => [3, 4, { dtype: 'float32' }]),
  call('randint', engine.randint, () => [0, 9, [3], { dtype: 'int32' }]),
  call('randint of two', engine.randint, () => [9, [3], { dtype: 'int32' }]),
  call('randperm', engine.randperm, () => [9, { dtype: 'int32' }]),
  call('rand', engine.rand, () => [[3, 4], { dtype: 'float64' }]),
  call('cat', engine.cat, () => [[matrix(), matrix()], 1]),
  call('stack', engine.stack, () => [[matrix(), matrix()], 1]),
  call('where', engine.where, () => [mask(), matrix(), 2]),
  call('einsum', engine.einsum, () => ['ij,kj->ik', matrix(), matrix()]),
  call('isclose', engine.isclose, () => [matrix(), matrix(), { rtol: 1e-3, atol: 1e-3, equalNan: true }]),
  call('gradcheck', engine.gradcheck, () => [
    (x: engine.Tensor) => x.mul(x),
    [randn([2], { dtype: 'float64', requiresGrad: true })],
    { eps: 1e-6, atol: 1e-4, rtol: 1e-3 },
  ]),
  call(
    'grad',
    (x: never, y: never, options: never) => engine.grad(x, y, options),
    () => {
      const x = matrix()
      const y = x.mul(x)
      return [y, x, { gradOutputs: [ones([2, 3])], retainGraph: false, allowUnused: true }]
    },
  ),
  call('gelu', F.gelu, () => [matrix(), { approximate: 'tanh' }]),
  call('dropout', F.dropout, () => [matrix(), 0.5, true]),
  call('softmax', F.softmax, () => [matrix(), 1]),
  call('linear', F.linear, () => [matrix(), randn([4, 3]), randn([4])]),
  call('embedding', F.embedding, () => [labels(), randn([5, 2], { requiresGrad: true }), { paddingIdx: 1 }]),
  call('oneHot', engine.oneHot, () => [labels(), 4]),
  call('pad', F.pad, () => [picture(), [1, 1, 1, 1], { mode: 'reflect', value: 0 }]),
  call('pad constant', F.pad, () => [picture(), [1, 1, 1, 1], { mode: 'constant', value: 2 }]),
  call('conv2d', F.conv2d, () => [picture(), randn([4, 2, 3, 3]), randn([4]), conv()]),
  call('conv1d', F.conv1d, () => [line(), randn([4, 2, 3]), randn([4]), conv()]),
  call('convTranspose2d', F.convTranspose2d, () => [
    picture(),
    randn([4, 2, 3, 3]),
    randn([4]),
    convTranspose(),
  ]),
  call('convTranspose1d', F.convTranspose1d, () => [line(), randn([4, 2, 3]), randn([4]), convTranspose()]),
  call('maxPool2d', F.maxPool2d, () => [picture(), 3, { ...pool(), dilation: 1 }]),
  call('avgPool2d', F.avgPool2d, () => [
    picture(),
    3,
    { ...pool(), countIncludePad: false, divisorOverride: 2 },
  ]),
  call('adaptiveAvgPool2d', F.adaptiveAvgPool2d, () => [picture(), [2, 3]]),
  call('adaptiveMaxPool2d', F.adaptiveMaxPool2d, () => [picture(), [2, 3]]),
  call('interpolate', F.interpolate, () => [
    picture(),
    { size: [3, 4], mode: 'bilinear', alignCorners: true },
  ]),
  call('interpolate by a factor', F.interpolate, () => [
    picture(),
    { scaleFactor: 2, recomputeScaleFactor: true },
  ]),
  call('gridSample', F.gridSample, () => [
    picture(),
    randn([2, 3, 3, 2]),
    { mode: 'bilinear', paddingMode: 'border', alignCorners: true },
  ]),
  call('affineGrid', F.affineGrid, () => [randn([2, 2, 3]), [2, 4, 6, 6], { alignCorners: true }]),
  call('layerNorm', F.layerNorm, () => [matrix(), [3], { weight: ones([3]), bias: ones([3]), eps: 1e-5 }]),
  call('groupNorm', F.groupNorm, () => [picture(), 2, { weight: ones([4]), bias: ones([4]), eps: 1e-5 }]),
  call('batchNorm', F.batchNorm, () => [
    picture(),
    {
      weight: ones([4]),
      bias: ones([4]),
      runningMean: ones([4]),
      runningVar: ones([4]),
      training: true,
      momentum: 0.1,
      eps: 1e-5,
    },
  ]),
  call('crossEntropy', F.crossEntropy, () => [
    matrix(),
    labels(),
    { weight: weights(), ignoreIndex: 1, labelSmoothing: 0.1, reduction: 'mean' },
  ]),
  call('nllLoss', F.nllLoss, () => [
    matrix(),
    labels(),
    { weight: weights(), ignoreIndex: 1, reduction: 'sum' },
  ]),
  call('bce', F.binaryCrossEntropy, () => [
    matrix().sigmoid(),
    ones([2, 3]),
    { weight: weights(), reduction: 'mean' },
  ]),
  call('bceWithLogits', F.binaryCrossEntropyWithLogits, () => [
    matrix(),
    ones([2, 3]),
    { weight: weights(), posWeight: weights(), reduction: 'none' },
  ]),
  call('mseLoss', F.mseLoss, () => [matrix(), ones([2, 3]), { reduction: 'mean' }]),
  call('huberLoss', F.huberLoss, () => [matrix(), ones([2, 3]), { reduction: 'mean', delta: 1 }]),
  call('smoothL1Loss', F.smoothL1Loss, () => [matrix(), ones([2, 3]), { reduction: 'mean', beta: 1 }]),
  call('cosineSimilarity', F.cosineSimilarity, () => [matrix(), ones([2, 3]), { dim: 0, eps: 1e-6 }]),
  call('pairwiseDistance', F.pairwiseDistance, () => [
    matrix(),
    ones([2, 3]),
    { p: 1, eps: 1e-6, keepdim: true },
  ]),
  call('cosineEmbeddingLoss', F.cosineEmbeddingLoss, () => [
    matrix(),
    ones([2, 3]),
    labels(),
    { margin: 0.2, reduction: 'none' },
  ]),
  call('tripletMarginLoss', F.tripletMarginLoss, () => [
    matrix(),
    matrix(),
    ones([2, 3]),
    { margin: 0.5, p: 1, eps: 1e-6, swap: true, reduction: 'sum' },
  ]),
  call('klDiv', F.klDiv, () => [matrix(), ones([2, 3]), { reduction: 'batchmean', logTarget: true }]),
]

const methods: RightCall[] = [
  method('sum', dim),
  method('mean', dim),
  method('prod', dim),
  method('var', () => [1, { keepdim: true, correction: 0 }]),
  method('std', () => [1, { keepdim: true, correction: 0 }]),
  method('max', dim),
  method('amax', dim),
  method('argmax', dim),
  method('median', dim),
  method('diag', () => [1]),
  method('unique', () => [{ dim: 1, returnInverse: true, returnCounts: true }]),
  method('bincount', () => [{ weights: ones([2]), minlength: 5 }], labels),
  method('quantile', () => [[0.2, 0.5], 1, { keepdim: true, interpolation: 'midpoint' }]),
  method('any', dim),
  method('logsumexp', dim),
  method('norm', () => [2, 1, { keepdim: true }]),
  method('cumsum', () => [1]),
  method('sort', () => [1, { descending: true }]),
  method('topk', () => [2, 1, { largest: false }]),
  method('index', () => [0, '1:3']),
  method('index', () => [[0, 1], null, '...']),
  method(
    'indexPut_',
    () => [[0, '1:3'], 1, { accumulate: true }],
    () => ones([2, 3]),
  ),
  method('scatter', () => [0, places(), ones([1, 3])]),
  method('scatterAdd', () => [0, places(), ones([1, 3])]),
  method('gather', () => [0, places()]),
  method(
    'indexSelect',
    () => [0, labels()],
    () => randn([3, 3], { requiresGrad: true }),
  ),
  method(
    'indexAdd',
    () => [0, labels(), ones([2, 3]), { alpha: 2 }],
    () => randn([3, 3]),
  ),
  method('maskedFill', () => [mask(), 2]),
  method('maskedSelect', () => [mask()]),
  method('clamp', () => [-1, 1]),
  method('clamp', () => [ones([3]), ones([3])]),
  method('lerp', () => [matrix(), 0.3]),
  method('add', () => [matrix()]),
  method('pow', () => [2]),
  method('matmul', () => [randn([3, 2])]),
  method('split', () => [[1, 2], 1]),
  method('chunk', () => [2, 1]),
  method('narrow', () => [1, 0, 2]),
  method('slice', () => [1, 0, 3, 2]),
  method('flip', () => [0, 1]),
  method('roll', () => [
    [1, 2],
    [0, 1],
  ]),
  method('repeat', () => [2, 1]),
  method('repeatInterleave', () => [[1, 2, 0], 1]),
  method('permute', () => [1, 0]),
  method('transpose', () => [0, 1]),
  method('view', () => [3, 2]),
  method('expand', () => [4, 2, 3]),
  method('flatten', () => [0, 1]),
  method('unflatten', () => [1, [3, 1]]),
  method('movedim', () => [[0], [1]]),
  method(
    'backward',
    () => [{ gradient: ones([2, 3]), retainGraph: true }],
    () => matrix().mul(2),
  ),
  method('to', () => ['float64']),
  method(
    'copy_',
    () => [ones([3])],
    () => ones([2, 3]),
  ),
]

const layer = () => new nn.Linear(3, 2)
const params = () => [...layer().parameters()]
const sgd = () => new optim.SGD(params(), { lr: 0.1, momentum: 0.9 })

const objects: RightCall[] = [
  call(
    'new Conv2d',
    (...given: unknown[]) => new nn.Conv2d(...(given as [4, 2, 3])),
    () => [4, 2, 3, conv()],
  ),
  call(
    'new MaxPool2d',
    (...given: unknown[]) => new nn.MaxPool2d(...(given as [3])),
    () => [3, { ...pool(), dilation: 1 }],
  ),
  call(
    'new Linear',
    (...given: unknown[]) => new nn.Linear(...(given as [3, 2])),
    () => [3, 2, { bias: true }],
  ),
  call(
    'new CrossEntropyLoss',
    (options) => new nn.CrossEntropyLoss(options),
    () => [{ weight: weights(), ignoreIndex: 1, labelSmoothing: 0.1, reduction: 'mean' }],
  ),
  call(
    'loadStateDict',
    (state, options) => layer().loadStateDict(state, options),
    () => [layer().stateDict(), { strict: true }],
  ),
  call(
    'namedParameters',
    (options) => layer().namedParameters(options),
    () => [{ prefix: 'a', recurse: true }],
  ),
  call(
    'parameters',
    (options) => layer().parameters(options),
    () => [{ recurse: true }],
  ),
  call(
    'summary',
    (shape, options) => layer().summary(shape, options),
    () => [[1, 3], { dtype: 'float32' }],
  ),
  call('kaimingUniform_', nn.init.kaimingUniform_, () => [
    matrix().detach(),
    { a: 1, mode: 'fanIn', nonlinearity: 'relu' },
  ]),
  call('xavierUniform_', nn.init.xavierUniform_, () => [matrix().detach(), { gain: 2 }]),
  call(
    'SGD',
    (list, options) => new optim.SGD(list, options).step(),
    () => [params(), { lr: 0.1, momentum: 0.9, dampening: 0, weightDecay: 0.1, nesterov: true }],
  ),
  call(
    'Adam',
    (list, options) => new optim.Adam(list, options).step(),
    () => [params(), { lr: 0.1, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0.1, amsgrad: true }],
  ),
  call(
    'SGD of groups',
    (list) => new optim.SGD(list, { lr: 0.1 }),
    () => [[{ params: params(), lr: 0.2 }]],
  ),
  call(
    'addParamGroup',
    (group) => sgd().addParamGroup(group),
    () => [{ params: params(), lr: 0.2 }],
  ),
  call(
    'optimizer.loadStateDict',
    (state) => sgd().loadStateDict(state),
    () => [sgd().stateDict()],
  ),
  call(
    'StepLR',
    (optimizer, options) => new optim.StepLR(optimizer, options).step(),
    () => [sgd(), { stepSize: 2, gamma: 0.1 }],
  ),
  call(
    'OneCycleLR',
    (optimizer, options) => new optim.OneCycleLR(optimizer, options).step(),
    () => [sgd(), { maxLr: 0.1, totalSteps: 10, pctStart: 0.3, annealStrategy: 'cos', cycleMomentum: true }],
  ),
  call(
    'CyclicLR',
    (optimizer, options) => new optim.CyclicLR(optimizer, options).step(),
    () => [sgd(), { baseLr: 0.1, maxLr: 1, stepSizeUp: 3, mode: 'triangular', gamma: 0.9 }],
  ),
  call(
    'ReduceLROnPlateau',
    (optimizer, options) => new optim.ReduceLROnPlateau(optimizer, options).step(1),
    () => [sgd(), { mode: 'min', factor: 0.1, patience: 2, threshold: 0.1, cooldown: 1, minLr: 0 }],
  ),
  call(
    'scheduler.loadStateDict',
    (state) => new optim.StepLR(sgd(), { stepSize: 2 }).loadStateDict(state),
    () => [{ stepCount: 1, baseLrs: [0.1] }],
  ),
]

export const rightCalls: readonly RightCall[] = [...functions, ...methods, ...objects]
