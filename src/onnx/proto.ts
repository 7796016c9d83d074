import { PbfWriter } from 'pbf'
import type { DType } from '../engine/index.ts'

// Field numbers and enumerations are those of onnx.proto3 (https://github.com/onnx/onnx), IR version 8.

/** Codes of `TensorProto.DataType`. */
export const ONNX_TYPE: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
}

const IR_VERSION = 8
export const OPSET_VERSION = 17

/** The value of a node's attribute. Numbers in `int` and `ints` are integers. */
export type Attribute =
  | { int: number }
  | { float: number }
  | { text: string }
  | { ints: readonly number[] }
  | { tensor: TensorBytes }

export interface OnnxNode {
  type: string
  name: string
  /** Names of values; an empty one stands for an input that is left out. */
  inputs: readonly string[]
  outputs: readonly string[]
  attributes: Readonly<Record<string, Attribute>>
}

/** A constant: its bytes in row-major order, little-endian. */
export interface TensorBytes {
  dtype: DType
  shape: readonly number[]
  data: Uint8Array
}

/** An input or output of the graph. A dimension that is text has no fixed size, only a name. */
export interface ValueInfo {
  name: string
  dtype: DType
  shape: readonly (number | string)[]
}

export interface OnnxModel {
  graphName: string
  producerVersion: string
  documentation: string
  metadata: Readonly<Record<string, string>>
  inputs: readonly ValueInfo[]
  outputs: readonly ValueInfo[]
  nodes: readonly OnnxNode[]
  initializers: readonly (TensorBytes & { name: string })[]
}

/**
 * An ONNX file in pieces, for {@link writeFileAtomic}. Weights are handed on as they are, not copied into one message, which
 * may be of some hundred megabytes.
 */
export function encodeModel(model: OnnxModel): { pieces: Uint8Array[]; byteLength: number } {
  const graph: Uint8Array[] = [encodeGraphHead(model)]
  for (const initializer of model.initializers) {
    const head = encodeTensorHead(initializer, initializer.name)
    const length = head.byteLength + initializer.data.byteLength
    graph.push(lengthDelimited(5, length), head, initializer.data)
  }
  graph.push(encodeGraphTail(model))
  const graphLength = graph.reduce((sum, piece) => sum + piece.byteLength, 0)
  const pieces = [encodeModelHead(model), lengthDelimited(7, graphLength), ...graph]
  return { pieces, byteLength: pieces.reduce((sum, piece) => sum + piece.byteLength, 0) }
}

function encodeModelHead({ producerVersion, documentation, metadata }: OnnxModel): Uint8Array {
  const writer = new PbfWriter()
  writer.writeVarintField(1, IR_VERSION)
  writer.writeStringField(2, 'anneal')
  writer.writeStringField(3, producerVersion)
  if (documentation !== '') writer.writeStringField(6, documentation)
  // OperatorSetIdProto: domain, version.
  writer.writeMessage(8, (_, opset: PbfWriter) => opset.writeVarintField(2, OPSET_VERSION), null)
  for (const [key, value] of Object.entries(metadata)) {
    writer.writeMessage(
      14,
      (entry: [string, string], property: PbfWriter) => {
        property.writeStringField(1, entry[0])
        property.writeStringField(2, entry[1])
      },
      [key, value] as [string, string],
    )
  }
  return writer.finish()
}

function encodeGraphHead({ nodes, graphName }: OnnxModel): Uint8Array {
  const writer = new PbfWriter()
  for (const node of nodes) writer.writeMessage(1, writeNode, node)
  writer.writeStringField(2, graphName)
  return writer.finish()
}

function encodeGraphTail({ inputs, outputs }: OnnxModel): Uint8Array {
  const writer = new PbfWriter()
  for (const input of inputs) writer.writeMessage(11, writeValueInfo, input)
  for (const output of outputs) writer.writeMessage(12, writeValueInfo, output)
  return writer.finish()
}

function writeNode({ type, name, inputs, outputs, attributes }: OnnxNode, writer: PbfWriter): void {
  for (const input of inputs) writer.writeStringField(1, input)
  for (const output of outputs) writer.writeStringField(2, output)
  writer.writeStringField(3, name)
  writer.writeStringField(4, type)
  for (const entry of Object.entries(attributes)) writer.writeMessage(5, writeAttribute, entry)
}

function writeAttribute([name, value]: [string, Attribute], writer: PbfWriter): void {
  writer.writeStringField(1, name)
  let type: number
  if ('float' in value) {
    type = 1
    writer.writeFloatField(2, value.float)
  } else if ('int' in value) {
    type = 2
    writeInt64(writer, 3, value.int)
  } else if ('text' in value) {
    type = 3
    writer.writeBytesField(4, Buffer.from(value.text))
  } else if ('tensor' in value) {
    type = 4
    const { tensor } = value
    writer.writeBytesField(5, Buffer.concat([encodeTensorHead(tensor, ''), tensor.data]))
  } else {
    type = 7
    for (const item of value.ints) writeInt64(writer, 8, item)
  }
  writer.writeVarintField(20, type)
}

function writeInt64(writer: PbfWriter, field: number, value: number): void {
  writer.writeVarintField(field, value)
}

/** A TensorProto up to and with the length of its raw data, which is to follow. */
function encodeTensorHead({ dtype, shape, data }: TensorBytes, name: string): Uint8Array {
  const writer = new PbfWriter()
  for (const size of shape) writer.writeVarintField(1, size)
  writer.writeVarintField(2, ONNX_TYPE[dtype])
  if (name !== '') writer.writeStringField(8, name)
  return Buffer.concat([writer.finish(), lengthDelimited(9, data.byteLength)])
}

function writeValueInfo({ name, dtype, shape }: ValueInfo, writer: PbfWriter): void {
  writer.writeStringField(1, name)
  writer.writeMessage(
    2,
    (_, type: PbfWriter) => {
      type.writeMessage(
        1,
        (_, tensor: PbfWriter) => {
          tensor.writeVarintField(1, ONNX_TYPE[dtype])
          tensor.writeMessage(2, writeShape, shape)
        },
        null,
      )
    },
    null,
  )
}

function writeShape(shape: readonly (number | string)[], writer: PbfWriter): void {
  for (const size of shape) {
    writer.writeMessage(
      1,
      (value: number | string, dimension: PbfWriter) => {
        if (typeof value === 'number') dimension.writeVarintField(1, value)
        else dimension.writeStringField(2, value)
      },
      size,
    )
  }
}

/** The start of a field whose content, of `length` bytes, follows. */
function lengthDelimited(field: number, length: number): Uint8Array {
  const writer = new PbfWriter()
  writer.writeVarint(field * 8 + 2)
  writer.writeVarint(length)
  return writer.finish()
}
