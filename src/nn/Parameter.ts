import { requireOptions, requireTensor } from '../engine/check.ts'
import { Tensor } from '../engine/index.ts'
import { engineOrigin, handleOnSameMemory } from '../engine/tensor.ts'

/**
 * A tensor that a module trains: in a field of a module it is found by `parameters()`, saved by `stateDict()` and moved by `to()`.
 * Shares memory with `data`. Lives as long as something refers to it: a `scope` does not free it.
 *
 * @example scale = new nn.Parameter(ones([8]))
 * @throws AutogradError for a dtype that has no gradients
 */
export class Parameter extends Tensor {
  constructor(data: Tensor, options: { requiresGrad?: boolean } = {}) {
    super(handleOnSameMemory(checked(data)), engineOrigin)
    requireOptions('Parameter', options, ['requiresGrad'])
    this.keep()
    this.versions = data.versionCounter
    this.requiresGrad_(options.requiresGrad ?? true)
  }
}

function checked(data: Tensor): Tensor {
  requireTensor('Parameter', 'first argument', data)
  return data
}
