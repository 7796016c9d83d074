import { ConfigError } from '../engine/errors.ts'
import { type DType, noGrad, Tensor } from '../engine/index.ts'
import { type Argument, listenToOps } from '../engine/native.ts'

/**
 * A size or count that differs with the batch: where `known`, it is `perItem` for each of its items and `constant` besides;
 * otherwise it goes another way, and a graph can only let the runtime find it.
 */
export class BatchDim {
  readonly perItem: number
  readonly constant: number
  readonly known: boolean
  constructor(perItem: number, constant: number, known = true) {
    this.perItem = perItem
    this.constant = constant
    this.known = known
  }
  /** Whether both are one size, whatever the batch. */
  static same(a: Dim, b: Dim): boolean {
    if (!(a instanceof BatchDim && b instanceof BatchDim)) return a === b
    return a.known && b.known && a.perItem === b.perItem && a.constant === b.constant
  }
  toString(): string {
    if (!this.known) return 'a function of the batch'
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

export interface RawValue {
  dtype: DType
  shape: readonly number[]
  source: TracedValue['source']
}

export type RawArgument = RawValue | RawValue[] | number | readonly number[] | boolean | null

/** The ops of one pass, with the sizes that it had. */
export interface RawTrace {
  inputs: RawValue[]
  steps: { op: string; inputs: RawArgument[]; outputs: RawValue[] }[]
  outputs: RawValue[]
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

/** Runs `forward` and notes its ops. */
export function record(forward: (...inputs: Tensor[]) => ForwardOutput, inputs: readonly Tensor[]): RawTrace {
  const values = new Map<Tensor, RawValue>()
  const groups = new Map<RawValue, Set<RawValue>>()
  const stale = new Map<RawValue, string>()
  /** What follows from the inputs. */
  const moving = new Set<RawValue>()
  const result: RawTrace = { inputs: [], steps: [], outputs: [] }

  const make = (tensor: Tensor, source: TracedValue['source']): RawValue => {
    const value = { dtype: tensor.dtype, shape: [...tensor.shape], source }
    values.set(tensor, value)
    groups.set(value, new Set([value]))
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
    const moves = read.flat().some((value) => moving.has(value as RawValue))
    if (outputs.length > 0) {
      const made = outputs.map((output) => make(output, { kind: 'step' }))
      if (moves) for (const value of made) moving.add(value)
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
    const after = make(target, { kind: 'step' })
    if (moves) moving.add(after)
    result.steps.push({ op, inputs: read, outputs: [after] })
  }
  const hearOfRead = (name: string, values: Tensor): void => {
    if (!moving.has(known(values, name))) return
    throw new ConfigError(
      `the model cannot be exported to ONNX: there is no form for ${name}, whose result depends on values that it reads here`,
    )
  }

  for (const [index, input] of inputs.entries()) result.inputs.push(make(input, { kind: 'input', index }))
  for (const value of result.inputs) moving.add(value)
  const output = noGrad(() => listenToOps(hear, () => forward(...inputs), hearOfRead))
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
