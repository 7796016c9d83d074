import type { Tensor } from '../engine/index.ts'
import type { Module } from './Module.ts'

// What one layer hands to the next is seen by those two only, as long as both are the library's own and nobody watches
// them with hooks. JavaScript tells nobody that a tensor has gone out of use; models that pass their tensors on by the
// functions here do, so that training keeps what the backward pass needs for as long as it needs it, and inference
// keeps nothing.

const discreetClasses = new Set<unknown>()

/** Says of classes that their `forward` shows its tensors to nobody but the module's children, and keeps none. */
export function markDiscreet(...classes: readonly unknown[]): void {
  for (const each of classes) discreetClasses.add(each)
}

const leafClasses = new Set<unknown>()

/** The same of classes whose modules have no children: asked of every layer at every step. */
export function markDiscreetLeaves(...classes: readonly unknown[]): void {
  for (const each of classes) leafClasses.add(each)
}

/** Whether nobody sees the tensors that flow through `module`: it and all its children are discreet and without hooks. */
export function isDiscreet(module: Module): boolean {
  const Class = module.constructor
  // A hook puts a `forward` of its own in front of the class's.
  if (module.forward !== (Class.prototype as Module).forward) return false
  return leafClasses.has(Class) || (discreetClasses.has(Class) && module.children().every(isDiscreet))
}

/** Frees `x`, which nobody sees any more, unless it lives on as `output` or `output` is a view. */
export function letGo(x: Tensor, output: Tensor): void {
  if (output !== x && output.viewBase === null) x.dispose()
}

/** A piece of a model: from one tensor to the next. */
export interface Step {
  forward(x: Tensor): Tensor
  /** Whether it shows its tensors to nobody. */
  discreet: boolean
}

// For runSteps and passThrough alike. Whole modules are asked, rather than made into steps: that runs at every layer.
function pass<Piece extends Pick<Step, 'forward'>>(
  pieces: Iterable<Piece>,
  isPieceDiscreet: (piece: Piece) => boolean,
  x: Tensor,
  own: boolean,
): Tensor {
  let mayGo = own
  for (const piece of pieces) {
    const discreet = isPieceDiscreet(piece)
    const output = piece.forward(x)
    if (mayGo && discreet) letGo(x, output)
    // What a piece returns unchanged belongs to whom it belonged before.
    mayGo = discreet && (output !== x || mayGo)
    x = output
  }
  return x
}

/**
 * Runs `x` through `steps` in order. A tensor that one discreet step made and another took is let go. `own` says that `x`
 * itself was made by the caller, who shows it to nobody else.
 */
export function runSteps(steps: Iterable<Step>, x: Tensor, own = false): Tensor {
  return pass(steps, (step) => step.discreet, x, own)
}

/** {@link runSteps} of whole modules. */
export function passThrough(modules: Iterable<Module>, x: Tensor, own = false): Tensor {
  return pass(modules, isDiscreet, x, own)
}
