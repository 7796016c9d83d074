import { addon, beginArguments, checkArguments, toAnnealError } from './addon.ts'
import { show } from './check.ts'
import { AnnealError } from './errors.ts'
import { Tensor, tensorOf } from './tensor.ts'

/** What an op of the table takes. */
export type Argument = Tensor | number | boolean | null | undefined | readonly number[] | readonly Tensor[]

// Out of the add-on once, as in addon.ts. Not `call`: tests put one of their own there, to see which ops run.
const { args, kinds, results } = addon

const opNumbers = new Map<string, number>(addon.opNames.map((name, index) => [name, index]))

const kind = { number: 1, tensor: 2, none: 3, numbers: 4, tensors: 5, boolean: 6 } as const

// Arguments go into shared arrays: value slots with a kind beside the first slot of each argument.
function encode(op: string, inputs: readonly Argument[]): void {
  let position = 0
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]
    if (typeof input === 'number') {
      kinds[position] = kind.number
      args[position++] = input
    } else if (input instanceof Tensor) {
      kinds[position] = kind.tensor
      args[position++] = input.liveHandle()
    } else if (input === null || input === undefined) {
      kinds[position++] = kind.none
    } else if (typeof input === 'boolean') {
      kinds[position] = kind.boolean
      args[position++] = input ? 1 : 0
    } else if (Array.isArray(input)) {
      position = encodeList(op, input as readonly unknown[], position)
    } else {
      throw new AnnealError(`${op}: expected a tensor, a number, a boolean or a list, got ${show(input)}`)
    }
  }
}

function encodeList(op: string, list: readonly unknown[], start: number): number {
  const { length } = list // once: a list may change while it is read
  if (!(start + length + 1 <= args.length)) throw new AnnealError(`${op}: a list of ${length} is too long`)
  const ofTensors = length > 0 && list[0] instanceof Tensor
  let position = start
  kinds[position] = ofTensors ? kind.tensors : kind.numbers
  args[position++] = length
  for (let i = 0; i < length; i++) {
    const value = list[i]
    if (ofTensors && value instanceof Tensor) args[position++] = value.liveHandle()
    else if (!ofTensors && typeof value === 'number') args[position++] = value
    else
      throw new AnnealError(
        `${op}: expected a list of ${ofTensors ? 'tensors' : 'numbers'}, found ${show(value)}`,
      )
  }
  return position
}

function invoke(op: string, inputs: readonly Argument[], device = 0): number {
  const number = opNumbers.get(op)
  if (number === undefined) throw new AnnealError(`the native engine has no op ${op}; build it again`)
  const turn = beginArguments()
  encode(op, inputs)
  checkArguments(op, turn)
  const count = addon.call(number | (device << 16), inputs.length)
  if (count < 0) {
    const { kind: errorKind, message } = addon.takeError()
    throw toAnnealError(errorKind, message)
  }
  return count
}

/** Takes over the calls of gradient functions whose results are to be recorded (`grad` with createGraph). */
export type CallRecorder = (
  op: string,
  inputs: readonly Argument[],
) => Tensor | readonly (Tensor | null)[] | undefined

let recorder: CallRecorder | null = null

/** Runs `body` while calls go to `next`; with null, to the engine. */
export function withRecorder<T>(next: CallRecorder | null, body: () => T): T {
  const before = recorder
  recorder = next
  try {
    return body()
  } finally {
    recorder = before
  }
}

/** True inside a gradient function whose results are recorded: what it computes must then follow from inputs and outputs. */
export function isRecordingGradients(): boolean {
  return recorder !== null
}

/** Hears of every op of the table after it has been called: its arguments, and what it gave (nothing if it works in place). */
export type OpListener = (op: string, inputs: readonly Argument[], outputs: readonly Tensor[]) => void

/** Hears of a function of ours that reads values, on which the sizes of its result depend. */
export type ReadListener = (name: string, values: Tensor) => void

let listener: OpListener | null = null
let readListener: ReadListener | null = null

/** Lets `hear` know of every op that `body`, which must be synchronous, calls, and `hearOfRead` of values that decide on sizes. */
export function listenToOps<T>(hear: OpListener, body: () => T, hearOfRead: ReadListener | null = null): T {
  const before = [listener, readListener] as const
  listener = hear
  readListener = hearOfRead
  try {
    return body()
  } finally {
    ;[listener, readListener] = before
  }
}

/** Tells whoever hears of the ops that `name` reads values, and with others would call others. */
export function tellOfRead(name: string, values: Tensor): void {
  readListener?.(name, values)
}

/** Whether someone hears of the ops, and wants each by itself rather than several in one. */
export function isListenedTo(): boolean {
  return listener !== null
}

/** Runs an op of the table (native/core/ops.def) that gives one tensor. Nothing is recorded for backward. */
export function call(op: string, ...inputs: Argument[]): Tensor {
  if (recorder !== null) return recorder(op, inputs) as Tensor
  invoke(op, inputs)
  const output = tensorOf(results[0] as number)
  if (listener !== null) listener(op, inputs, [output])
  return output
}

/**
 * As `call`, for an op without tensors among its arguments: makes the result where `place`, a tensor or a device's number,
 * is.
 */
export function callOn(place: Tensor | number, op: string, ...inputs: Argument[]): Tensor {
  invoke(op, inputs, typeof place === 'number' ? place : place.deviceNumber)
  const output = tensorOf(results[0] as number)
  if (listener !== null) listener(op, inputs, [output])
  return output
}

/** Runs an op that gives several tensors. */
export function callMany(op: string, ...inputs: Argument[]): Tensor[] {
  if (recorder !== null) return recorder(op, inputs) as Tensor[]
  const count = invoke(op, inputs)
  const outputs: Tensor[] = []
  for (let i = 0; i < count; i++) outputs.push(tensorOf(results[i] as number))
  if (listener !== null) listener(op, inputs, outputs)
  return outputs
}

/** Runs an op that changes its first argument in place, or gives nothing. */
export function callInPlace(op: string, ...inputs: Argument[]): void {
  if (recorder !== null) recorder(op, inputs)
  else invoke(op, inputs)
  if (listener !== null) listener(op, inputs, [])
}
