import { dtypeCode } from '../dtype.ts'
import { ConfigError, ShapeError } from '../errors.ts'
import { record } from '../graph.ts'
import { call, callInPlace } from '../native.ts'
import type { Tensor } from '../tensor.ts'

// A factor for every element of `shape`: 0 with probability p, else 1 / (1 - p). PyTorch's draws, in logical order.
function randomScale(x: Tensor, shape: readonly number[], p: number): Tensor {
  const scale = call('empty', shape, dtypeCode(x.dtype))
  callInPlace('bernoulli_', scale, 1 - p)
  if (p < 1) callInPlace('div_', scale, 1 - p)
  return scale
}

function drop(name: string, x: Tensor, shape: readonly number[], p: number, training: boolean): Tensor {
  if (!(p >= 0 && p <= 1)) throw new ConfigError(`${name}: the probability must be in [0, 1], got ${p}`)
  if (!training || p === 0) return x
  const scale = randomScale(x, shape, p)
  return record(call('mul', x, scale), name, [x], [scale], (g, node) => [call('mul', g, node.saved(0))])
}

/**
 * Sets elements to 0 with probability `p` and scales the others by 1 / (1 - p), when training; x itself otherwise
 * (Srivastava et al. 2014).
 */
export function dropout(x: Tensor, p = 0.5, training = true): Tensor {
  return drop('dropout', x, x.shape, p, training)
}

/** Drops whole channels of x [N, C, …] (Tompson et al. 2015). */
export function dropout2d(x: Tensor, p = 0.5, training = true): Tensor {
  if (x.ndim < 3) throw new ShapeError(`dropout2d: expected [N, C, …], got [${x.shape.join(', ')}]`)
  const shape = x.shape.map((size, i) => (i < 2 ? size : 1))
  return drop('dropout2d', x, shape, p, training)
}
