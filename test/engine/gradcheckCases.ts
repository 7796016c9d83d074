import {
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  atan2,
  avgPool2d,
  batchNorm,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  cat,
  channelsLast,
  conv2d,
  convTranspose2d,
  crossEntropy,
  cumprod,
  diagonal,
  dropout,
  flip,
  gelu,
  gridSample,
  groupNorm,
  interpolate,
  layerNorm,
  leakyRelu,
  linear,
  logSoftmax,
  manualSeed,
  maxPool2d,
  nllLoss,
  pad,
  pixelShuffle,
  pixelUnshuffle,
  randn,
  repeat,
  roll,
  scatter,
  scatterAdd,
  silu,
  softmax,
  softplus,
  type Tensor,
  tensor,
  tril,
  triu,
  where,
} from '../../src/engine/index.ts'

/** A function to differentiate and the inputs, float64, at which to do so. */
export interface GradientCase {
  fn: (...inputs: Tensor[]) => Tensor
  inputs: () => Tensor[]
}

const leaf = (values: unknown): Tensor => tensor(values as number[], { dtype: 'float64', requiresGrad: true })
const normal = (...shape: number[]): Tensor => randn(shape, { dtype: 'float64', requiresGrad: true })
const labels = (values: unknown): Tensor => tensor(values as number[], { dtype: 'int64' })
const plain = (values: unknown): Tensor => tensor(values as number[], { dtype: 'float64' })

// Points away from kinks and from the borders of domains, on both sides of zero where both are allowed.
const anywhere = () =>
  leaf([
    [-1.7, -0.6, 0.4],
    [0.9, 1.6, -2.3],
  ])
const positive = () => leaf([0.3, 1.2, 2.5, 0.8])
const inUnit = () => leaf([-0.7, -0.2, 0.3, 0.85])
const aboveOne = () => leaf([1.2, 2.5, 7])
const other = () =>
  leaf([
    [0.5, -1.3, 2.2],
    [-0.8, 0.7, 1.1],
  ])

const one = (inputs: () => Tensor, fn: (x: Tensor) => Tensor): GradientCase => ({
  fn: fn as GradientCase['fn'],
  inputs: () => [inputs()],
})
const two = (fn: (a: Tensor, b: Tensor) => Tensor, a = anywhere, b = other): GradientCase => ({
  fn: fn as GradientCase['fn'],
  inputs: () => [a(), b()],
})

type UnaryName = keyof { [Name in keyof Tensor as Tensor[Name] extends () => Tensor ? Name : never]: true }

function unary(inputs: () => Tensor, ...names: UnaryName[]): Record<string, GradientCase[]> {
  return Object.fromEntries(names.map((name) => [name, [one(inputs, (x) => x[name]())]]))
}

const pictures = () => normal(2, 4, 5, 6)
const matrix = () => normal(3, 4)
const reductions = ['none', 'mean', 'sum'] as const

/**
 * The cases of every differentiable op of the table (native/core/ops.def), by its name: at least one in which the op runs.
 * Backward ops need none of their own: they must run in some case here.
 */
export const cases: Record<string, GradientCase[]> = {
  ...unary(
    anywhere,
    'neg',
    'abs',
    'sign',
    'exp',
    'exp2',
    'expm1',
    'square',
    'reciprocal',
    'sin',
    'cos',
    'tan',
  ),
  ...unary(anywhere, 'atan', 'sinh', 'cosh', 'asinh', 'tanh', 'sigmoid', 'relu'),
  ...unary(anywhere, 'erf', 'floor', 'ceil', 'round', 'trunc', 'frac'),
  ...unary(positive, 'log', 'log1p', 'log2', 'log10', 'sqrt', 'rsqrt'),
  ...unary(inUnit, 'asin', 'acos', 'atanh'),
  ...unary(aboveOne, 'acosh'),

  silu: [one(anywhere, (x) => silu(x))],
  gelu: [one(anywhere, (x) => gelu(x))],
  softplus: [one(anywhere, (x) => softplus(x))],

  add: [
    two((a, b) => a.add(b)),
    two(
      (a, b) => a.add(b),
      matrix,
      () => normal(4),
    ),
    one(anywhere, (x) => x.add(2)),
  ],
  sub: [
    two((a, b) => a.sub(b)),
    two(
      (a, b) => a.sub(b),
      () => normal(1, 4),
      () => normal(3, 1),
    ),
  ],
  mul: [
    two((a, b) => a.mul(b)),
    two(
      (a, b) => a.mul(b),
      matrix,
      () => normal(3, 1),
    ),
    one(matrix, (x) => x.mul(x)),
  ],
  div: [
    two((a, b) => a.div(b)),
    two(
      (a, b) => a.div(b),
      () => normal(2, 3, 2),
      () => leaf([1.5, -2]),
    ),
  ],
  pow: [
    two(
      (a, b) => a.pow(b),
      positive,
      () => leaf([2, -1.5, 0.5, 3]),
    ),
    one(anywhere, (x) => x.pow(3)),
    one(anywhere, (x) => plain(2).pow(x)),
  ],
  maximum: [two((a, b) => a.maximum(b))],
  minimum: [two((a, b) => a.minimum(b)), one(anywhere, (x) => x.minimum(0.5))],
  remainder: [two((a, b) => a.remainder(b))],
  atan2: [two((a, b) => atan2(a, b))],

  add_: [two((a, b) => a.mul(2).add_(b))],
  sub_: [two((a, b) => a.mul(2).sub_(b))],
  mul_: [two((a, b) => a.mul(b).mul_(3)), two((a, b) => a.mul(b).mul_(plain([1, 2, 3])))],
  div_: [two((a, b) => a.mul(b).div_(plain([1, 2, 3])))],
  clamp: [one(anywhere, (x) => x.clamp(-1, 1)), one(anywhere, (x) => x.clamp(null, 0))],
  leaky_relu: [one(anywhere, (x) => leakyRelu(x, 0.1))],
  where: [two((a, b) => where(a.detach().gt(0), a, b)), one(anywhere, (x) => where(x.detach().gt(0), x, 2))],

  fill_: [two((a, b) => a.mul(2).fill_(3).add(b)), two((a, b) => filledRow(a.mul(b)))],
  copy_: [two((a, b) => a.mul(2).copy_(b).mul(a)), two((a, b) => a.mul(2).copy_(b.select(0, 1)))],
  to_dtype: [one(anywhere, (x) => x.mul(x.to('float64')).to('float32').to('float64').mul(0).add(x))],
  clone: [one(anywhere, (x) => x.clone().mul(x))],
  contiguous: [one(matrix, (x) => x.t().contiguous())],
  channels_last: [one(pictures, (x) => channelsLast(x))],

  view: [one(matrix, (x) => x.view(2, 6).mul(2))],
  reshape: [one(matrix, (x) => x.t().reshape(2, 6))],
  permute: [
    one(
      () => normal(2, 3, 4),
      (x) => x.permute(2, 0, 1),
    ),
  ],
  expand: [
    one(
      () => normal(3, 1),
      (x) => x.expand(2, 3, 4),
    ),
  ],
  squeeze: [
    one(
      () => normal(3, 1, 2),
      (x) => x.squeeze(1),
    ),
  ],
  squeeze_all: [
    one(
      () => normal(1, 3, 1),
      (x) => x.squeeze(),
    ),
  ],
  unsqueeze: [one(matrix, (x) => x.unsqueeze(1))],
  slice: [
    one(matrix, (x) => x.index('1:', '::2')),
    one(
      () => normal(6),
      (x) => x.slice(0, 1, 5, 3),
    ),
  ],
  select: [one(matrix, (x) => x.select(1, -1))],
  as_strided: [
    two((a, b) => changedThroughView(a.mul(1), b)),
    one(matrix, (x) => expandedThenChanged(x.mul(1))),
  ],
  diagonal: [
    one(matrix, (x) => diagonal(x, 1)),
    one(
      () => normal(2, 3, 3),
      (x) => diagonal(x, 0, 1, 2),
    ),
    one(matrix, (x) => x.diag(-1).square()),
    one(
      () => normal(3),
      (x) => x.diag(1).square(),
    ),
  ],

  cat: [two((a, b) => cat([a, b, a], 1))],
  index_select: [one(matrix, (x) => x.indexSelect(1, labels([0, 2, 2])))],
  index_add_: [two((a, b) => a.mul(1).indexAdd_(1, labels([2, 0, 0]), b))],
  gather: [
    one(matrix, (x) =>
      x.gather(
        1,
        labels([
          [0, 0],
          [3, 1],
          [2, 2],
        ]),
      ),
    ),
  ],
  scatter_: [
    two((a, b) =>
      scatter(
        a,
        1,
        labels([
          [0, 2],
          [1, 0],
        ]),
        b,
      ),
    ),
  ],
  scatter_add_: [
    two((a, b) =>
      scatterAdd(
        a,
        1,
        labels([
          [0, 0],
          [1, 2],
        ]),
        b,
      ),
    ),
  ],
  index_get: [one(matrix, (x) => x.index(labels([0, 2, 0]), labels([1, 1, 3])))],
  index_put_: [two((a, b) => a.mul(1).indexPut_([labels([1, 0]), labels([0, 2])], b.select(1, 0)))],
  remap: [
    one(matrix, (x) => flip(x, [0, 1])),
    one(matrix, (x) => roll(x, 1, 1)),
    one(matrix, (x) => repeat(x, [2, 3])),
    one(matrix, (x) => pad(x, [1, 2], { value: 3 })),
    one(
      () => normal(1, 2, 4, 4),
      (x) => pad(x, [1, 2, 3, 1], { mode: 'reflect' }),
    ),
    one(
      () => normal(1, 2, 4, 4),
      (x) => pad(x, [1, 2, 3, 1], { mode: 'replicate' }),
    ),
  ],
  triangle: [one(matrix, (x) => tril(x, -1)), one(matrix, (x) => triu(x))],

  sum: [one(matrix, (x) => x.sum()), one(matrix, (x) => x.sum([0], { keepdim: true }).mul(x))],
  mean: [
    one(matrix, (x) => x.mean()),
    one(
      () => normal(2, 3, 4),
      (x) => x.mean([0, -1]),
    ),
  ],
  prod: [
    one(matrix, (x) => x.prod()),
    one(
      () =>
        leaf([
          [1.5, 0],
          [2, 3],
          [0, 0],
        ]),
      (x) => x.prod(1),
    ),
  ],
  amax: [one(matrix, (x) => x.max())],
  amin: [one(matrix, (x) => x.min())],
  variance: [one(matrix, (x) => x.var(0)), one(matrix, (x) => x.std(1, { correction: 0 }))],
  max_dim: [one(matrix, (x) => x.max(1).values)],
  min_dim: [one(matrix, (x) => x.min(0, { keepdim: true }).values)],
  sort: [
    one(matrix, (x) => x.sort(1).values),
    one(matrix, (x) => x.sort(0, { descending: true }).values),
    one(matrix, (x) => x.median()),
    one(matrix, (x) => x.median(1, { keepdim: true }).values),
    one(matrix, (x) => x.nanmedian(0).values),
    two(
      (x, q) => x.quantile(q, 1),
      matrix,
      () => leaf([0.2, 0.55, 0.9]),
    ),
  ],
  topk: [
    one(matrix, (x) => x.topk(2, 1).values),
    one(matrix, (x) => x.topk(2, 0, { largest: false }).values),
  ],
  cumsum: [one(matrix, (x) => x.cumsum(1))],
  cumprod: [
    one(matrix, (x) => cumprod(x, 1)),
    one(
      () => leaf([1.5, 0, 2, 3]),
      (x) => cumprod(x, 0),
    ),
  ],

  matmul: [
    two(
      (a, b) => a.matmul(b),
      matrix,
      () => normal(4, 2),
    ),
    two(
      (a, b) => a.matmul(b),
      matrix,
      () => normal(4),
    ),
    two(
      (a, b) => a.matmul(b),
      () => normal(4),
      () => normal(2, 4, 3),
    ),
    two(
      (a, b) => a.matmul(b),
      () => normal(2, 1, 3, 4),
      () => normal(5, 4, 2),
    ),
    two(
      (a, b) => a.matmul(b),
      () => normal(4),
      () => normal(4),
    ),
  ],
  linear: [
    {
      fn: (x, weight, bias) => linear(x as Tensor, weight as Tensor, bias as Tensor),
      inputs: () => [normal(2, 3, 4), normal(5, 4), normal(5)],
    },
    two(
      (x, weight) => linear(x, weight),
      matrix,
      () => normal(2, 4),
    ),
  ],
  conv2d: [
    { stride: 1, padding: 0, dilation: 1, groups: 1 },
    { stride: 2, padding: 1, dilation: 1, groups: 2 },
    { stride: [2, 1], padding: [0, 2], dilation: [1, 2], groups: 1 },
  ].map((options) => ({
    fn: (x, weight, bias) => conv2d(x as Tensor, weight as Tensor, bias as Tensor, options),
    inputs: () => [pictures(), normal(4, 4 / options.groups, 3, 2), normal(4)],
  })),

  conv_transpose2d: [
    { stride: 1, padding: 0, groups: 1 },
    { stride: 2, padding: 1, outputPadding: 1, groups: 2 },
    { stride: [2, 1], padding: [0, 2], dilation: [1, 2], groups: 1 },
  ].map((options) => ({
    fn: (x, weight, bias) => convTranspose2d(x as Tensor, weight as Tensor, bias as Tensor, options),
    inputs: () => [normal(2, 4, 3, 4), normal(4, 4 / options.groups, 3, 2), normal(4)],
  })),
  interpolate2d: [
    one(pictures, (x) => interpolate(x, { size: [7, 4] })),
    one(pictures, (x) => interpolate(x, { scaleFactor: 1.7, mode: 'bilinear' })),
    one(pictures, (x) => interpolate(x, { size: [3, 9], mode: 'bilinear', alignCorners: true })),
  ],
  pixel_shuffle: [
    one(
      () => normal(2, 8, 2, 3),
      (x) => pixelShuffle(x, 2),
    ),
  ],
  pixel_unshuffle: [
    one(
      () => normal(2, 2, 4, 6),
      (x) => pixelUnshuffle(x, 2),
    ),
  ],
  grid_sample: (['zeros', 'border', 'reflection'] as const).flatMap((paddingMode) => [
    two(
      (x, grid) => gridSample(x, grid, { paddingMode, alignCorners: paddingMode === 'border' }),
      () => normal(1, 2, 4, 5),
      () =>
        leaf([
          [
            [
              [0.31, -0.42],
              [1.37, 0.23],
            ],
            [
              [-0.78, 0.87],
              [-1.24, -1.43],
            ],
          ],
        ]),
    ),
    one(
      () => normal(1, 2, 4, 5),
      (x) =>
        gridSample(
          x,
          plain([
            [
              [
                [0.31, -0.42],
                [1.37, 0.23],
              ],
            ],
          ]),
          { mode: 'nearest', paddingMode },
        ),
    ),
  ]),

  max_pool2d: [
    one(pictures, (x) => maxPool2d(x, 2)),
    one(pictures, (x) => maxPool2d(x, 3, { stride: 2, padding: 1, ceilMode: true })),
  ],
  adaptive_max_pool2d: [one(pictures, (x) => adaptiveMaxPool2d(x, [2, 3]))],
  avg_pool2d: [
    one(pictures, (x) => avgPool2d(x, 2)),
    one(pictures, (x) => avgPool2d(x, 3, { stride: 2, padding: 1, countIncludePad: false })),
  ],
  adaptive_avg_pool2d: [one(pictures, (x) => adaptiveAvgPool2d(x, [2, 4]))],

  batch_norm: [
    normalisation((x, weight, bias) => batchNorm(x, { weight, bias, training: true }), 4),
    normalisation(
      (x, weight, bias) =>
        batchNorm(x, { weight, bias, runningMean: plain([0, 1, 2, 3]), runningVar: plain([1, 2, 1, 3]) }),
      4,
    ),
    {
      fn: (x, residual) =>
        batchNorm(x as Tensor, { training: true, activation: 'relu', residual: residual as Tensor }),
      inputs: () => [pictures(), pictures()],
    },
  ],
  layer_norm: [
    normalisation((x, weight, bias) => layerNorm(x, [6], { weight, bias }), 6),
    one(matrix, (x) => layerNorm(x, [3, 4])),
  ],
  group_norm: [normalisation((x, weight, bias) => groupNorm(x, 2, { weight, bias }), 4)],
  softmax: [one(matrix, (x) => softmax(x, 1)), one(pictures, (x) => softmax(x, 1))],
  log_softmax: [one(matrix, (x) => logSoftmax(x, 0)), one(pictures, (x) => logSoftmax(x, 1))],

  cross_entropy: reductions.map((reduction) =>
    one(
      () => normal(2, 3, 2),
      (x) =>
        crossEntropy(
          x,
          labels([
            [0, 1],
            [2, -100],
          ]),
          { weight: plain([1, 2, 0.5]), labelSmoothing: 0.2, reduction },
        ),
    ),
  ),
  nll_loss: reductions.map((reduction) =>
    one(
      () => normal(2, 3, 2),
      (x) =>
        nllLoss(
          x,
          labels([
            [0, 1],
            [2, -100],
          ]),
          { weight: plain([1, 2, 0.5]), reduction },
        ),
    ),
  ),
  cross_entropy_soft: reductions.map((reduction) =>
    two(
      (x, target) => crossEntropy(x, target, { weight: plain([1, 2, 0.5]), labelSmoothing: 0.1, reduction }),
      () => normal(2, 3, 2),
      () => normal(2, 3, 2),
    ),
  ),
  binary_cross_entropy_with_logits: reductions.map((reduction) =>
    two((x, target) =>
      binaryCrossEntropyWithLogits(x, target, {
        weight: plain([1, 2, 0.5]),
        posWeight: plain([2, 1, 3]),
        reduction,
      }),
    ),
  ),
  binary_cross_entropy: reductions.map((reduction) =>
    two(
      (x, target) => binaryCrossEntropy(x, target, { weight: plain([1, 2, 0.5, 1]), reduction }),
      () => leaf([0.2, 0.7, 0.5, 0.9]),
      () => leaf([0.1, 0.8, 1, 0.3]),
    ),
  ),
  dropout: [
    one(matrix, (x) => {
      manualSeed(3)
      return dropout(x, 0.4)
    }),
  ],
}

function normalisation(fn: (x: Tensor, weight: Tensor, bias: Tensor) => Tensor, size: number): GradientCase {
  return { fn: fn as GradientCase['fn'], inputs: () => [pictures(), normal(size), normal(size)] }
}

function filledRow(x: Tensor): Tensor {
  x.select(0, 1).fill_(2)
  return x.mul(x)
}

function changedThroughView(x: Tensor, y: Tensor): Tensor {
  const seen = x.view(6)
  x.select(0, 1).mul_(y.select(0, 0))
  return seen.mul(2)
}

function expandedThenChanged(x: Tensor): Tensor {
  const wide = x.unsqueeze(0).expand(2, 3, 4)
  x.exp_()
  return wide.mul(2)
}

/** Ops of the table that no gradient flows through, by the reason. */
export const notDifferentiable: Record<string, readonly string[]> = {
  'the result is true or false': [
    'isnan',
    'isinf',
    'isfinite',
    'logical_not',
    'eq',
    'ne',
    'lt',
    'le',
    'gt',
    'ge',
    'logical_and',
    'logical_or',
    'logical_xor',
    'any',
    'all',
  ],
  'the result is a place or a class': ['argmax_all', 'argmin_all', 'nonzero', 'one_hot'],
  'constant between jumps, and not recorded, as in PyTorch': ['floor_divide'],
  'it makes a tensor out of nothing': [
    'empty',
    'empty_like',
    'full',
    'arange',
    'linspace',
    'eye',
    'randperm',
  ],
  'it takes bytes': ['normalize_images', 'warp_pictures'],
  'it overwrites with random numbers: the gradient of the old value is zero, as after fill_': [
    'uniform_',
    'normal_',
    'bernoulli_',
    'random_',
  ],
  'it is detach()': ['alias'],
  'it runs where there is a second device: test/gpu': ['to_device'],
  'it runs only where nothing is recorded; where it is, the op without underscore runs': ['pow_'],
  'it runs only where nothing is recorded; where it is, its parts run one by one': ['conv2d_norm'],
  'it is the step of an optimizer': [
    'sgd_step_',
    'adam_step_',
    'rmsprop_step_',
    'adagrad_step_',
    'lamb_step_',
  ],
}
