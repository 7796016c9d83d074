import { requireFunction, requireNumber, requireOptions, requireTensor, show } from '../engine/check.ts'
import { ConfigError, ShapeError } from '../engine/errors.ts'
import { noGrad, type Tensor, tensor as tensorOf } from '../engine/index.ts'
import { erfInverse, normalCdf } from './normal.ts'

/** What follows a layer; its gain keeps the variance of activations the same from layer to layer. */
export type Nonlinearity = 'linear' | 'sigmoid' | 'tanh' | 'relu' | 'leakyRelu' | 'selu'

/** Which variance stays the same: that of activations (fanIn) or that of gradients (fanOut). */
export type FanMode = 'fanIn' | 'fanOut'

export interface KaimingOptions {
  /** Negative slope of the leaky ReLU that follows (only for 'leakyRelu'). Default 0. */
  a?: number
  /** Default 'fanIn'. */
  mode?: FanMode
  /** Default 'leakyRelu'. */
  nonlinearity?: Nonlinearity
}

export interface XavierOptions {
  /** Factor on the deviation, see {@link calculateGain}. Default 1. */
  gain?: number
}

export interface TruncNormalOptions {
  /** Default 0. */
  mean?: number
  /** Standard deviation before truncation. Default 1. */
  std?: number
  /** Lower bound (not in deviations). Default -2. */
  a?: number
  /** Upper bound (not in deviations). Default 2. */
  b?: number
}

let skipped = 0

/**
 * Builds modules without drawing starting values: initialisers inside do nothing, and parameters stay as they were made, zeros
 * mostly. For modules whose weights are loaded right afterwards; large ones are made many times faster.
 *
 * @throws ConfigError where `build` is not a function
 * @example
 * const model = nn.init.skipInit(() => models.vgg16())
 * await loadWeights(model, 'vgg16.pth')
 */
export function skipInit<Result>(build: () => Result): Result {
  requireFunction('skipInit', 'argument', build)
  skipped++
  try {
    return build()
  } finally {
    skipped--
  }
}

/** Fills with draws from the uniform distribution on [a, b). Returns the tensor, as all initialisers do. */
export function uniform_(tensor: Tensor, a = 0, b = 1): Tensor {
  return fill(tensor, () => tensor.uniform_(a, b))
}

/** Fills with draws from the normal distribution. */
export function normal_(tensor: Tensor, mean = 0, std = 1): Tensor {
  return fill(tensor, () => tensor.normal_(mean, std))
}

/** Fills with one value. */
export function constant_(tensor: Tensor, value: number): Tensor {
  return fill(tensor, () => tensor.fill_(value))
}

/** Fills with zeros. */
export function zeros_(tensor: Tensor): Tensor {
  return constant_(tensor, 0)
}

/** Fills with ones. */
export function ones_(tensor: Tensor): Tensor {
  return constant_(tensor, 1)
}

/**
 * Uniform in ±gain · √(6 / (fanIn + fanOut)) (Glorot and Bengio 2010).
 * @throws ShapeError for a tensor of fewer than two dimensions
 */
export function xavierUniform_(tensor: Tensor, options: XavierOptions | number = {}): Tensor {
  const bound = Math.sqrt(3) * xavierDeviation(tensor, options)
  return uniform_(tensor, -bound, bound)
}

/** Normal with deviation gain · √(2 / (fanIn + fanOut)) (Glorot and Bengio 2010). */
export function xavierNormal_(tensor: Tensor, options: XavierOptions | number = {}): Tensor {
  return normal_(tensor, 0, xavierDeviation(tensor, options))
}

/**
 * Uniform in ±gain · √(3 / fan) (He et al. 2015).
 * @throws ShapeError for a tensor of fewer than two dimensions
 */
export function kaimingUniform_(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingDeviation(tensor, options)
  return uniform_(tensor, -bound, bound)
}

/** Normal with deviation gain / √fan (He et al. 2015). */
export function kaimingNormal_(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  return normal_(tensor, 0, kaimingDeviation(tensor, options))
}

/**
 * Normal, cut to [a, b], by PyTorch's method (uniform draws through the inverse of the distribution's cumulative function).
 */
export function truncNormal_(tensor: Tensor, options: TruncNormalOptions = {}): Tensor {
  requireOptions('truncNormal_', options, ['mean', 'std', 'a', 'b'])
  const { mean = 0, std = 1, a = -2, b = 2 } = options
  for (const [name, value] of Object.entries({ mean, std, a, b })) requireNumber('truncNormal_', name, value)
  if (!(a < b) || !(std > 0)) {
    throw new ConfigError(`truncNormal_: needs a < b and std > 0, got a ${a}, b ${b}, std ${std}`)
  }
  const lower = normalCdf((a - mean) / std)
  const upper = normalCdf((b - mean) / std)
  return fill(tensor, () => {
    tensor.uniform_(2 * lower - 1, 2 * upper - 1)
    const draws = tensor.contiguous().dataSync() as ArrayLike<number>
    const values = new Float64Array(draws.length)
    for (let i = 0; i < draws.length; i++) {
      values[i] = Math.min(Math.max(erfInverse(draws[i]!) * std * Math.SQRT2 + mean, a), b)
    }
    tensor.copy_(tensorOf(values, { shape: tensor.shape, dtype: 'float64' }))
  })
}

/** The factor by which a nonlinearity shrinks the deviation; `slope` is leakyRelu's (default 0.01). PyTorch's table. */
export function calculateGain(nonlinearity: Nonlinearity, slope = 0.01): number {
  requireNumber('calculateGain', 'slope', slope)
  switch (nonlinearity) {
    case 'linear':
    case 'sigmoid':
      return 1
    case 'tanh':
      return 5 / 3
    case 'relu':
      return Math.SQRT2
    case 'leakyRelu':
      return Math.sqrt(2 / (1 + slope ** 2))
    case 'selu':
      return 3 / 4
    default:
      throw new ConfigError(
        `unknown nonlinearity ${show(nonlinearity)}; choose linear, sigmoid, tanh, relu, leakyRelu or selu`,
      )
  }
}

/** How many inputs feed one output (fanIn) and how many outputs one input feeds (fanOut), for weights `[out, in, …kernel]`. */
export function calculateFanInAndFanOut(tensor: Tensor): { fanIn: number; fanOut: number } {
  requireTensor('init', 'weight', tensor)
  const [outputs, inputs, ...kernel] = tensor.shape
  if (outputs === undefined || inputs === undefined) {
    throw new ShapeError(
      `fan in and fan out need a weight of at least two dimensions, got shape [${tensor.shape.join(', ')}]`,
    )
  }
  const receptiveField = kernel.reduce((product, size) => product * size, 1)
  return { fanIn: inputs * receptiveField, fanOut: outputs * receptiveField }
}

function xavierDeviation(tensor: Tensor, options: XavierOptions | number): number {
  if (typeof options !== 'number') requireOptions('init', options, ['gain'])
  const gain = typeof options === 'number' ? options : (options.gain ?? 1)
  requireNumber('init', 'gain', gain)
  const { fanIn, fanOut } = calculateFanInAndFanOut(tensor)
  return gain * Math.sqrt(2 / (fanIn + fanOut))
}

function kaimingDeviation(tensor: Tensor, options: KaimingOptions): number {
  requireOptions('init', options, ['a', 'mode', 'nonlinearity'])
  const { a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu' } = options
  requireNumber('init', 'slope a', a)
  if (mode !== 'fanIn' && mode !== 'fanOut') {
    throw new ConfigError(`unknown fan mode ${show(mode)}; choose fanIn or fanOut`)
  }
  return calculateGain(nonlinearity, a) / Math.sqrt(calculateFanInAndFanOut(tensor)[mode])
}

function fill(tensor: Tensor, write: () => unknown): Tensor {
  requireTensor('init', 'first argument', tensor)
  if (skipped === 0) noGrad(write)
  return tensor
}
