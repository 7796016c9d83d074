import { requireTensor, show } from '../../engine/check.ts'
import { ConfigError, ShapeError } from '../../engine/errors.ts'
import type { Reduction, Tensor } from '../../engine/index.ts'

/** Element against element: `[N, 1]` against `[N]` would broadcast to `[N, N]` and train on nonsense. */
export function checkSameShape(owner: string, output: Tensor, target: Tensor): void {
  requireTensor(owner, 'output', output)
  requireTensor(owner, 'target', target)
  const same =
    output.shape.length === target.shape.length && output.shape.every((size, i) => size === target.shape[i])
  if (same) return
  throw new ShapeError(
    `${owner}: output [${output.shape.join(', ')}] and target [${target.shape.join(', ')}] must have the same shape; ` +
      'use squeeze, unsqueeze or view on one of them',
  )
}

/** Applies a reduction to the losses of single elements. */
export function reduce(owner: string, losses: Tensor, reduction: Reduction): Tensor {
  if (reduction === 'none') return losses
  if (reduction === 'mean') return losses.mean()
  if (reduction === 'sum') return losses.sum()
  throw new ConfigError(`${owner}: unknown reduction ${show(reduction)}; choose none, mean or sum`)
}
