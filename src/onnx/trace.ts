import { ConfigError } from '../engine/errors.ts'
import { type DType, noGrad, Tensor } from '../engine/index.ts'
import { type Argument, listenToOps } from '../engine/native.ts'

/** A size or count that grows with the batch: `perItem` for each of its items, and `constant` besides. */
export class BatchDim {
  readonly perItem: number
  readonly constant: number
  constructor(perItem: number, constant: number) {
    this.perItem = perItem
    this.constant = constant
  }
  toString(): string {
    return `${this.perItem === 1 ? '' : `${this.perItem}·`}batch${this.constant === 0 ? '' : ` + ${this.constant}`}`
  }
}

export type Dim = number | BatchDim

/** Something that flows from op to op: known by identity. */
export interface TracedValue {
  readonly dtype: DType
  readonly shape: readonly Dim[]
  readonly source:
    | { kind: 'input'; index: number }
    | { kind: 'step' }
    /** A tensor from outside: a parameter, a buffer, or one that `forward` made of numbers. */
    | { kind: 'constant'; tensor: Tensor }
}

export type TracedArgument = TracedValue | TracedValue[] | Dim | Dim[] | boolean | null

/** An op as it was called. An op that works in place gives the new value of its first argument. */
export interface TracedStep {
  op: string
  inputs: readonly TracedArgument[]
  outputs: readonly TracedValue[]
}

export interface Trace {
  inputs: readonly TracedValue[]
  steps: readonly TracedStep[]
  outputs: readonly TracedValue[]
}

/** What a forward pass may give. */
export type ForwardOutput = Tensor | readonly Tensor[]

interface RawValue {
  dtype: DType
  shape: readonly number[]
  source: TracedValue['source']
}

type RawArgument = RawValue | RawValue[] | number | readonly number[] | boolean | null

interface RawTrace {
  inputs: RawValue[]
  steps: { op: string; inputs: RawArgument[]; outputs: RawValue[] }[]
  outputs: RawValue[]
  /** Keeps every tensor seen from being freed, so that none takes another's place. */
  kept: Tensor[]
}

/** Ops whose result looks at the memory of their first argument. */
const VIEWS = new Set([
  'alias',
  'view',
  'reshape',
  'permute',
  'expand',
  'squeeze',
  'squeeze_all',
  'unsqueeze',
  'slice',
  'select',
  'as_strided',
  'diagonal',
])

/**
 * The ops of a forward pass, found by running it. With `second`, inputs that differ from `first` in the size of their batch
 * alone, it is run twice, and what differs between the two is known to follow from the batch.
 *
 * @throws ConfigError if the two passes do not call the same ops
 */
export function trace(
  forward: (...inputs: Tensor[]) => ForwardOutput,
  first: readonly Tensor[],
  second?: readonly Tensor[],
): Trace {
  const a = record(forward, first)
  if (!second) return merge(a, a, undefined)
  const sizes = [first[0]!.shape[0]!, second[0]!.shape[0]!] as const
  return merge(a, record(forward, second), sizes)
}

function record(forward: (...inputs: Tensor[]) => ForwardOutput, inputs: readonly Tensor[]): RawTrace {
  const values = new Map<Tensor, RawValue>()
  const groups = new Map<RawValue, Set<RawValue>>()
  const stale = new Map<RawValue, string>()
  const result: RawTrace = { inputs: [], steps: [], outputs: [], kept: [...inputs] }

  const make = (tensor: Tensor, source: TracedValue['source']): RawValue => {
    const value = { dtype: tensor.dtype, shape: [...tensor.shape], source }
    values.set(tensor, value)
    groups.set(value, new Set([value]))
    result.kept.push(tensor)
    return value
  }
  const known = (tensor: Tensor, op: string): RawValue => {
    const value = values.get(tensor) ?? make(tensor.keep(), { kind: 'constant', tensor })
    const changer = stale.get(value)
    if (changer !== undefined) {
      throw new ConfigError(
        `ONNX has no memory that two tensors share: ${op} reads a tensor after ${changer} changed, in place, another that looks at ` +
          'the same memory. Use the operation that returns a new tensor',
      )
    }
    return value
  }
  const argument = (input: Argument, op: string): RawArgument => {
    if (input instanceof Tensor) return known(input, op)
    if (Array.isArray(input)) {
      return input[0] instanceof Tensor
        ? (input as readonly Tensor[]).map((item) => known(item, op))
        : [...(input as readonly number[])]
    }
    return (input ?? null) as number | boolean | null
  }
  const hear = (op: string, args: readonly Argument[], outputs: readonly Tensor[]): void => {
    const read = args.map((input) => argument(input, op))
    if (outputs.length > 0) {
      const made = outputs.map((output) => make(output, { kind: 'step' }))
      if (VIEWS.has(op)) {
        const group = groups.get(read[0] as RawValue)!
        group.add(made[0]!)
        groups.set(made[0]!, group)
      }
      result.steps.push({ op, inputs: read, outputs: made })
      return
    }
    const target = args[0]
    if (!(target instanceof Tensor)) return
    const before = read[0] as RawValue
    if (before.source.kind === 'constant') {
      throw new ConfigError(
        `ONNX models keep nothing from one call to the next: ${op} changes, in place, a tensor of shape [${before.shape.join(', ')}] ` +
          'that was there before',
      )
    }
    for (const other of groups.get(before)!) if (other !== before) stale.set(other, op)
    result.steps.push({ op, inputs: read, outputs: [make(target, { kind: 'step' })] })
  }

  for (const [index, input] of inputs.entries()) result.inputs.push(make(input, { kind: 'input', index }))
  const output = noGrad(() => listenToOps(hear, () => forward(...inputs)))
  const list = Array.isArray(output) ? (output as readonly Tensor[]) : [output as Tensor]
  for (const tensor of list) {
    if (!(tensor instanceof Tensor)) {
      throw new ConfigError(
        'forward must give a tensor, or a list of tensors, for the model to be exported; async models cannot be',
      )
    }
    result.outputs.push(known(tensor, 'the output'))
  }
  return result
}

function merge(a: RawTrace, b: RawTrace, sizes: readonly [number, number] | undefined): Trace {
  const merged = new Map<RawValue, TracedValue>()
  const dim = (x: number, y: number): Dim => {
    if (x === y || !sizes) return x
    const perItem = (y - x) / (sizes[1] - sizes[0])
    return new BatchDim(perItem, x - perItem * sizes[0])
  }
  const value = (x: RawValue, y: RawValue): TracedValue => {
    const known = merged.get(x)
    if (known) return known
    if (x.shape.length !== y.shape.length || x.dtype !== y.dtype) throw differs()
    if (x.source.kind === 'constant') checkSameConstant(x.source.tensor, (y.source as typeof x.source).tensor)
    const made: TracedValue = {
      dtype: x.dtype,
      shape: x.shape.map((size, i) => dim(size, y.shape[i]!)),
      source: x.source,
    }
    merged.set(x, made)
    return made
  }
  const argument = (x: RawArgument, y: RawArgument): TracedArgument => {
    if (typeof x === 'number' && typeof y === 'number') return dim(x, y)
    if (Array.isArray(x) && Array.isArray(y)) {
      if (x.length !== y.length) throw differs()
      return x.map((item, i) => argument(item as RawArgument, y[i] as RawArgument)) as Dim[] | TracedValue[]
    }
    if (isValue(x) && isValue(y)) return value(x, y)
    if (x !== y) throw differs()
    return x as boolean | null
  }

  if (a.steps.length !== b.steps.length || a.outputs.length !== b.outputs.length) throw differs()
  const inputs = a.inputs.map((x, i) => value(x, b.inputs[i]!))
  const steps = a.steps.map((x, i): TracedStep => {
    const y = b.steps[i]!
    if (x.op !== y.op) throw differs()
    return {
      op: x.op,
      inputs: x.inputs.map((input, j) => argument(input, y.inputs[j]!)),
      outputs: x.outputs.map((output, j) => value(output, y.outputs[j]!)),
    }
  })
  return { inputs, steps, outputs: a.outputs.map((x, i) => value(x, b.outputs[i]!)) }
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
