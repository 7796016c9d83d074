import { ConfigError } from '../engine/errors.ts'
import type { GraphBuilder } from './GraphBuilder.ts'
import { BatchDim, type Dim, type TracedArgument, type TracedStep, type TracedValue } from './trace.ts'

/** The arguments of a traced op, taken by position as what they must be. */
export class Arguments {
  readonly builder: GraphBuilder
  readonly step: TracedStep
  constructor(builder: GraphBuilder, step: TracedStep) {
    this.builder = builder
    this.step = step
  }

  #at(index: number): TracedArgument {
    return this.step.inputs[index] ?? null
  }

  value(index: number): TracedValue {
    const argument = this.#at(index)
    if (typeof argument !== 'object' || argument === null || !('source' in argument)) {
      throw new ConfigError(`${this.step.op}: argument ${index} is no tensor`)
    }
    return argument
  }

  isValue(index: number): boolean {
    const argument = this.#at(index)
    return typeof argument === 'object' && argument !== null && 'source' in argument
  }

  /** The name of a tensor argument. */
  tensor(index: number): string {
    return this.builder.name(this.value(index))
  }

  /** The name of a tensor argument that may be left out. */
  optional(index: number): string | undefined {
    return this.#at(index) === null ? undefined : this.tensor(index)
  }

  values(index: number): readonly TracedValue[] {
    return this.#at(index) as readonly TracedValue[]
  }

  /** A number that the batch has no part in; of truth, 0 or 1. */
  number(index: number): number {
    const argument = this.#at(index)
    if (argument instanceof BatchDim) throw this.builder.dependsOnBatch('a number')
    return Number(argument)
  }

  isNull(index: number): boolean {
    return this.#at(index) === null
  }

  dim(index: number): Dim {
    return this.#at(index) as Dim
  }

  isTruth(index: number): boolean {
    return typeof this.#at(index) === 'boolean'
  }

  flag(index: number): boolean {
    return this.#at(index) === true
  }

  dims(index: number): readonly Dim[] {
    return this.#at(index) as Dim[]
  }

  /** Numbers that the batch has no part in. */
  numbers(index: number): number[] {
    return this.dims(index).map((dim) => {
      if (dim instanceof BatchDim) throw this.builder.dependsOnBatch('a number')
      return dim
    })
  }

  /** The shape of a tensor argument. */
  shape(index: number): readonly Dim[] {
    return this.value(index).shape
  }

  /** The size of one dimension of a tensor argument, which the batch must have no part in. */
  size(index: number, dimension: number): number {
    const size = this.shape(index).at(dimension)
    if (size === undefined || size instanceof BatchDim)
      throw this.builder.dependsOnBatch(`dimension ${dimension}`)
    return size
  }

  /** The size and dtype that the op gave. */
  get output(): TracedValue {
    return this.step.outputs[0]!
  }

  /** A dimension counted from the front. */
  axis(index: number, of = this.shape(0).length): number {
    const dim = this.number(index)
    return dim < 0 ? dim + of : dim
  }

  /** Dimensions counted from the front; none stands for all. */
  axes(index: number): number[] {
    const rank = this.shape(0).length
    const given = this.numbers(index).map((dim) => (dim < 0 ? dim + rank : dim))
    return given.length > 0 ? given : Array.from({ length: rank }, (_, i) => i)
  }
}

/** Makes the nodes of one kind of op. Returns the names of its outputs. */
export type Exporter = (builder: GraphBuilder, args: Arguments) => string | string[]
export type Exporters = Readonly<Record<string, Exporter>>
