import { show } from '../engine/check.ts'
import { CheckpointError } from '../engine/errors.ts'
import { writeFileAtomic } from './atomicFile.ts'
import type { FileSource, Steps } from './fileSource.ts'
import { parseJson } from './parseJson.ts'
import {
  countElements,
  STORED_ITEM_SIZE,
  type StoredDType,
  type TensorInfo,
  type WeightsDirectory,
} from './rawTensor.ts'

/** Longest header that is read or written. A thousand tensors take about 100 kB. */
const MAX_HEADER_BYTES = 32 * 1024 * 1024

const DTYPE_OF_CODE: Readonly<Record<string, StoredDType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U8: 'uint8',
  BOOL: 'bool',
}

const CODE_OF_DTYPE = Object.fromEntries(
  Object.entries(DTYPE_OF_CODE).map(([code, dtype]) => [dtype, code]),
) as Record<StoredDType, string>

/** A tensor to be written: its bytes, or a function that brings them when their turn comes. */
export interface TensorToWrite extends TensorInfo {
  data: Uint8Array | (() => Promise<Uint8Array>)
}

interface Located extends TensorInfo {
  begin: number
  end: number
}

/** Whether a file starts like safetensors: an eight-byte length, then the brace of a JSON object. */
export function looksLikeSafetensors(head: Uint8Array): boolean {
  return head[8] === 0x7b
}

/**
 * Reads the header of a safetensors file and checks it in full before anything else is read: its length, every dtype and
 * shape, and that the tensors' bytes lie inside the file, in agreement with their shapes, without overlap or gap.
 *
 * Format: https://github.com/huggingface/safetensors
 *
 * @throws CheckpointError for a file that is cut short or dishonest
 */
export function* readSafetensorsDirectory(source: FileSource): Steps<WeightsDirectory> {
  const { file, size } = source
  if (size < 8) throw new CheckpointError(`${file} is no safetensors file: it has only ${size} bytes`)
  const lengthBytes = yield* source.read(0, 8, 'the header length')
  const headerLength = new DataView(lengthBytes.buffer).getBigUint64(0, true)
  if (headerLength > BigInt(MAX_HEADER_BYTES)) {
    throw new CheckpointError(
      `${file} is no safetensors file: its header claims ${headerLength} bytes, more than the ${MAX_HEADER_BYTES} accepted`,
    )
  }
  const header = yield* source.read(8, Number(headerLength), 'the header')
  const dataStart = 8 + header.byteLength
  const { tensors, metadata } = parseHeader(header, size - dataStart, file)
  return {
    file,
    format: 'safetensors',
    size,
    metadata,
    tensors,
    others: [],
    *read(name) {
      const tensor = tensors.get(name)
      if (!tensor) throw new CheckpointError(`${file} holds no tensor "${name}"`)
      const data = yield* source.read(dataStart + tensor.begin, tensor.end - tensor.begin, `tensor "${name}"`)
      return { dtype: tensor.dtype, shape: tensor.shape, data }
    },
  }
}

function parseHeader(
  header: Uint8Array,
  dataLength: number,
  file: string,
): { tensors: Map<string, Located>; metadata: Record<string, string> } {
  const json = headerJson(header, file)
  const tensors = new Map<string, Located>()
  let metadata: Record<string, string> = {}
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') metadata = parseMetadata(value, file)
    else tensors.set(name, parseEntry(name, value, dataLength, file))
  }
  checkLayout(tensors, dataLength, file)
  return { tensors, metadata }
}

function headerJson(header: Uint8Array, file: string): Record<string, unknown> {
  let json: unknown
  try {
    json = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(header))
  } catch (cause) {
    const problem = cause instanceof RangeError ? cause.message : 'it is no JSON'
    throw new CheckpointError(`${file} has a damaged safetensors header: ${problem}`, { cause })
  }
  if (!isRecord(json))
    throw new CheckpointError(`${file} has a damaged safetensors header: it is no JSON object`)
  return json
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (!isRecord(value) || !Object.values(value).every((text) => typeof text === 'string')) {
    throw new CheckpointError(`${file} has a damaged safetensors header: __metadata__ must map names to text`)
  }
  return value as Record<string, string>
}

function parseEntry(name: string, value: unknown, dataLength: number, file: string): Located {
  const where = `${file}: tensor "${name}"`
  if (!isRecord(value)) throw new CheckpointError(`${where} has a damaged header entry: ${show(value)}`)
  const { dtype: code, shape, data_offsets: offsets } = value
  const dtype =
    typeof code === 'string' && Object.hasOwn(DTYPE_OF_CODE, code) ? DTYPE_OF_CODE[code] : undefined
  if (!dtype) {
    throw new CheckpointError(
      `${where} has the dtype ${show(code)}; dtypes that can be read: ${Object.keys(DTYPE_OF_CODE).join(', ')}`,
    )
  }
  if (!Array.isArray(shape)) throw new CheckpointError(`${where} has no shape`)
  const bytes = countElements(shape as number[], where) * STORED_ITEM_SIZE[dtype]
  const [begin, end] = (Array.isArray(offsets) && offsets.length === 2 ? offsets : []) as [unknown, unknown]
  if (!Number.isSafeInteger(begin) || !Number.isSafeInteger(end)) {
    throw new CheckpointError(`${where} has the data_offsets ${show(offsets)}: two integers are needed`)
  }
  const [from, to] = [begin as number, end as number]
  if (from < 0 || to < from || to > dataLength) {
    throw new CheckpointError(
      `${where} claims bytes ${from} to ${to} of the data, but the file holds ${dataLength} bytes of data: ` +
        'it is cut short or damaged',
    )
  }
  if (to - from !== bytes) {
    throw new CheckpointError(
      `${where} claims ${to - from} bytes, but ${code} with shape [${shape.join(', ')}] takes ${bytes}`,
    )
  }
  return { dtype, shape: shape as number[], begin: from, end: to }
}

/** The tensors must tile the data: the format allows neither overlaps nor gaps. */
function checkLayout(tensors: Map<string, Located>, dataLength: number, file: string): void {
  const ordered = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  let position = 0
  let previous = ''
  for (const [name, { begin, end }] of ordered) {
    if (begin < position) {
      throw new CheckpointError(
        `${file} is damaged: the bytes of tensors "${previous}" and "${name}" overlap`,
      )
    }
    if (begin > position) {
      throw new CheckpointError(
        `${file} is damaged: ${begin - position} bytes before tensor "${name}" belong to none`,
      )
    }
    position = end
    previous = name
  }
  if (position !== dataLength) {
    throw new CheckpointError(
      `${file} is damaged: its last ${dataLength - position} bytes belong to no tensor`,
    )
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Writes a safetensors file, atomically (see {@link writeFileAtomic}). Tensors are brought and written one at a time;
 * the header keeps their order, and the data is laid out by falling element size so that each is aligned.
 *
 * @param metadata text to store in the header
 * @throws CheckpointError that names the file when it cannot be written
 */
export async function writeSafetensorsFile(
  file: string,
  tensors: Iterable<readonly [string, TensorToWrite]>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text !== 'string')
      throw new CheckpointError(`metadata "${key}" must be text; got ${typeof text}`)
  }
  const named = new Map<string, TensorToWrite>()
  for (const [name, tensor] of tensors) {
    if (name === '__metadata__')
      throw new CheckpointError('a tensor cannot be named __metadata__ in a safetensors file')
    if (named.has(name)) throw new CheckpointError(`two tensors are named "${name}"`)
    named.set(name, tensor)
  }
  const order = [...named].sort(([, a], [, b]) => STORED_ITEM_SIZE[b.dtype] - STORED_ITEM_SIZE[a.dtype])
  const offsets = new Map<string, [number, number]>()
  let position = 0
  for (const [name, tensor] of order) {
    const end = position + byteLengthOf(tensor, name)
    offsets.set(name, [position, end])
    position = end
  }
  const header: [string, unknown][] = [...named].map(([name, { dtype, shape }]) => [
    name,
    { dtype: CODE_OF_DTYPE[dtype], shape, data_offsets: offsets.get(name) },
  ])
  if (Object.keys(metadata).length > 0) header.unshift(['__metadata__', metadata])

  async function* content(): AsyncGenerator<Uint8Array> {
    yield encodeHeader(Object.fromEntries(header), file)
    for (const [name, tensor] of order) {
      yield await checkedBytes(name, tensor)
    }
  }
  await writeFileAtomic(file, content())
}

/** The bytes of a tensor to be written, which must be as many as its dtype and shape take. */
export async function checkedBytes(name: string, tensor: TensorToWrite): Promise<Uint8Array> {
  const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data
  const needed = byteLengthOf(tensor, name)
  if (data.byteLength !== needed) {
    throw new CheckpointError(
      `tensor "${name}" has ${data.byteLength} bytes, but ${tensor.dtype} with shape [${tensor.shape.join(', ')}] takes ${needed}`,
    )
  }
  return data
}

function byteLengthOf({ dtype, shape }: TensorInfo, name: string): number {
  return countElements(shape, `tensor "${name}"`) * STORED_ITEM_SIZE[dtype]
}

/** Length, JSON, and spaces up to a multiple of eight, so that the data is aligned. */
function encodeHeader(header: Record<string, unknown>, file: string): Uint8Array {
  const json = Buffer.from(JSON.stringify(header))
  const length = Math.ceil(json.byteLength / 8) * 8
  if (length > MAX_HEADER_BYTES) {
    throw new CheckpointError(
      `${file} cannot be written: its header of ${length} bytes is longer than the ${MAX_HEADER_BYTES} that can be read back. ` +
        'Store long metadata in a file of its own, or as a uint8 tensor',
    )
  }
  const bytes = Buffer.alloc(8 + length, ' ')
  bytes.writeBigUInt64LE(BigInt(length), 0)
  json.copy(bytes, 8)
  return bytes
}
