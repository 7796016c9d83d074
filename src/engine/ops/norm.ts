import { ConfigError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { changedInPlace } from '../methods.ts'
import { call, callMany } from '../native.ts'
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
  const { training = false, momentum = 0.1, eps = 1e-5, activation } = options
  const weight = options.weight ?? null
  const bias = options.bias ?? null
  const residual = options.residual ?? null
  const runningMean = options.runningMean ?? null
  const runningVar = options.runningVar ?? null
  if (activation !== undefined && activation !== 'relu') {
    throw new ConfigError(`batchNorm: the activation can be 'relu' or left out, got ${JSON.stringify(activation)}`)
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
