import { ConfigError } from '../engine/errors.ts'
import type { DType, Tensor } from '../engine/index.ts'
import { type Attribute, ONNX_TYPE, type OnnxNode, type TensorBytes } from './proto.ts'
import { carrierOf, followsInputs } from './runtimeTypes.ts'
import type { BatchDim, Dim, TracedValue } from './trace.ts'

/** A number of a scalar's dtype, as bytes. */
const WRITERS: Readonly<Record<DType, ((buffer: Buffer, value: number, at: number) => unknown) | undefined>> =
  {
    float32: (buffer, value, at) => buffer.writeFloatLE(value, at),
    float64: (buffer, value, at) => buffer.writeDoubleLE(value, at),
    int64: (buffer, value, at) => buffer.writeBigInt64LE(BigInt(Math.trunc(value)), at),
    int32: (buffer, value, at) => buffer.writeInt32LE(Math.trunc(value), at),
    uint8: (buffer, value, at) => buffer.writeUInt8(Math.trunc(value) & 255, at),
    bool: (buffer, value, at) => buffer.writeUInt8(value === 0 ? 0 : 1, at),
    float16: undefined,
    bfloat16: undefined,
  }
const ITEM_SIZE: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  int64: 8,
  int32: 4,
  uint8: 1,
  bool: 1,
  float16: 2,
  bfloat16: 2,
}

export type Attributes = Readonly<Record<string, Attribute>>

/** Collects the nodes and constants of a graph; values are known by name. */
export class GraphBuilder {
  readonly nodes: OnnxNode[] = []
  /** Constants made on the way, by name. */
  readonly constants = new Map<string, TensorBytes>()
  /** Tensors of the model that the graph reads, by name. */
  readonly tensors = new Map<string, Tensor>()
  /** The dtype of every value made so far. */
  readonly dtypes = new Map<string, DType>()
  readonly #names = new Map<TracedValue, string>()
  readonly #known = new Map<string, string>()
  readonly #counts = new Map<string, number>()
  readonly #reserved: ReadonlySet<string>
  readonly #tensorName: (tensor: Tensor) => string | undefined
  #batch: string | undefined
  #firstInput: string | undefined
  /** The traced op that is being exported, for messages. */
  op = ''

  /**
   * @param tensorName names of the model's parameters and buffers
   * @param reserved names that nothing made here may have: those of the graph's inputs and outputs
   */
  constructor(tensorName: (tensor: Tensor) => string | undefined, reserved: Iterable<string>) {
    this.#tensorName = tensorName
    this.#reserved = new Set(reserved)
  }

  /** A name that nothing has yet. */
  fresh(stem: string): string {
    for (;;) {
      const count = this.#counts.get(stem) ?? 0
      this.#counts.set(stem, count + 1)
      const name = `${stem}_${count}`
      if (!this.#taken(name)) return name
    }
  }

  #taken(name: string): boolean {
    return this.#reserved.has(name) || this.dtypes.has(name)
  }

  input(value: TracedValue, name: string): void {
    this.#firstInput ??= name
    this.bind(value, name)
  }

  /** Says by which name a traced value goes. */
  bind(value: TracedValue, name: string): void {
    this.#names.set(value, name)
    this.dtypes.set(name, value.dtype)
  }

  name(value: TracedValue): string {
    const known = this.#names.get(value)
    if (known !== undefined) return known
    if (value.source.kind !== 'constant') throw new ConfigError(`${this.op}: its input has not been exported`)
    const { tensor } = value.source
    let name = this.#tensorName(tensor)
    // A parameter may be called as an input or an output is.
    if (name === undefined || (this.#taken(name) && this.tensors.get(name) !== tensor)) {
      name = this.fresh(name ?? 'constant')
    }
    this.tensors.set(name, tensor)
    this.bind(value, name)
    return name
  }

  dtype(name: string): DType {
    return this.dtypes.get(name) ?? 'float32'
  }

  /** Adds a node with one output. Returns the output's name. */
  add(
    type: string,
    inputs: readonly string[],
    { dtype, ...attributes }: { dtype?: DType } & Record<string, Attribute | DType | undefined> = {},
  ): string {
    return this.addMany(
      type,
      inputs,
      [dtype ?? this.dtype(inputs.find((input) => input !== '') ?? '')],
      attributes as Attributes,
    )[0]!
  }

  /** Adds a node with as many outputs as dtypes, in a dtype that runtimes have it for. Returns their names. */
  addMany(
    type: string,
    inputs: readonly string[],
    dtypes: readonly DType[],
    attributes: Attributes = {},
  ): string[] {
    const own = this.dtype(inputs.find((input) => input !== '') ?? '')
    const carrier = carrierOf(type, own)
    if (carrier === undefined) return this.#node(type, inputs, dtypes, attributes)
    const carried = inputs.map((name) =>
      name !== '' && this.dtype(name) === own ? this.cast(name, carrier) : name,
    )
    const given = dtypes.map((dtype) => (dtype === own && followsInputs(type) ? carrier : dtype))
    return this.#node(type, carried, given, attributes).map((name, i) => this.cast(name, dtypes[i]!))
  }

  #node(type: string, inputs: readonly string[], dtypes: readonly DType[], attributes: Attributes): string[] {
    const name = this.fresh(type)
    const outputs = dtypes.map((dtype, index) => {
      const wanted = index === 0 ? `${name}_out` : `${name}_out${index}`
      const output = this.#taken(wanted) ? this.fresh(wanted) : wanted
      this.dtypes.set(output, dtype)
      return output
    })
    this.nodes.push({ type, name, inputs, outputs, attributes })
    return outputs
  }

  /** A constant of numbers: a list, or one number, which has no dimensions. Equal ones are one. */
  constant(values: number | readonly number[], dtype: DType = 'int64', shape?: readonly number[]): string {
    const list = typeof values === 'number' ? [values] : values
    const sizes = shape ?? (typeof values === 'number' ? [] : [list.length])
    const write = WRITERS[dtype]
    if (!write) {
      throw new ConfigError(
        `${this.op}: constants of ${dtype} cannot be exported to ONNX; convert the model to float32 first`,
      )
    }
    const key = `${dtype}:${sizes.join()}:${list.map((value) => (Object.is(value, -0) ? '-0' : value)).join()}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const data = Buffer.alloc(list.length * ITEM_SIZE[dtype])
    for (const [index, value] of list.entries()) write(data, value, index * ITEM_SIZE[dtype])
    const name = this.fresh('constant')
    this.constants.set(name, { dtype, shape: sizes, data })
    this.dtypes.set(name, dtype)
    this.#known.set(key, name)
    return name
  }

  cast(name: string, dtype: DType): string {
    return this.dtype(name) === dtype
      ? name
      : this.add('Cast', [name], { to: { int: ONNX_TYPE[dtype] }, dtype })
  }

  /** The sizes as a tensor of int64: a constant, or worked out from the size of the batch. */
  sizes(dims: readonly Dim[]): string {
    if (dims.every((dim) => typeof dim === 'number')) return this.constant(dims as readonly number[])
    const parts: string[] = []
    let run: number[] = []
    const flush = () => {
      if (run.length > 0) parts.push(this.constant(run))
      run = []
    }
    for (const dim of dims) {
      if (typeof dim === 'number') run.push(dim)
      else {
        flush()
        parts.push(this.#size(dim))
      }
    }
    flush()
    return parts.length === 1 ? parts[0]! : this.add('Concat', parts, { axis: { int: 0 } })
  }

  /** One size as a tensor [1]. */
  #size({ perItem, constant, known }: BatchDim): string {
    if (!(known && Number.isInteger(perItem) && Number.isInteger(constant)))
      throw this.dependsOnBatch('a size')
    if (this.#batch === undefined) {
      const shape = this.add('Shape', [this.#firstInput!], {
        dtype: 'int64',
        start: { int: 0 },
        end: { int: 1 },
      })
      this.#batch = shape
    }
    let size = this.#batch
    if (perItem !== 1) size = this.add('Mul', [size, this.constant([perItem])])
    if (constant !== 0) size = this.add('Add', [size, this.constant([constant])])
    return size
  }

  dependsOnBatch(what: string): ConfigError {
    return new ConfigError(
      `${this.op}: ${what} depends on the size of the batch in a way that ONNX cannot say; export for one size with { dynamicBatch: false }`,
    )
  }
}
