import { engineState } from './state.ts'
import { Tensor } from './tensor.ts'

/**
 * Adds methods to every tensor. An operation's file declares their types by merging into the class
 * (`declare module '../tensor.ts' { interface Tensor { … } }`), so that adding an operation touches one file.
 */
export function addMethods(methods: Partial<Tensor> & ThisType<Tensor>): void {
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(Tensor.prototype, name, { value, writable: true, configurable: true })
  }
}

/** `f(2, 3)` and `f([2, 3])` alike. */
export function numberList(first: number | readonly number[], rest: readonly number[]): readonly number[] {
  return typeof first === 'number' ? [first, ...rest] : first
}

/** Marks an in-place change of `tensor`'s memory, for every view of it. */
export function changedInPlace(tensor: Tensor): void {
  tensor.versionCounter.value++
}

/** Ties the result of a view operation to what it looks at: version counter, and history after in-place changes. */
export function asViewOf(view: Tensor, base: Tensor): Tensor {
  const counter = base.versionCounter
  view.versions = counter
  view.viewBase = base.viewBase ?? base
  view.viewHistory = base.viewHistory >= 0 && engineState().gradEnabled ? counter.histories : -1
  return view
}
