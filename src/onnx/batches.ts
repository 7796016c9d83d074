import { ConfigError } from '../engine/errors.ts'
import { scope, synchronize, type Tensor } from '../engine/index.ts'
import { refuseUnknown } from './exporters/index.ts'
import {
  BatchDim,
  type Dim,
  type ForwardOutput,
  type RawArgument,
  type RawTrace,
  type RawValue,
  record,
  type Trace,
  type TracedArgument,
  type TracedStep,
  type TracedValue,
} from './trace.ts'

type Forward = (...inputs: Tensor[]) => ForwardOutput

/** Two batches say how a size would grow, the third whether it does. */
const BATCHES = [2, 3, 5]
/** Whether it goes on so, looked at as long as a pass makes no more elements than these. */
const MORE_BATCHES = [8, 17, 65]
const CHEAP = 2 ** 24

/** The ops of a forward pass for inputs of one size. */
export function trace(forward: Forward, inputs: readonly Tensor[]): Trace {
  return merge([record(forward, inputs)], [0])
}

/**
 * The ops of a forward pass for batches of any size: it is run with several, and what differs between them is known to follow
 * from the batch.
 *
 * @param inputsOf the inputs with a batch of a given size
 * @param example the inputs as they were given
 * @throws ConfigError if the passes do not call the same ops, or the model takes none but the example's size
 */
export function traceBatches(
  forward: Forward,
  inputsOf: (batch: number) => Tensor[],
  example: () => readonly Tensor[],
): Trace {
  // Nothing of a pass stays but its constants, or all would need memory at once.
  const run = (inputs: () => readonly Tensor[]) =>
    scope(() => {
      const found = record(forward, inputs())
      synchronize() // What kernels find wrong is thrown here.
      return found
    })
  const traces = BATCHES.map((batch) => {
    try {
      return run(() => inputsOf(batch))
    } catch (error) {
      run(example) // What fails for the example too has nothing to do with the batch.
      throw failsFor(batch, error)
    }
  })
  const perItem = elementsOf(traces.at(-1)!) / BATCHES.at(-1)!
  const more = MORE_BATCHES.filter((batch) => batch * perItem <= CHEAP)
  const sizes = [...BATCHES]
  for (const batch of more) {
    try {
      traces.push(run(() => inputsOf(batch)))
      sizes.push(batch)
    } catch {
      break // Where the model itself ends, there is nothing to compare with.
    }
  }
  return merge(traces, sizes)
}

function elementsOf({ steps }: RawTrace): number {
  let count = 0
  for (const { outputs } of steps) {
    for (const { shape } of outputs) count += shape.reduce((product, size) => product * size, 1)
  }
  return count
}

function failsFor(batch: number, error: unknown): ConfigError {
  const message = error instanceof Error ? error.message : String(error)
  return new ConfigError(
    `exportOnnx runs the model with batches of other sizes than the example's too (${BATCHES.join(', ')}), for a file that takes ` +
      `any, and with ${batch} it fails: ${message}. If it takes no others than the example's, export it for that size with ` +
      '{ dynamicBatch: false }',
    { cause: error },
  )
}

/** What the passes have in common. `sizes` are their batches. */
function merge(traces: readonly RawTrace[], sizes: readonly number[]): Trace {
  refuseUnknown(traces[0]!)
  const merged = new Map<RawValue, TracedValue>()
  const dim = (found: readonly number[]): Dim => {
    const [x, y] = found as [number, number]
    if (found.every((size) => size === x)) return x
    const perItem = (y - x) / (sizes[1]! - sizes[0]!)
    const constant = x - perItem * sizes[0]!
    return new BatchDim(
      perItem,
      constant,
      found.every((size, i) => size === perItem * sizes[i]! + constant),
    )
  }
  const value = (found: readonly RawValue[]): TracedValue => {
    const [first, ...others] = found as [RawValue, ...RawValue[]]
    const known = merged.get(first)
    if (known) return known
    const { dtype, shape, source } = first
    for (const other of others) {
      if (shape.length !== other.shape.length || dtype !== other.dtype || source.kind !== other.source.kind)
        throw differs()
      if (source.kind === 'constant') checkSameConstant(source.tensor, (other.source as typeof source).tensor)
    }
    const made = { dtype, shape: shape.map((_, i) => dim(found.map((each) => each.shape[i]!))), source }
    merged.set(first, made)
    return made
  }
  const argument = (found: readonly RawArgument[]): TracedArgument => {
    const [first] = found
    if (found.every((each) => typeof each === 'number')) return dim(found as number[])
    if (found.every((each) => Array.isArray(each))) {
      const lists = found as RawArgument[][]
      if (lists.some((list) => list.length !== lists[0]!.length)) throw differs()
      return lists[0]!.map((_, i) => argument(lists.map((list) => list[i]!))) as Dim[] | TracedValue[]
    }
    if (found.every(isValue)) return value(found as RawValue[])
    if (found.some((each) => each !== first)) throw differs()
    return first as boolean | null
  }
  const values = (of: (each: RawTrace) => readonly RawValue[]): TracedValue[] => {
    const lists = traces.map(of)
    if (lists.some((list) => list.length !== lists[0]!.length)) throw differs()
    return lists[0]!.map((_, i) => value(lists.map((list) => list[i]!)))
  }

  const inputs = values((each) => each.inputs)
  const { steps } = traces[0]!
  if (traces.some((each) => each.steps.length !== steps.length)) throw differs()
  const merging = steps.map(({ op }, i): TracedStep => {
    const calls = traces.map((each) => each.steps[i]!)
    if (calls.some((call) => call.op !== op)) throw differs()
    return {
      op,
      inputs: argument(calls.map((call) => call.inputs as RawArgument)) as TracedArgument[],
      outputs: values((each) => each.steps[i]!.outputs),
    }
  })
  return { inputs, steps: merging, outputs: values((each) => each.outputs) }
}

function isValue(argument: RawArgument): argument is RawValue {
  return typeof argument === 'object' && argument !== null && 'source' in argument
}

function checkSameConstant(x: Tensor, y: Tensor): void {
  if (x === y) return
  const same = x.shape.join() === y.shape.join() && Buffer.from(bytesNow(x)).equals(Buffer.from(bytesNow(y)))
  if (!same) throw differs()
}

/** A constant's bytes; waits for them. */
function bytesNow(tensor: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensor.contiguous().dataSync()
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function differs(): ConfigError {
  return new ConfigError(
    'the model does not compute the same for every size of its batch (it branches on the size, or makes a tensor of numbers that ' +
      'depends on it): export it for one size with { dynamicBatch: false }',
  )
}
