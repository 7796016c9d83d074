import { dtypeCode, isFloatingPoint } from './dtype.ts'
import { AutogradError, DTypeError } from './errors.ts'
import { type BackwardFunction, edgeOf, GraphNode, isTracked } from './graph.ts'
import { changedInPlace } from './methods.ts'
import { call, callInPlace, callOn } from './native.ts'
import { type Geometry, setViewRebaser, type Tensor } from './tensor.ts'

/**
 * Changes in place and their histories. A tensor that is no view takes a new place in the history itself. A view hands the
 * change on to what it looks at: the gradient of the whole passes through the change where the view lies, and every
 * view learns of it when its history is asked for next.
 */

/**
 * @throws AutogradError when a change in place of `target` cannot be recorded: for leaves that require gradients, their
 * views, and views made inside noGrad. Call it only when the change has to be recorded.
 */
export function requireChangeable(
  name: string,
  target: Tensor,
  others: readonly (Tensor | null)[] = [],
): void {
  if (!isTracked([target, ...others])) return
  const base = target.viewBase
  if (target.leafRequiresGrad || base?.leafRequiresGrad) {
    throw new AutogradError(
      `${name}: ${base?.leafRequiresGrad ? 'a view of a leaf' : 'a leaf'} that requires gradients cannot be changed in ` +
        'place while operations are recorded; do it inside noGrad, as optimizers do, or change a clone()',
    )
  }
  if (base !== null && target.viewHistory < 0) {
    throw new AutogradError(
      `${name}: this view was made inside noGrad (or inside the forward function of defineOp), so that its change in place ` +
        'cannot become part of the history. Make the view outside, or change a clone()',
    )
  }
}

/**
 * Records a change in place that has been made, and counted with `changedInPlace`. `backward` gives the gradient of the
 * old value of `target` first, then those of `others`; null for the first stands for zeros.
 */
export function recordInPlace(
  target: Tensor,
  name: string,
  others: readonly (Tensor | null)[],
  saved: readonly (Tensor | null)[],
  backward: BackwardFunction,
): void {
  if (!isFloatingPoint(target.dtype)) return
  const base = target.viewBase
  if (base !== null) {
    const [whole, part] = [base.geometry, target.geometry]
    const edges = [edgeOf(base), ...others.map(edgeOf)]
    replaceHistory(
      base,
      new GraphNode(name, edges, saved, (g, node) => backwardOfPart(g, node, whole, part, backward)),
    )
    return
  }
  replaceHistory(target, new GraphNode(name, [edgeOf(target), ...others.map(edgeOf)], saved, backward))
}

function setHistory(target: Tensor, node: GraphNode): void {
  const before = target.gradFn
  if (before !== null && before.retained === target) {
    before.retained = null
    node.retained = target
  }
  target.gradFn = node
}

// Of a tensor that is no view. Its views keep their old histories until here, so that one that took part in the change has
// done so with the value that it had.
function replaceHistory(target: Tensor, node: GraphNode): void {
  setHistory(target, node)
  target.versionCounter.histories++
}

// Memory for a gradient laid out as `whole`, whatever its strides.
function emptyLike(whole: Geometry, gradient: Tensor): Tensor {
  const end = whole.shape.reduce((sum, size, i) => sum + (size - 1) * (whole.strides[i] as number), 0)
  const empty = whole.shape.includes(0)
  return callOn(gradient, 'full', [empty ? 0 : end + 1], 0, dtypeCode(gradient.dtype))
}

function window(memory: Tensor, part: Geometry, whole: Geometry): Tensor {
  return call('as_strided', memory, part.shape, part.strides, part.offset - whole.offset)
}

function backwardOfPart(
  gradient: Tensor,
  node: GraphNode,
  whole: Geometry,
  part: Geometry,
  backward: BackwardFunction,
): (Tensor | null | undefined)[] {
  const memory = emptyLike(whole, gradient)
  const total = window(memory, whole, whole)
  callInPlace('copy_', total, gradient)
  const ofPart = window(memory, part, whole)
  const [own, ...rest] = backward(call('clone', ofPart), node)
  if (!node.needs(0)) return [null, ...rest]
  if (own) callInPlace('copy_', ofPart, own)
  else callInPlace('fill_', ofPart, 0)
  return [total, ...rest]
}

setViewRebaser((view) => {
  const base = view.viewBase as Tensor
  view.viewHistory = view.versionCounter.histories
  const edge = edgeOf(base)
  if (edge === null) return
  const [whole, part] = [base.geometry, view.geometry]
  // Where several elements of the view are one in memory, their gradients add up.
  const repeated: number[] = []
  part.strides.forEach((stride, i) => {
    if (stride === 0 && (part.shape[i] as number) > 1) repeated.push(i)
  })
  const single = { ...part, shape: part.shape.map((size, i) => (repeated.includes(i) ? 1 : size)) }
  const node = new GraphNode('asStrided', [edge], [], (g) => {
    const memory = emptyLike(whole, g)
    const sum = repeated.length > 0 ? call('sum', g, repeated, true) : g
    callInPlace('copy_', window(memory, single, whole), sum)
    return [window(memory, whole, whole)]
  })
  setHistory(view, node)
})

/** The value of `target` before a change in place, with its history, under memory of its own. */
function snapshot(target: Tensor): Tensor {
  const old = call('clone', target)
  old.gradFn = target.gradFn
  return old
}

/**
 * Changes `target` in place into what `compute` makes of its old value. `others` are the tensors besides `target` that
 * `compute` uses.
 * @throws AutogradError as `requireChangeable`; DTypeError when a floating result would go into integers.
 */
export function changeInPlace(
  name: string,
  target: Tensor,
  others: readonly (Tensor | null)[],
  compute: (old: Tensor) => Tensor,
): void {
  requireChangeable(name, target, others)
  const tracked = isTracked([target, ...others])
  const old = tracked ? snapshot(target) : target
  const result = compute(old)
  const widens = isFloatingPoint(result.dtype) && !isFloatingPoint(target.dtype)
  if (widens || (target.dtype === 'bool' && result.dtype !== 'bool')) {
    throw new DTypeError(
      `${name}: a result of ${result.dtype} cannot be stored in a tensor of ${target.dtype}`,
    )
  }
  callInPlace('copy_', target, result)
  changedInPlace(target)
  if (tracked) {
    if (target.viewBase === null && result.gradFn !== null && result.dtype === target.dtype) {
      replaceHistory(target, result.gradFn)
    } else {
      const { dtype } = result
      recordInPlace(target, name, [result], [], (g) => [
        null,
        g.dtype === dtype ? g : call('to_dtype', g, dtypeCode(dtype)),
      ])
    }
    old.dispose()
  }
  result.dispose()
}
