import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createGunzip } from 'node:zlib'
import { DataError } from '../engine/errors.ts'
import { ImageDataBunch } from './ImageDataBunch.ts'
import { ImageDataset } from './image/ImageDataset.ts'
import type { RgbImage } from './image/RgbImage.ts'
import type { ImageDataBunchOptions } from './imageDataBunchOptions.ts'
import { mnistStats } from './stats.ts'

/** What an IDX file holds: numbers and their shape. */
export interface IdxData {
  shape: number[]
  data: Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array
}

const KINDS = {
  8: { bytes: 1, make: Uint8Array, read: (view: DataView, at: number) => view.getUint8(at) },
  9: { bytes: 1, make: Int8Array, read: (view: DataView, at: number) => view.getInt8(at) },
  11: { bytes: 2, make: Int16Array, read: (view: DataView, at: number) => view.getInt16(at) },
  12: { bytes: 4, make: Int32Array, read: (view: DataView, at: number) => view.getInt32(at) },
  13: { bytes: 4, make: Float32Array, read: (view: DataView, at: number) => view.getFloat32(at) },
  14: { bytes: 8, make: Float64Array, read: (view: DataView, at: number) => view.getFloat64(at) },
} as const

// MNIST's largest relative (EMNIST by class) unpacks to 550 MB.
const MAX_BYTES = 2 ** 30

// Each label up to the largest is a class with a name.
const MAX_LABEL = 65_535

/**
 * Reads a file of the IDX format, in which MNIST and its kin come, packed with gzip or not.
 * @throws DataError that names the file, if it cannot be read, is cut short or is of another format
 */
export async function readIdx(file: string): Promise<IdxData> {
  const name = resolve(file)
  const problem = (what: string, cause?: unknown) => new DataError(`${name}: ${what}`, { cause })
  let bytes: Buffer = await readFile(file).catch((cause: Error) => {
    throw problem(`the file cannot be read (${cause.message})`, cause)
  })
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    bytes = await unpack(bytes).catch((cause: Error) => {
      throw problem(`the file is cut short or damaged (${cause.message})`, cause)
    })
  }
  return parseIdx(bytes, problem)
}

/** What an unpacked file holds. */
export function parseIdx(bytes: Buffer, problem: (what: string) => DataError): IdxData {
  const kind = KINDS[bytes[2] as keyof typeof KINDS]
  const dimensions = bytes[3] ?? 0
  const start = 4 + 4 * dimensions
  if (bytes.length < start || bytes[0] !== 0 || bytes[1] !== 0 || !kind || dimensions === 0) {
    throw problem('this is no IDX file (they begin with two zeros, the type and the number of dimensions)')
  }
  const shape = Array.from({ length: dimensions }, (_, at) => bytes.readUInt32BE(4 + 4 * at))
  const count = shape.reduce((product, size) => product * size, 1)
  if (bytes.length !== start + count * kind.bytes) {
    throw problem(
      `the file is cut short or damaged: [${shape.join(', ')}] needs ${start + count * kind.bytes} bytes, but it has ${bytes.length}`,
    )
  }
  const body = bytes.subarray(start)
  if (kind.make === Uint8Array) return { shape, data: new Uint8Array(body) }
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  const data = new kind.make(count)
  for (let at = 0; at < count; at++) data[at] = kind.read(view, at * kind.bytes)
  return { shape, data }
}

/** Stops behind what the header announces: a small file may unpack to a thousand times its size. */
async function unpack(packed: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = []
  let length = 0
  const stream = createGunzip()
  stream.end(packed)
  for await (const piece of stream as AsyncIterable<Buffer>) {
    pieces.push(piece)
    length += piece.length
    const expected = expectedLength(pieces[0]!)
    if (expected > MAX_BYTES)
      throw new Error(`it claims ${expected} bytes; at most ${MAX_BYTES} are accepted`)
    if (length > expected)
      throw new Error(`it unpacks to more than the ${expected} bytes that its header announces`)
  }
  return Buffer.concat(pieces)
}

/** Bytes of an unpacked file, by its first ones. */
function expectedLength(head: Buffer): number {
  const kind = KINDS[head[2] as keyof typeof KINDS]
  const start = 4 + 4 * (head[3] ?? 0)
  if (!kind || head.length < start) return 16_384 // no header: what it is will be seen from the first piece
  let count: number = kind.bytes
  for (let at = 4; at < start; at += 4) count *= head.readUInt32BE(at)
  return start + count
}

export interface MnistOptions extends ImageDataBunchOptions {
  /** Names of the classes. Default '0' to '9', or as many as there are. */
  classes?: readonly string[]
}

/**
 * MNIST and its kin (Fashion-MNIST, KMNIST) from their four files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
 * `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte` in `dir`, with or without `.gz`; the test pictures are for validation.
 * Pictures are grey, as three equal channels; normalised with `mnistStats` unless `stats` says otherwise.
 * @throws DataError for files that are missing, damaged, or do not belong together, and for pictures that are not of bytes
 */
export async function mnist(dir: string, options: MnistOptions = {}): Promise<ImageDataBunch> {
  const { classes, ...rest } = options
  const [train, valid] = await Promise.all([readPair(dir, 'train'), readPair(dir, 't10k')])
  const largest = (labels: Int32Array) => labels.reduce((most, label) => Math.max(most, label), 0)
  const count = Math.max(largest(train.labels), largest(valid.labels)) + 1
  const names = classes ?? Array.from({ length: count }, (_, at) => String(at))
  const dataset = ({ images, labels, name }: Awaited<ReturnType<typeof readPair>>) =>
    new ImageDataset({
      files: images.map((_, at) => `${name}#${at}`),
      images,
      labels,
      classes: names,
    })
  if (names.length < count)
    throw new DataError(`${resolve(dir)}: there are labels up to ${count - 1}, but ${names.length} classes`)
  return new ImageDataBunch(
    { train: dataset(train), valid: dataset(valid) },
    { stats: mnistStats, ...rest, path: dir },
  )
}

async function readPair(dir: string, part: string) {
  const find = (kind: string) => {
    const names = [
      `${part}-${kind}-ubyte`,
      `${part}-${kind}-ubyte.gz`,
      `${part}-${kind.replace('-idx', '.idx')}-ubyte`,
    ]
    const found = names.map((name) => join(dir, name)).find((file) => existsSync(file))
    if (found) return found
    throw new DataError(`${resolve(dir)}: there is no file ${names[0]}, packed (.gz) or not`)
  }
  const name = find('images-idx3')
  const labelName = find('labels-idx1')
  const [pictures, labels] = await Promise.all([readIdx(name), readIdx(labelName)])
  const [count = 0, height = 0, width = 0] = pictures.shape
  if (pictures.shape.length !== 3 || labels.shape.length !== 1 || labels.shape[0] !== count || count === 0) {
    throw new DataError(
      `${resolve(name)}: expected pictures [N, H, W] and as many labels [N], got [${pictures.shape.join(', ')}] and [${labels.shape.join(', ')}]`,
    )
  }
  const { data } = pictures
  if (!(data instanceof Uint8Array)) {
    throw new DataError(
      `${resolve(name)}: expected pictures of bytes (type 8), got a ${data.constructor.name}. Scale their values to 0 … 255 and write those`,
    )
  }
  const odd = labels.data.findIndex((label) => !(Number.isInteger(label) && label >= 0 && label <= MAX_LABEL))
  if (odd >= 0) {
    throw new DataError(
      `${resolve(labelName)}: label ${odd} is ${labels.data[odd]}; labels are whole numbers from 0 to ${MAX_LABEL}`,
    )
  }
  const size = height * width
  const images = Array.from({ length: count }, (_, at) => fromPlanes(data, at * size, 0, width, height))
  return { images, labels: Int32Array.from(labels.data), name }
}

/** A picture of planes that lie `plane` bytes apart; 0 for grey. */
export function fromPlanes(
  source: Uint8Array,
  start: number,
  plane: number,
  width: number,
  height: number,
): RgbImage {
  const data = new Uint8Array(width * height * 3)
  for (let at = 0, to = 0; at < width * height; at++, to += 3) {
    data[to] = source[start + at]!
    data[to + 1] = source[start + plane + at]!
    data[to + 2] = source[start + 2 * plane + at]!
  }
  return { data, width, height }
}
