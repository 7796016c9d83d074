/// <reference lib="esnext.disposable" preserve="true" />
import { inspect } from 'node:util'
import {
  addon,
  beginArguments,
  described,
  guarded,
  release,
  releaseCollected,
  toAnnealError,
} from './addon.ts'
import { deviceName } from './deviceName.ts'
import { type DType, dtypes, type TensorData } from './dtype.ts'
import { AnnealError, AutogradError, ConfigError, ShapeError } from './errors.ts'
import type { GraphNode } from './graph.ts'
import { engineState, reads, type TensorScope } from './state.ts'

/** @internal What shows a handle to come from the engine. */
export const engineOrigin = Symbol('of the engine')

/** @internal The tensor that owns a handle from the engine. */
export function tensorOf(handle: number): Tensor {
  return new Tensor(handle, engineOrigin)
}

// The safety net for tensors that no scope owns: V8 tells when one has become unreachable. It only does so between
// macrotasks, which is why training loops yield one per batch.
const finalizers = new FinalizationRegistry<number>(releaseCollected)

/** Shape, strides and dtype, fetched from the engine when first asked for. They never change for a handle. */
interface Description {
  shape: number[]
  strides: number[]
  dtype: DType
  offset: number
  device: number
}

/** Where a tensor's elements lie in its memory, in elements. */
export interface Geometry {
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset: number
}

/** Shared by all views of the same memory. */
export interface VersionCounter {
  /** Counts in-place changes. */
  value: number
  /** Counts the histories that what the views look at has had: with each, theirs have to be made anew. */
  histories: number
}

/**
 * An n-dimensional array in the engine's memory. Operations are methods (and functions of the same names) that enqueue
 * work and return at once; reading values is what waits: `await t.data()`, or `t.dataSync()` and `t.item()`, which block.
 *
 * Memory: what is made inside `scope` (and inside a Learner's step) is freed at its end; the rest is freed when the
 * garbage collector finds it, or at once by `dispose()` or `using`.
 */
export class Tensor {
  /** @internal The engine's number for this tensor; 0 once freed. */
  handle: number
  /** @internal The scope that will free this tensor. */
  scope: TensorScope | null
  /** @internal */
  leafRequiresGrad = false
  /** @internal The accumulated gradient; `grad` is the public face. */
  accumulated: Tensor | null = null
  /** @internal True once user code has seen this tensor as a `grad`: then only the collector may free it. */
  exposed = false
  /** @internal */
  versions: VersionCounter | null = null
  /** @internal The tensor that this is a view of (never a view itself): an in-place change of either reaches both histories. */
  viewBase: Tensor | null = null
  /** @internal Which of its base's histories a view's goes back to; -1 for views made while nothing was recorded. */
  viewHistory = 0
  /** @internal How many recorded operations keep this tensor for their backward pass. */
  saves = 0
  /** @internal Set when dispose() came while a recorded operation still needed the values. */
  disposed = false
  /** @internal Gradient hooks of a leaf. */
  gradHooks: ((gradient: Tensor) => Tensor | null | undefined)[] | null = null
  private description: Description | null = null
  private node: GraphNode | null = null

  /** @internal Tensors come from `tensor`, `zeros`, … and from operations: who made up a handle would free another's memory. */
  constructor(handle: number, origin: typeof engineOrigin) {
    if (origin !== engineOrigin) {
      throw new ConfigError('Tensor is not to be constructed: tensor(), zeros() and operations make tensors')
    }
    this.handle = handle
    let { scope } = engineState()
    if (scope?.closed) scope = null
    this.scope = scope
    if (scope !== null) scope.tensors.push(this)
    else finalizers.register(this, handle, this)
  }

  private describe(): Description {
    if (this.description === null) {
      const results = described(this.disposed ? this.handle : this.liveHandle())
      const dimensions = results[2] as number
      const shape: number[] = []
      const strides: number[] = []
      for (let i = 0; i < dimensions; i++) {
        shape.push(results[3 + i] as number)
        strides.push(results[3 + dimensions + i] as number)
      }
      const offset = results[3 + 2 * dimensions] as number
      const device = results[4 + 2 * dimensions] as number
      this.description = { dtype: dtypes[results[1] as number] as DType, shape, strides, offset, device }
    }
    return this.description
  }

  /** @internal */
  get geometry(): Geometry {
    return this.describe()
  }

  /** @internal The operation that made this tensor; for a view, also what was done in place to what it looks at. */
  get gradFn(): GraphNode | null {
    if (this.viewBase !== null && this.viewHistory >= 0 && this.viewHistory !== this.versions?.histories) {
      rebaseView(this)
    }
    return this.node
  }

  set gradFn(node: GraphNode | null) {
    this.node = node
    if (this.viewHistory >= 0 && this.viewBase !== null) this.viewHistory = this.versions?.histories ?? 0
  }

  /** Sizes of the dimensions; pictures are [N, C, H, W] whatever their order in memory. */
  get shape(): readonly number[] {
    return this.describe().shape
  }

  get dtype(): DType {
    return this.describe().dtype
  }

  /** Steps between neighbours along each dimension, in elements. */
  get strides(): readonly number[] {
    return this.describe().strides
  }

  /** The device that holds the values: 'cpu', 'cuda:0', … */
  get device(): string {
    return deviceName(this.describe().device)
  }

  /** @internal The engine's number for that device. */
  get deviceNumber(): number {
    return this.describe().device
  }

  /** Number of dimensions. */
  get ndim(): number {
    return this.describe().shape.length
  }

  /** Number of elements. */
  get numel(): number {
    return this.describe().shape.reduce((product, size) => product * size, 1)
  }

  /** The size of one dimension; negative numbers count from the end. */
  size(dim: number): number {
    const shape = this.describe().shape
    if (typeof dim !== 'number') {
      throw new ShapeError(`size: a dimension is a number, got ${typeof dim}`)
    }
    const index = dim < 0 ? dim + shape.length : dim
    const size = shape[index]
    if (size === undefined) {
      throw new ShapeError(`size: dimension ${dim} is out of range for shape [${shape.join(', ')}]`)
    }
    return size
  }

  /** True when the elements lie in memory in the order of the indices, without gaps. */
  get isContiguous(): boolean {
    const { shape, strides } = this.describe()
    let expected = 1
    for (let i = shape.length - 1; i >= 0; i--) {
      const size = shape[i] as number
      if (size === 0) return true
      if (size !== 1 && strides[i] !== expected) return false
      expected *= size
    }
    return true
  }

  /** True when gradients flow to or through this tensor. */
  get requiresGrad(): boolean {
    return this.leafRequiresGrad || this.gradFn !== null
  }

  set requiresGrad(value: boolean) {
    this.requiresGrad_(value)
  }

  /** True for tensors made by the user, and for those that no gradient flows through. */
  get isLeaf(): boolean {
    return this.gradFn === null
  }

  /** The gradient that backward passes have accumulated into this leaf; null before the first. */
  get grad(): Tensor | null {
    if (this.accumulated !== null) this.accumulated.exposed = true
    return this.accumulated
  }

  set grad(value: Tensor | null) {
    if (value !== null && !(value instanceof Tensor)) {
      throw new AutogradError(`grad: expected a tensor or null, got ${typeof value}`)
    }
    if (value !== null) {
      const here = this.shape.join(', ')
      if (value.shape.join(', ') !== here) {
        throw new ShapeError(
          `grad: a gradient of shape [${value.shape.join(', ')}] for a tensor of [${here}]`,
        )
      }
      value.exposed = true
      value.keep()
    }
    this.clearGrad()
    this.accumulated = value
  }

  /** @internal Forgets the gradient, freeing it at once if user code never saw it. */
  clearGrad(): void {
    const old = this.accumulated
    this.accumulated = null
    if (old !== null && !old.exposed) old.dispose()
  }

  /**
   * Sets whether gradients accumulate into this tensor. In place; returns the tensor.
   * @throws AutogradError for a tensor that is not a leaf, or not of a floating dtype.
   */
  requiresGrad_(value = true): this {
    if (value && !['float32', 'float64', 'bfloat16', 'float16'].includes(this.dtype)) {
      throw new AutogradError(`only floating tensors can require gradients, this one is ${this.dtype}`)
    }
    if (this.gradFn !== null) {
      if (value) return this
      throw new AutogradError(
        'requiresGrad can only be switched off for leaves; detach() gives a tensor without history',
      )
    }
    this.leafRequiresGrad = value
    return this
  }

  /** @internal The handle, or an error if the tensor has been freed. */
  liveHandle(): number {
    if (this.handle === 0 || (this.disposed && !savedAreUsable)) {
      throw new AnnealError(
        'this tensor has been freed (by dispose(), or at the end of the scope it was made in). ' +
          'Return it from the scope, or call keep(), to use it afterwards',
      )
    }
    if (uses !== null) uses.add(this)
    return this.handle
  }

  /** False once the tensor has been freed. */
  get isAlive(): boolean {
    return this.handle !== 0 && !this.disposed
  }

  /** Frees the memory now. Values that a recorded operation still needs stay until its backward pass is done. */
  dispose(): void {
    if (this.handle === 0 || this.disposed) return
    if (this.saves > 0) {
      this.disposed = true
      return
    }
    this.free()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  /** @internal */
  free(): void {
    if (!(this.handle > 0)) return
    // Views of this tensor that live on may still have to know where they lie in it.
    if (this.versions !== null && this.viewBase === null) this.describe()
    const handle = this.handle
    this.handle = 0
    if (this.scope === null) finalizers.unregister(this)
    release(handle)
  }

  /** @internal One recorded operation less needs the values. */
  dropSave(): void {
    this.saves--
    if (this.saves === 0 && this.disposed) this.free()
  }

  /** Takes the tensor out of the current scope: it then lives until it is disposed of or collected. Returns it. */
  keep(): this {
    if (this.scope !== null && this.handle > 0) {
      this.scope = null
      finalizers.register(this, this.handle, this)
    }
    return this
  }

  /** @internal Hands the tensor to another scope, or to the collector. */
  moveTo(scope: TensorScope | null): void {
    if (this.scope === scope) return
    if (scope === null || scope.closed) {
      this.keep()
      return
    }
    if (this.scope === null) finalizers.unregister(this)
    this.scope = scope
    scope.tensors.push(this)
  }

  /**
   * The values in logical (row-major) order, without blocking. int64 comes as Float64Array (exact to 2^53), half
   * precision as Float32Array, bool as Uint8Array.
   * @throws the error of an operation that failed since the last read.
   */
  data(): Promise<TensorData> {
    return this.#read(performance.now() - lastTurn < 5)
  }

  /** @internal As `data()`, for values that are wanted later: what follows is enqueued meanwhile. */
  dataAhead(): Promise<TensorData> {
    return this.#read(false)
  }

  #read(patient: boolean): Promise<TensorData> {
    const { source, target, borrowed } = this.readPlan()
    const done = readInto(source, target, patient)
    if (borrowed) source.dispose()
    return done
  }

  /** As `data()`, blocking until the values are there. */
  dataSync(): TensorData {
    const { source, target, borrowed } = this.readPlan()
    reads.count++
    guarded(() => addon.readSync(source.liveHandle(), target))
    if (borrowed) source.dispose()
    return target
  }

  /** The only value of a one-element tensor. Blocks until it is there. */
  item(): number {
    if (this.numel !== 1) {
      throw new ShapeError(`item: the tensor has shape [${this.shape.join(', ')}], not one element`)
    }
    return this.dataSync()[0] as number
  }

  /** The raw bytes in logical order, without conversion: for files. */
  bytes(): Promise<Uint8Array> {
    const { dtype } = this
    const size = { float32: 4, float64: 8, bfloat16: 2, float16: 2, int64: 8, int32: 4, uint8: 1, bool: 1 }[
      dtype
    ]
    const target = new Uint8Array(this.numel * size)
    return readInto(this, target, false)
  }

  private readPlan(): { source: Tensor; target: TensorData; borrowed: boolean } {
    const count = this.numel
    switch (this.dtype) {
      case 'float32':
        return { source: this, target: new Float32Array(count), borrowed: false }
      case 'float64':
        return { source: this, target: new Float64Array(count), borrowed: false }
      case 'int32':
        return { source: this, target: new Int32Array(count), borrowed: false }
      case 'uint8':
      case 'bool':
        return { source: this, target: new Uint8Array(count), borrowed: false }
      case 'int64':
        return { source: convert(this, 'float64'), target: new Float64Array(count), borrowed: true }
      default:
        return { source: convert(this, 'float32'), target: new Float32Array(count), borrowed: true }
    }
  }

  /** @internal */
  get versionCounter(): VersionCounter {
    this.versions ??= { value: 0, histories: 0 }
    return this.versions
  }

  [inspect.custom](): string {
    return this.isAlive ? this.toString() : 'tensor(<freed>)'
  }
}

let uses: Set<Tensor> | null = null

/** @internal Also tells which tensors the engine was given while `body` ran, or was first asked the shapes of. */
export function usedWithin<Result>(body: () => Result): { result: Result; used: ReadonlySet<Tensor> } {
  const before = uses
  const used = new Set<Tensor>()
  uses = used
  try {
    return { result: body(), used }
  } finally {
    uses = before
  }
}

let rebaseView: (view: Tensor) => void

/** @internal Autograd's part in views: gives a view the history of what it looks at, after a change in place. */
export function setViewRebaser(rebaser: (view: Tensor) => void): void {
  rebaseView = rebaser
}

// The two ops that this file needs itself, without the general caller, which stands on it.
let lastTurn = 0 // of the event loop that a read has let pass

// What is ready within microseconds is read at once: for a small model, the way back through the event loop takes longer
// than the step. Yet a loop of such reads must not keep timers and the collector waiting.
function readInto<Target extends ArrayBufferView>(
  source: Tensor,
  target: Target,
  patient: boolean,
): Promise<Target> {
  return new Promise((resolve, reject) => {
    reads.count++
    const ready = guarded(() =>
      addon.readAsync(source.liveHandle(), target, patient, (error) => {
        lastTurn = performance.now()
        if (error) reject(toAnnealError(error.kind, error.message))
        else resolve(target)
      }),
    )
    if (ready) resolve(target)
  })
}

function invokeOnHandle(op: 'alias' | 'to_dtype', handle: number, dtype?: DType): number {
  beginArguments()
  addon.args[0] = handle
  addon.kinds[0] = 2
  if (dtype !== undefined) {
    addon.args[1] = dtypes.indexOf(dtype)
    addon.kinds[1] = 1
  }
  if (addon.call(addon.opNames.indexOf(op), dtype === undefined ? 1 : 2) < 0) {
    const { kind, message } = addon.takeError()
    throw toAnnealError(kind, message)
  }
  return addon.results[0] as number
}

function convert(source: Tensor, dtype: DType): Tensor {
  return tensorOf(invokeOnHandle('to_dtype', source.liveHandle(), dtype))
}

/** @internal A handle of one's own on a tensor's memory, whatever is being recorded. */
export function handleOnSameMemory(tensor: Tensor): number {
  return invokeOnHandle('alias', tensor.liveHandle())
}

let savedAreUsable = false

/** @internal Runs `body`, which may use tensors that their user has disposed of while a recorded operation still needed them. */
export function usingSaved<Result>(body: () => Result): Result {
  const before = savedAreUsable
  savedAreUsable = true
  try {
    return body()
  } finally {
    savedAreUsable = before
  }
}

/** @internal The values of a tensor that its user has disposed of while a recorded operation still needed them. */
export function reviveSaved(tensor: Tensor): Tensor {
  return tensorOf(invokeOnHandle('alias', tensor.handle))
}
