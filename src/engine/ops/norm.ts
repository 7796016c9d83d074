import { requireOptions, show } from '../check.ts'
import { ConfigError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { changedInPlace } from '../methods.ts'
import { callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'

export interface BatchNormOptions {
  /** Running statistics [C]: updated in training, used in evaluation. */
  runningMean?: Tensor | null | undefined
  runningVar?: Tensor | null | undefined
  /** Scale and shift [C]. */
  weight?: Tensor | null | undefined
  bias?: Tensor | null | undefined
  /** Normalise by the batch's own statistics. Default false: by the running ones. */
  training?: boolean | undefined
  /** Share of the batch in the running statistics. Default 0.1. */
  momentum?: number | undefined
  /** Added to the variance. Default 1e-5. */
  eps?: number | undefined
  /** Fused into the same pass. Default none. */
  activation?: 'relu' | undefined
  /** Added before the activation, as at the end of a residual block. */
  residual?: Tensor | null | undefined
}

const BATCH_NORM_OPTIONS = [
  ...['runningMean', 'runningVar', 'weight', 'bias', 'training', 'momentum', 'eps'],
  ...['activation', 'residual'],
]

/**
 * Batch normalisation (Ioffe and Szegedy 2015) of x [N, C, …] over all dimensions but C; optionally with a residual sum
 * and a ReLU in the same pass over memory: relu(norm(x) + residual).
 */
export function batchNorm(x: Tensor, options: BatchNormOptions = {}): Tensor {
  requireOptions('batchNorm', options, BATCH_NORM_OPTIONS)
  const { training = false, momentum = 0.1, eps = 1e-5, activation } = options
  const weight = options.weight ?? null
  const bias = options.bias ?? null
  const residual = options.residual ?? null
  const runningMean = options.runningMean ?? null
  const runningVar = options.runningVar ?? null
  if (activation !== undefined && activation !== 'relu') {
    throw new ConfigError(`batchNorm: the activation can be 'relu' or left out, got ${show(activation)}`)
  }
  const relu = activation === 'relu'
  const [out, mean, inverseDeviation] = callMany(
    'batch_norm',
    x,
    weight,
    bias,
    runningMean,
    runningVar,
    residual,
    training,
    momentum,
    eps,
    relu,
  ) as [Tensor, Tensor, Tensor]
  if (training) {
    if (runningMean) changedInPlace(runningMean)
    if (runningVar) changedInPlace(runningVar)
  }
  const inputs = [x, weight, bias, residual]
  if (!isTracked(inputs)) return out
  // With a residual the ReLU's gate cannot be worked out again from x: it is read off the output.
  const gate = relu && residual ? out : null
  return record(out, 'batchNorm', inputs, [x, weight, bias, mean, inverseDeviation, gate], (g, node) => {
    const wantParameters = node.needs(1) || node.needs(2)
    const results = callMany(
      'batch_norm_backward',
      g,
      node.saved(0),
      gate ? node.saved(5) : null,
      weight ? node.saved(1) : null,
      bias ? node.saved(2) : null,
      node.saved(3),
      node.saved(4),
      training,
      relu,
      node.needs(0),
      wantParameters,
    )
    let next = 0
    const toInput = node.needs(0) ? results[next++] : null
    const toWeight = wantParameters ? results[next++] : null
    const toBias = wantParameters ? results[next++] : null
    const toResidual = gate ? results[next] : g
    return [toInput, toWeight, toBias, residual ? toResidual : null]
  })
}

export interface LayerNormOptions {
  /** Scale and shift, of the normalised shape. */
  weight?: Tensor | null | undefined
  bias?: Tensor | null | undefined
  /** Added to the variance. Default 1e-5. */
  eps?: number | undefined
}

/**
 * Layer normalisation (Ba et al. 2016) over the last dimensions of x, which must be `normalizedShape`: each row by its
 * own mean and variance, then scaled and shifted.
 * @throws ShapeError, DTypeError.
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: number | readonly number[],
  options: LayerNormOptions = {},
): Tensor {
  requireOptions('layerNorm', options, ['weight', 'bias', 'eps'])
  const shape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape
  return normByOwn('layerNorm', 'layer_norm', x, shape, options)
}

export interface GroupNormOptions {
  /** Scale and shift [C]. */
  weight?: Tensor | null | undefined
  bias?: Tensor | null | undefined
  /** Added to the variance. Default 1e-5. */
  eps?: number | undefined
}

/**
 * Group normalisation (Wu and He 2018) of x [N, C, …]: the channels of each picture in `groups` groups, each by its own
 * mean and variance; then scaled and shifted by channel.
 * @throws ShapeError, DTypeError.
 */
export function groupNorm(x: Tensor, groups: number, options: GroupNormOptions = {}): Tensor {
  requireOptions('groupNorm', options, ['weight', 'bias', 'eps'])
  return normByOwn('groupNorm', 'group_norm', x, groups, options)
}

/** By the statistics of what `by` sets apart, which are nobody's but the op's. */
function normByOwn(
  name: string,
  op: string,
  x: Tensor,
  by: number | readonly number[],
  { weight = null, bias = null, eps = 1e-5 }: LayerNormOptions,
): Tensor {
  const [out, mean, inverseDeviation] = callMany(op, x, by, weight, bias, eps) as [Tensor, Tensor, Tensor]
  const inputs = [x, weight, bias]
  if (!isTracked(inputs)) return out
  return record(out, name, inputs, [x, weight, mean, inverseDeviation], (g, node) => {
    const [wantInput, wantParameters] = [node.needs(0), node.needs(1) || node.needs(2)]
    const scale = weight ? node.saved(1) : null
    const statistics = [node.saved(2), node.saved(3)] as const
    // Only those that are asked for.
    const results = callMany(
      `${op}_backward`,
      g,
      node.saved(0),
      by,
      scale,
      ...statistics,
      wantInput,
      wantParameters,
    )
    const toInput = wantInput ? results[0]! : null
    const [toWeight = null, toBias = null] = wantParameters ? results.slice(wantInput ? 1 : 0) : []
    return [toInput, toWeight, toBias]
  })
}
