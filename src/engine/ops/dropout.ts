import { requireTensor, show } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { ConfigError, ShapeError } from '../errors.ts'
import { record } from '../graph.ts'
import { call, callInPlace, callMany, callOn } from '../native.ts'
import type { Tensor } from '../tensor.ts'

function checkProbability(name: string, p: number): void {
  if (!(typeof p === 'number' && p >= 0 && p <= 1)) {
    throw new ConfigError(`${name}: the probability must be in [0, 1], got ${show(p)}`)
  }
}

/**
 * Sets elements to 0 with probability `p` and scales the others by 1 / (1 - p), when training; x itself otherwise
 * (Srivastava et al. 2014). The draws are those of PyTorch's CPU generator.
 * @throws ConfigError for a probability outside [0, 1]; DTypeError for integers.
 */
export function dropout(x: Tensor, p = 0.5, training = true): Tensor {
  checkProbability('dropout', p)
  if (!training || p === 0) return x
  const [out, mask] = callMany('dropout', x, p) as [Tensor, Tensor]
  return record(out, 'dropout', [x], [mask], (g, node) => [call('dropout_backward', g, node.saved(0), p)])
}

/**
 * Drops whole channels of x [N, C, …] (Tompson et al. 2015), when training; x itself otherwise.
 * @throws ConfigError for a probability outside [0, 1]; ShapeError for fewer than three dimensions.
 */
export function dropout2d(x: Tensor, p = 0.5, training = true): Tensor {
  checkProbability('dropout2d', p)
  requireTensor('dropout2d', 'input', x)
  if (x.ndim < 3) throw new ShapeError(`dropout2d: expected [N, C, …], got [${x.shape.join(', ')}]`)
  if (!training || p === 0) return x
  const shape = x.shape.map((size, i) => (i < 2 ? size : 1))
  // A factor for every channel. At p = 1 nothing is drawn, as in PyTorch.
  const scale =
    p === 1 ? callOn(x, 'full', shape, 0, dtypeCode(x.dtype)) : callOn(x, 'empty', shape, dtypeCode(x.dtype))
  if (p < 1) {
    callInPlace('bernoulli_', scale, 1 - p)
    callInPlace('div_', scale, 1 - p)
  }
  return record(call('mul', x, scale), 'dropout2d', [x], [scale], (g, node) => [
    call('mul', g, node.saved(0)),
  ])
}
