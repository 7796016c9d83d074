import { requireHolds, requireNumber, requireTensor } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { isTracked } from '../graph.ts'
import { recordInPlace, requireChangeable } from '../inPlace.ts'
import { addMethods, changedInPlace } from '../methods.ts'
import { callInPlace, callOn } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { reduceLike } from './binary.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** Sets every element. In place. A DTypeError where the dtype cannot hold `value`: see `tensor`. */
    fill_(value: number): this
    /** Sets every element to 0. In place. */
    zero_(): this
    /** Copies values (broadcast, converted) into this tensor. In place. */
    copy_(source: Tensor): this
  }
}

function zeros(gradient: Tensor): Tensor {
  return callOn(gradient, 'full', gradient.shape, 0, dtypeCode(gradient.dtype))
}

/** Notes that all values of `target` have been replaced: nothing computed before reaches them any more. */
export function overwritten(name: string, target: Tensor): void {
  changedInPlace(target)
  if (isTracked([target])) recordInPlace(target, name, [], [], (g) => [zeros(g)])
}

addMethods({
  fill_(value) {
    requireChangeable('fill_', this)
    if (typeof value !== 'boolean') requireNumber('fill_', 'value', value)
    requireHolds('fill_', Number(value), this.dtype)
    callInPlace('fill_', this, Number(value))
    overwritten('fill_', this)
    return this
  },
  zero_() {
    return this.fill_(0)
  },
  copy_(source) {
    requireTensor('copy_', 'source', source)
    requireChangeable('copy_', this, [source])
    callInPlace('copy_', this, source)
    changedInPlace(this)
    if (isTracked([this, source])) {
      const { shape, dtype } = source
      recordInPlace(this, 'copy_', [source], [], (g, node) => [
        node.needs(0) ? zeros(g) : null,
        node.needs(1) ? reduceLike(g, shape, dtype) : null,
      ])
    }
    return this
  },
})
