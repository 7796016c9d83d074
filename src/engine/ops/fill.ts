import { AutogradError } from '../errors.ts'
import { edgeOf, GraphNode, isTracked } from '../graph.ts'
import { addMethods, changedInPlace } from '../methods.ts'
import { call, callInPlace } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { reduceLike } from './binary.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** Sets every element. In place. */
    fill_(value: number): this
    /** Sets every element to 0. In place. */
    zero_(): this
    /** Copies values (broadcast, converted) into this tensor. In place. */
    copy_(source: Tensor): this
  }
}

/** Leaves may not be overwritten while operations are recorded. */
export function requireChangeable(name: string, target: Tensor): void {
  if (target.leafRequiresGrad && isTracked([target])) {
    throw new AutogradError(
      `${name}: a leaf that requires gradients cannot be changed in place while operations are recorded; do it inside noGrad`,
    )
  }
}

function overwrite(name: string, target: Tensor): void {
  changedInPlace(target)
  // What was computed before no longer reaches this value.
  if (target.gradFn !== null && isTracked([target])) {
    target.gradFn = new GraphNode(name, [target.gradFn], [], (g) => [call('mul', g, 0)])
  }
}

addMethods({
  fill_(value) {
    requireChangeable('fill_', this)
    callInPlace('fill_', this, Number(value))
    overwrite('fill_', this)
    return this
  },
  zero_() {
    return this.fill_(0)
  },
  copy_(source) {
    requireChangeable('copy_', this)
    callInPlace('copy_', this, source)
    if (isTracked([source])) {
      changedInPlace(this)
      const { shape, dtype } = source
      this.gradFn = new GraphNode('copy_', [edgeOf(source)], [], (g) => [reduceLike(g, shape, dtype)])
    } else overwrite('copy_', this)
    return this
  },
})
