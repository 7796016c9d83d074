import { type BackwardFunction, isTracked } from '../graph.ts'
import { recordInPlace, requireChangeable } from '../inPlace.ts'
import { changedInPlace } from '../methods.ts'
import type { Tensor } from '../tensor.ts'

/**
 * Changes `target` in place by running `change`, and records it. `backward` gives the gradient of the old value of `target`
 * first, then those of `others`, the other tensors that the change uses; `saved` as in `record`.
 */
export function changeRecorded(
  name: string,
  target: Tensor,
  others: readonly (Tensor | null)[],
  saved: readonly (Tensor | null)[],
  change: () => void,
  backward: BackwardFunction,
): void {
  requireChangeable(name, target, others)
  const tracked = isTracked([target, ...others])
  change()
  changedInPlace(target)
  if (tracked) recordInPlace(target, name, others, saved, backward)
}
