import { raised } from '../autocast.ts'
import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** exp(x) / sum(exp(x)) along a dimension. */
    softmax(dim: number): Tensor
    /** The logarithm of softmax, without overflow. */
    logSoftmax(dim: number): Tensor
  }
}

/** exp(x) / sum(exp(x)) along `dim`. */
export function softmax(x: Tensor, dim = -1): Tensor {
  x = raised(x)
  const out = call('softmax', x, dim)
  return record(out, 'softmax', [x], [out], (g, node) => [call('softmax_backward', g, node.saved(0), dim)])
}

/** The logarithm of softmax along `dim`, without overflow. */
export function logSoftmax(x: Tensor, dim = -1): Tensor {
  x = raised(x)
  const out = call('log_softmax', x, dim)
  return record(out, 'logSoftmax', [x], [out], (g, node) => [
    call('log_softmax_backward', g, node.saved(0), dim),
  ])
}

addMethods({
  softmax(dim) {
    return softmax(this, dim)
  },
  logSoftmax(dim) {
    return logSoftmax(this, dim)
  },
})
