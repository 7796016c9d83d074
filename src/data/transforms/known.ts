import type { BatchTransform, PictureTransform } from './Transform.ts'

type Step = PictureTransform | BatchTransform

const known = new WeakSet<Step>()
const numbers = new WeakMap<Step, number>()
let count = 0

/** Marks a transform of this library whose name and parameters say all about it; names alone can be anybody's. */
export function markKnown<S extends Step>(step: S): S {
  known.add(step)
  return step
}

export function isMarked(step: Step): boolean {
  return known.has(step)
}

/** What tells transforms apart in this process: name and parameters where these say all, else the transform itself. */
export function identityOf(step: Step): unknown {
  if (isMarked(step)) return [step.name, step.parameters]
  const number = numbers.get(step) ?? ++count
  numbers.set(step, number)
  return number
}
