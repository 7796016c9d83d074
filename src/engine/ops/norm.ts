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

/**
 * Batch normalisation (Ioffe and Szegedy 2015) of x [N, C, …] over all dimensions but C; optionally with a residual sum
 * and a ReLU in the same pass over memory: relu(norm(x) + residual).
 */
export function batchNorm(x: Tensor, options: BatchNormOptions = {}): Tensor {
  requireOptions('batchNorm', options)
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

// Gradients of [x, weight, bias] from an op that gives only those asked for.
function affineGradients(
  results: readonly Tensor[],
  wantInput: boolean,
  wantParameters: boolean,
): (Tensor | null)[] {
  const [first = null, second = null, third = null] = results
  if (!wantParameters) return [first, null, null]
  return wantInput ? [first, second, third] : [null, first, second]
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
  requireOptions('layerNorm', options)
  const { eps = 1e-5 } = options
  const shape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape
  const weight = options.weight ?? null
  const bias = options.bias ?? null
  const [out, mean, inverseDeviation] = callMany('layer_norm', x, shape, weight, bias, eps) as [
    Tensor,
    Tensor,
    Tensor,
  ]
  const inputs = [x, weight, bias]
  if (!isTracked(inputs)) return out
  return record(out, 'layerNorm', inputs, [x, weight, mean, inverseDeviation], (g, node) => {
    const [wantInput, wantParameters] = [node.needs(0), node.needs(1) || node.needs(2)]
    const results = callMany(
      'layer_norm_backward',
      g,
      node.saved(0),
      shape,
      weight ? node.saved(1) : null,
      node.saved(2),
      node.saved(3),
      wantInput,
      wantParameters,
    )
    return affineGradients(results, wantInput, wantParameters)
  })
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
  requireOptions('groupNorm', options)
  const { eps = 1e-5 } = options
  const weight = options.weight ?? null
  const bias = options.bias ?? null
  const [out, mean, inverseDeviation] = callMany('group_norm', x, groups, weight, bias, eps) as [
    Tensor,
    Tensor,
    Tensor,
  ]
  const inputs = [x, weight, bias]
  if (!isTracked(inputs)) return out
  return record(out, 'groupNorm', inputs, [x, weight, mean, inverseDeviation], (g, node) => {
    const [wantInput, wantParameters] = [node.needs(0), node.needs(1) || node.needs(2)]
    const results = callMany(
      'group_norm_backward',
      g,
      node.saved(0),
      groups,
      weight ? node.saved(1) : null,
      node.saved(2),
      node.saved(3),
      wantInput,
      wantParameters,
    )
    return affineGradients(results, wantInput, wantParameters)
  })
}
